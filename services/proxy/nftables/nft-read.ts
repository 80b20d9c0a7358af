import { parseIp } from '../../../lib/api/net.ts';
import { blocksBetween, fewestBlocks, formatBlock, sourcesOf } from '../table/sources.ts';
import { readAffinitySet, targetOfChain, targetOfSources, type KnownClient } from './nft-script.ts';
import { masqueradeBase } from '../kernel/marks.ts';
import type { Sources } from '../table/sources.ts';
import {
  frontendKey,
  guardKey,
  type Backend,
  type Frontend,
  type Guard,
  type ProxyTable,
  type Target,
} from '../table/table.ts';

/** What `nft -j list …` prints: a list of objects with one key each, as libnftables-json(5) has them. */
type Json = Readonly<Record<string, unknown>>;

/**
 * The table that the kernel's rules amount to, from the output of `nft -j list table`. Targets without backends
 * say nothing of affinity and masquerading, so these read as none; so does everything where our table is absent.
 */
export function readTable(listing: string): ProxyTable {
  const objects = objectsOf(listing);
  const backends = new Map<number, Backend>();
  const frontends = new Map<string, Frontend>();
  const affinity = new Map<string, number>();
  const local = new Set<string>();
  const sources = new Map<string, Sources>();
  const admitted: Admitted = new Map();
  for (const set of pick(objects, 'set', 'map')) {
    const name = textOf(set['name']);
    const clients = readAffinitySet(name);
    if (clients !== undefined) affinity.set(clients.target, clients.seconds);
    const target = targetOfSources(name);
    if (target !== undefined) sources.set(target, fewestBlocks(listOf(set['elem']).flatMap(blocksOfElement)));
    for (const element of listOf(set['elem'])) {
      if (name === 'guarded' || name === 'admitted') addAdmitted(admitted, concatOf(element).map(textOf));
      if (name === 'local') local.add(textOf(concatOf(element)[0]));
      if (name === 'backends') addBackend(backends, element);
      if (name === 'services' || name === 'node_services') addFrontend(frontends, element);
      if (name === 'inside_services') addFrontend(frontends, element, { inside: true });
    }
  }
  const guards = new Map(
    [...admitted].map(([key, { place, clients }]): readonly [string, Guard] => [
      key,
      { ...place, sources: sourcesOf(clients) },
    ]),
  );
  const targets = readTargets(objects, { backends, affinity, sources });
  return { targets, frontends, local, guards, conflicts: [] };
}

/** How many connections have found each frontend, by its key, from what `nft get element` prints of one map of services. */
export function readCounters(text: string, more: Pick<Frontend, 'inside'> = {}): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const [, ip, name, port, count] of text.matchAll(/(?:([\d.]+) \. )?(\w+) \. (\d+) counter packets (\d+)/g)) {
    const key = frontendKey({ address: ip ?? '*', protocol: protocolOf(name), port: Number(port), ...more });
    counts.set(key, Number(count));
  }
  return counts;
}

/** Whether the part that every table has is whole: base chains with their rules. A sentence when it is not. */
export function readSkeleton(listing: string, wanted: ReadonlyMap<string, number>): string | undefined {
  const rules = new Map<string, number>();
  for (const rule of pick(objectsOf(listing), 'rule')) {
    const chain = textOf(rule['chain']);
    rules.set(chain, (rules.get(chain) ?? 0) + 1);
  }
  const wrong = [...wanted].find(([chain, count]) => rules.get(chain) !== count);
  return wrong === undefined ? undefined : `chain ${wrong[0]} has ${rules.get(wrong[0]) ?? 0} rules, not ${wrong[1]}`;
}

/** The clients that have a backend of their own, from the output of `nft -j list sets`. */
export function readClients(listing: string): KnownClient[] {
  const clients: KnownClient[] = [];
  for (const set of pick(objectsOf(listing), 'set')) {
    const owner = readAffinitySet(textOf(set['name']));
    if (owner === undefined) continue;
    for (const element of listOf(set['elem'])) {
      const { val, expires } = recordOf(recordOf(element)['elem']);
      clients.push({ ...owner, client: textOf(val), expiresSeconds: Number(expires ?? 0) });
    }
  }
  return clients;
}

interface Found {
  readonly backends: ReadonlyMap<number, Backend>;
  readonly affinity: ReadonlyMap<string, number>;
  readonly sources: ReadonlyMap<string, Sources>;
}

function readTargets(objects: readonly Json[], { backends, affinity, sources }: Found): Map<string, Target> {
  const ranges = new Map<string, { readonly first: number; readonly count: number }>();
  for (const rule of pick(objects, 'rule')) {
    const id = targetOfChain(textOf(rule['chain']));
    const range = id === undefined ? undefined : rangeOf(listOf(rule['expr']));
    if (id !== undefined && range !== undefined) ranges.set(id, range);
  }
  const targets = new Map<string, Target>();
  for (const chain of pick(objects, 'chain')) {
    const id = targetOfChain(textOf(chain['name']));
    if (id === undefined) continue;
    const range = ranges.get(id) ?? { first: 0, count: 0 };
    const slots = Array.from({ length: range.count }, (_, i) => backends.get(range.first + i) ?? 'nothing');
    const allowed = sources.get(id);
    targets.set(id, {
      ...(allowed === undefined ? {} : { sources: allowed }),
      id,
      protocol: protocolOf(
        id
          .replace(/\/(external|balanced)$/, '')
          .split('/')
          .at(-2),
      ),
      backends: slots.sort(),
      affinitySeconds: affinity.get(id) ?? 0,
      masquerade: range.first >= masqueradeBase,
    });
  }
  return targets;
}

/** `ct mark set numgen inc mod <count> offset <first>` */
function rangeOf(expressions: readonly unknown[]): { readonly first: number; readonly count: number } | undefined {
  for (const expression of expressions) {
    const { numgen } = recordOf(recordOf(recordOf(expression)['mangle'])['value']);
    if (numgen === undefined) continue;
    const { mod, offset } = recordOf(numgen);
    return { first: Number(offset), count: Number(mod) };
  }
  return undefined;
}

function addBackend(backends: Map<number, Backend>, element: unknown): void {
  const [slot, to] = listOf(element);
  const [ip, port] = concatOf(to);
  backends.set(Number(slot), `${textOf(ip)}:${textOf(port)}`);
}

/** An address, a block, or a range of addresses, which nft makes of blocks that touch. */
function blocksOfElement(element: unknown): string[] {
  if (typeof element === 'string') return [element];
  const { prefix, range } = recordOf(element);
  if (prefix !== undefined) return [`${textOf(recordOf(prefix)['addr'])}/${textOf(recordOf(prefix)['len'])}`];
  const [from, to] = listOf(range).map((end) => parseIp(textOf(end)));
  return from === undefined || to === undefined ? [] : blocksBetween(from, to).map(formatBlock);
}

type Admitted = Map<string, { readonly place: Omit<Guard, 'sources'>; readonly clients: string[] }>;

/** Of `guarded`: address, protocol, port; of `admitted`: the client before them. */
function addAdmitted(admitted: Admitted, parts: readonly string[]): void {
  const [ip = '', name = '', port = ''] = parts.slice(-3);
  const place = { backend: `${ip}:${port}`, protocol: protocolOf(name) };
  const entry = admitted.get(guardKey(place)) ?? { place, clients: [] };
  admitted.set(guardKey(place), entry);
  if (parts.length === 4) entry.clients.push(parts[0] ?? '');
}

function addFrontend(frontends: Map<string, Frontend>, element: unknown, more: Pick<Frontend, 'inside'> = {}): void {
  const [key, verdict] = listOf(element);
  const parts = concatOf(recordOf(recordOf(key)['elem'])['val'] ?? key).map(textOf);
  const [address = '', protocol = '', port = ''] = parts.length === 3 ? parts : ['*', ...parts];
  const target = targetOfChain(textOf(recordOf(recordOf(verdict)['jump'])['target'])) ?? '';
  const frontend = { address, protocol: protocolOf(protocol), port: Number(port), target, ...more };
  frontends.set(frontendKey(frontend), frontend);
}

const protocolOf = (text: string | undefined): Target['protocol'] =>
  text === 'udp' || text === '17' ? 'UDP' : text === 'sctp' || text === '132' ? 'SCTP' : 'TCP';

const objectsOf = (listing: string): readonly Json[] =>
  listing.trim() === '' ? [] : listOf(recordOf(JSON.parse(listing))['nftables']).map(recordOf);
const pick = (objects: readonly Json[], ...kinds: readonly string[]): Json[] =>
  objects.flatMap((object) => kinds.filter((kind) => kind in object).map((kind) => recordOf(object[kind])));
const recordOf = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {});
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
const concatOf = (value: unknown): readonly unknown[] => listOf(recordOf(value)['concat']);
const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
