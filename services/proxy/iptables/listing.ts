import type { Protocol } from '../../../lib/api/objects.ts';
import { masqueradeBase } from '../kernel/marks.ts';
import { noGuards } from '../table/guards.ts';
import { sourcesOf } from '../table/sources.ts';
import { frontendKey, type Frontend, type ProxyTable, type Target } from '../table/table.ts';
import type { Chain, ChainWriter, Ruleset } from './chains.ts';

/** The rules of each chain, without the `-A <chain>` before them. */
export type Chains = ReadonlyMap<string, readonly string[]>;
export interface Listing {
  readonly nat: Chains;
  readonly filter: Chains;
}

/** What `iptables-save` prints. */
export function readListing(text: string): Listing {
  const tables = { nat: new Map<string, string[]>(), filter: new Map<string, string[]>() };
  let chains: Map<string, string[]> | undefined;
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) chains = line === '*nat' ? tables.nat : line === '*filter' ? tables.filter : undefined;
    const declared = /^:(\S+) /.exec(line)?.[1];
    if (declared !== undefined) chains?.set(declared, []);
    const [, name = '', rule = ''] = /^-A (\S+) (.*)$/.exec(line) ?? [];
    if (name !== '') chains?.get(name)?.push(rule);
  }
  return tables;
}

/**
 * The table that our rules amount to, as far as connections are concerned: what leads from where to where, and for whom. It says
 * nothing of affinity, of guards and of pods of this node.
 */
export function readTable({ nat }: Listing, writer: ChainWriter): ProxyTable {
  const frontends = new Map<string, Frontend>();
  const targets = new Map<string, Target>();
  const enter = (address: string, rule: string): void => {
    const found = / --dport (\d+) .*--comment "?([^"\s]+)"? -j (\S+)$/.exec(rule);
    const protocol = /-p (tcp|udp|sctp) /.exec(rule)?.[1]?.toUpperCase() as Protocol | undefined;
    if (found === null || protocol === undefined) return;
    const [, port = '', target = '', chain = ''] = found;
    const inside = rule.startsWith('-s ') || rule.includes('--src-type LOCAL');
    const frontend = { address, port: Number(port), protocol, target, ...(inside ? { inside: true as const } : {}) };
    frontends.set(frontendKey(frontend), frontend);
    if (!targets.has(target)) targets.set(target, readTarget(nat, target, { protocol, chain }));
  };
  for (const rule of nat.get(writer.named('DISPATCH')) ?? []) {
    const [, address = '', chain = ''] = /^-d (\S+)\/32 -j (\S+)$/.exec(rule) ?? [];
    for (const each of nat.get(chain) ?? []) enter(address, each);
  }
  for (const rule of nat.get(writer.named('NODES')) ?? []) enter('*', rule);
  return { targets, frontends, local: new Set(), guards: noGuards, conflicts: [] };
}

function readTarget(nat: Chains, id: string, at: { readonly protocol: Protocol; readonly chain: string }): Target {
  const backends = new Set<string>();
  let masquerade = false;
  const visit = (chain: string, depth: number): void => {
    for (const rule of nat.get(chain) ?? []) {
      const to = /--to-destination (\S+)/.exec(rule)?.[1];
      if (to !== undefined) backends.add(to);
      masquerade ||= rule.includes(`--set-xmark 0x${masqueradeBase.toString(16)}/`);
      const next = / -j (\S+)$/.exec(rule)?.[1];
      if (next !== undefined && nat.has(next) && depth < 3) visit(next, depth + 1);
    }
  };
  visit(at.chain, 0);
  const senders = (nat.get(at.chain) ?? []).flatMap((rule) => /^-s (\S+) /.exec(rule)?.[1] ?? []);
  const sources = senders.length === 0 ? {} : { sources: sourcesOf(senders) };
  return { id, protocol: at.protocol, backends: [...backends].sort(), affinitySeconds: 0, masquerade, ...sources };
}

/** One sentence for each chain that is not as it should be, at most `limit`. */
export function differencesOf(there: Listing, wanted: Ruleset, writer: ChainWriter, limit = 10): string[] {
  const found: string[] = [];
  const shared = new Set(['DISPATCH', 'NODES', 'HIDE', 'GUARD'].map((role) => writer.named(role)));
  for (const table of ['nat', 'filter'] as const) {
    const expected = new Map(wanted[table].map((chain) => [chain.name, chain]));
    for (const chain of expected.values()) {
      const wrong = difference(there[table].get(chain.name), chain, shared.has(chain.name));
      if (wrong !== undefined) found.push(`${table} ${wrong}`);
    }
    for (const name of there[table].keys())
      if (name.startsWith(`${writer.prefix}-`) && !expected.has(name))
        found.push(`${table} chain ${name} is not wanted`);
  }
  for (const { table, chain, rule } of writer.hooks())
    if (there[table].get(chain)?.includes(rule) !== true) found.push(`${table} ${chain} does not lead to our chains`);
  return found.slice(0, limit);
}

/** In chains that many share the order says nothing. */
function difference(rules: readonly string[] | undefined, wanted: Chain, anyOrder: boolean): string | undefined {
  if (rules === undefined) return `chain ${wanted.name} is gone`;
  const [a, b] = anyOrder ? [rules.toSorted(), wanted.rules.toSorted()] : [rules, wanted.rules];
  const at = b.findIndex((rule, i) => rule !== a[i]);
  if (at >= 0) return `chain ${wanted.name} has "${a[at] ?? 'no more rules'}" where "${b[at]}" is wanted`;
  return a.length > b.length ? `chain ${wanted.name} has a rule too many: "${a[b.length]}"` : undefined;
}
