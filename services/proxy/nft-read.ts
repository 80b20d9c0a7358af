import { readAffinitySet, targetOfChain, type KnownClient } from './nft-script.ts';
import { masqueradeBase } from './slots.ts';
import { frontendKey, type Backend, type Frontend, type ProxyTable, type Target } from './table.ts';

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
  for (const set of pick(objects, 'set', 'map')) {
    const name = textOf(set['name']);
    const clients = readAffinitySet(name);
    if (clients !== undefined) affinity.set(clients.target, clients.seconds);
    for (const element of listOf(set['elem'])) {
      if (name === 'local') local.add(textOf(concatOf(element)[0]));
      if (name === 'backends') addBackend(backends, element);
      if (name === 'services' || name === 'node_services') addFrontend(frontends, element);
    }
  }
  const targets = readTargets(objects, backends, affinity);
  return { targets, frontends, local, conflicts: [] };
}

/** Whether the part that every table has is whole: base chains with their rules. A sentence when it is not. */
export function readSkeleton(listing: string): string | undefined {
  const rules = new Map<string, number>();
  for (const rule of pick(objectsOf(listing), 'rule')) {
    const chain = textOf(rule['chain']);
    rules.set(chain, (rules.get(chain) ?? 0) + 1);
  }
  const wanted = { prerouting: 1, output: 1, postrouting: 1, dispatch: 2, vip: 4, node: 4, translate: 4, refuse: 2 };
  const wrong = Object.entries(wanted).find(([chain, count]) => rules.get(chain) !== count);
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

function readTargets(objects: readonly Json[], backends: Map<number, Backend>, affinity: Map<string, number>) {
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
    targets.set(id, {
      id,
      protocol: protocolOf(
        id
          .replace(/\/external$/, '')
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

function addFrontend(frontends: Map<string, Frontend>, element: unknown): void {
  const [key, verdict] = listOf(element);
  const parts = concatOf(key).map(textOf);
  const [address = '', protocol = '', port = ''] = parts.length === 3 ? parts : ['*', ...parts];
  const target = targetOfChain(textOf(recordOf(recordOf(verdict)['jump'])['target'])) ?? '';
  const frontend = { address, protocol: protocolOf(protocol), port: Number(port), target };
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
