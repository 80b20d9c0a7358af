import { keyOf, type Key } from '../../../lib/api/keys.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { guardsOf, noGuards, sameBehind, type Guard } from './guards.ts';
import { ShardedMap } from './sharded-map.ts';
import { compileService, type Frontend, type Piece, type Target } from './piece.ts';

export { equalTargets, frontendKey } from './piece.ts';
export type { Backend, Frontend, Target } from './piece.ts';
export { guardKey } from './guards.ts';
export type { Guard } from './guards.ts';

/** Everything that the proxy of one node makes happen. */
export interface ProxyTable {
  readonly targets: ReadonlyMap<string, Target>;
  /** By `frontendKey`. */
  readonly frontends: ReadonlyMap<string, Frontend>;
  /** Addresses of backends that are pods of this node: a pod among them can reach itself through its own service. */
  readonly local: ReadonlySet<string>;
  /** Ports of pods of this node that only some may connect to, also past the services, by `guardKey`. */
  readonly guards: ReadonlyMap<string, Guard>;
  /** One sentence for each address and port that two services claim; the older service has it. */
  readonly conflicts: readonly string[];
}

export const emptyTable: ProxyTable = {
  targets: new Map(),
  frontends: new Map(),
  local: new Set(),
  guards: noGuards,
  conflicts: [],
};

/** A table that knows which service each part of it comes from, so that the next one costs only what changed. */
export interface CompiledTable extends ProxyTable {
  readonly pieces: ReadonlyMap<Key, Piece>;
}

export const emptyCompiled: CompiledTable = { ...emptyTable, pieces: new Map() };

/**
 * The whole table from a snapshot of services and endpoints (F134, F138). Depends on its arguments only; the order of the services does not matter.
 * Headless services and ExternalName have no virtual address and are DNS's alone.
 */
export function compile(
  services: Iterable<Service>,
  endpoints: (key: Key) => Endpoints | undefined,
  nodeName: string,
): CompiledTable {
  const pieces = new Map<Key, Piece>();
  const targets = new Map<string, Target>();
  const frontends = new Map<string, Frontend>();
  const contested = new Set<string>();
  for (const service of services) {
    const key = keyOf(service);
    const piece = compileService(service, endpoints(key), nodeName);
    pieces.set(key, piece);
    for (const target of piece.targets) targets.set(target.id, target);
    for (const [at, frontend] of piece.frontends) {
      if (frontends.has(at)) contested.add(at);
      else frontends.set(at, frontend);
    }
  }
  const conflicts = contested.size === 0 ? [] : settle(contested, pieces, frontends);
  const guards = guardsOf(behinds(pieces));
  return {
    targets: ShardedMap.from(targets),
    frontends: ShardedMap.from(frontends),
    local: localOf(pieces),
    guards,
    conflicts,
    pieces: ShardedMap.from(pieces),
  };
}

/** What a later snapshot is read from. */
export interface Snapshot {
  service(key: Key): Service | undefined;
  endpoints(key: Key): Endpoints | undefined;
}

/**
 * What `compile` would answer for a snapshot that differs from that of `before` at most in the services and endpoints under `keys`.
 * Parts that say the same as before are the same objects. Undefined when services claim the same address and port: compile the whole.
 */
export function recompile(
  before: CompiledTable,
  keys: Iterable<Key>,
  snapshot: Snapshot,
  nodeName: string,
): CompiledTable | undefined {
  if (before.conflicts.length > 0) return undefined;
  const pieces = ShardedMap.from(before.pieces).edit();
  const targets = ShardedMap.from(before.targets).edit();
  const frontends = ShardedMap.from(before.frontends).edit();
  const fresh: Piece[] = [];
  let sameLocal = true;
  let sameGuards = true;
  for (const key of keys) {
    const former = pieces.get(key);
    for (const { id } of former?.targets ?? []) targets.delete(id);
    for (const [at] of former?.frontends ?? []) frontends.delete(at);
    const service = snapshot.service(key);
    const piece = service && compileService(service, snapshot.endpoints(key), nodeName, former);
    sameLocal &&= String(former?.local ?? []) === String(piece?.local ?? []);
    sameGuards &&=
      sameBehind(former?.behind ?? [], piece?.behind ?? []) ||
      (before.guards === noGuards && piece?.behind.some(({ sources }) => sources !== undefined) !== true);
    pieces.delete(key);
    if (piece === undefined) continue;
    pieces.set(key, piece);
    fresh.push(piece);
  }
  for (const piece of fresh) {
    for (const target of piece.targets) targets.set(target.id, target);
    for (const [at, frontend] of piece.frontends) {
      if (frontends.has(at)) return undefined;
      frontends.set(at, frontend);
    }
  }
  const after = pieces.done();
  const local = sameLocal ? before.local : localOf(after);
  const guards = sameGuards ? before.guards : guardsOf(behinds(after));
  return { targets: targets.done(), frontends: frontends.done(), local, guards, conflicts: [], pieces: after };
}

/** The part of a table that comes from the services under `keys`, with all local addresses and guards: tables without conflicts only. */
export function partOf(table: CompiledTable, keys: Iterable<Key>): ProxyTable {
  const pieces = [...keys].flatMap((key) => table.pieces.get(key) ?? []);
  return {
    targets: new Map(pieces.flatMap((piece) => piece.targets.map((target) => [target.id, target]))),
    frontends: new Map(pieces.flatMap((piece) => piece.frontends)),
    local: table.local,
    guards: table.guards,
    conflicts: [],
  };
}

function localOf(pieces: ReadonlyMap<Key, Piece>): Set<string> {
  const local = new Set<string>();
  for (const piece of pieces.values()) for (const ip of piece.local) local.add(ip);
  return local;
}

function* behinds(pieces: ReadonlyMap<Key, Piece>): Iterable<Piece['behind']> {
  for (const { behind } of pieces.values()) yield behind;
}

/** Gives each contested frontend to its oldest service, and says so. */
function settle(
  contested: ReadonlySet<string>,
  pieces: ReadonlyMap<Key, Piece>,
  frontends: Map<string, Frontend>,
): string[] {
  const claims = new Map([...contested].map((at) => [at, [] as (Claim & { readonly frontend: Frontend })[]]));
  for (const [key, { since, frontends: own }] of pieces) {
    for (const [at, frontend] of own) claims.get(at)?.push({ key, since, frontend });
  }
  const conflicts: string[] = [];
  for (const [at, claimants] of claims) {
    const [winner, ...losers] = claimants.toSorted(byAge);
    if (winner === undefined) continue;
    frontends.set(at, winner.frontend);
    conflicts.push(`${at} belongs to ${winner.key}; ${losers.map(({ key }) => key).join(', ')} asked for it too`);
  }
  return conflicts.sort();
}

interface Claim {
  readonly key: Key;
  readonly since: string;
}

/** The older service keeps an address; the key decides between twins. */
const byAge = (a: Claim, b: Claim): number =>
  a.since === b.since ? (a.key < b.key ? -1 : 1) : a.since < b.since ? -1 : 1;

/** The Service of a service port, by the latter's `id`. */
export const serviceOf = (target: string): Key => target.split('/', 2).join('/');
