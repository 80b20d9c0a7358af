import { sameSources } from './sources.ts';
import { equalGuards, type Guard } from './guards.ts';
import { equalTargets, frontendKey, type Backend, type Frontend, type ProxyTable, type Target } from './table.ts';

/** What leads from one table to another, and nothing else: an endpoint that comes or goes changes its own targets only. */
export interface TableChanges {
  readonly addedTargets: readonly Target[];
  readonly removedTargets: readonly Target[];
  readonly changedTargets: readonly { readonly before: Target; readonly after: Target }[];
  /** A frontend that leads elsewhere now is in both. */
  readonly addedFrontends: readonly Frontend[];
  readonly removedFrontends: readonly Frontend[];
  readonly addedLocal: readonly string[];
  readonly removedLocal: readonly string[];
  readonly addedGuards: readonly Guard[];
  readonly removedGuards: readonly Guard[];
  readonly changedGuards: readonly { readonly before: Guard; readonly after: Guard }[];
}

export function diff(before: ProxyTable, after: ProxyTable): TableChanges {
  const addedTargets: Target[] = [];
  const changedTargets: { before: Target; after: Target }[] = [];
  for (const target of after.targets.values()) {
    const former = before.targets.get(target.id);
    if (former === undefined) addedTargets.push(target);
    else if (!equalTargets(former, target)) changedTargets.push({ before: former, after: target });
  }
  const addedFrontends: Frontend[] = [];
  const removedFrontends: Frontend[] = [];
  for (const [key, frontend] of after.frontends) {
    const former = before.frontends.get(key);
    if (former?.target === frontend.target) continue;
    addedFrontends.push(frontend);
    if (former !== undefined) removedFrontends.push(former);
  }
  for (const [key, frontend] of before.frontends) if (!after.frontends.has(key)) removedFrontends.push(frontend);
  return {
    addedTargets,
    removedTargets: [...before.targets.values()].filter((target) => !after.targets.has(target.id)),
    changedTargets,
    addedFrontends,
    removedFrontends,
    addedLocal: before.local === after.local ? [] : [...after.local].filter((ip) => !before.local.has(ip)),
    removedLocal: before.local === after.local ? [] : [...before.local].filter((ip) => !after.local.has(ip)),
    ...diffGuards(before.guards, after.guards),
  };
}

function diffGuards(
  before: ProxyTable['guards'],
  after: ProxyTable['guards'],
): Pick<TableChanges, 'addedGuards' | 'removedGuards' | 'changedGuards'> {
  const addedGuards: Guard[] = [];
  const removedGuards: Guard[] = [];
  const changedGuards: { before: Guard; after: Guard }[] = [];
  if (before === after) return { addedGuards, removedGuards, changedGuards };
  for (const [key, guard] of after) {
    const former = before.get(key);
    if (former === undefined) addedGuards.push(guard);
    else if (!equalGuards(former, guard)) changedGuards.push({ before: former, after: guard });
  }
  for (const [key, guard] of before) if (!after.has(key)) removedGuards.push(guard);
  return { addedGuards, removedGuards, changedGuards };
}

/** How many separate things change. */
export function countChanges(changes: TableChanges): number {
  const lists: readonly (readonly unknown[])[] = Object.values(changes) as (readonly unknown[])[];
  return lists.reduce((sum, list) => sum + list.length, 0);
}

export const isEmpty = (changes: TableChanges): boolean => countChanges(changes) === 0;

/** A frontend whose connections to `backend` should end: it no longer leads there. */
export interface LostBackend {
  readonly frontend: Frontend;
  readonly backend: Backend;
}

/** The pairs of frontend and backend that `before` had and `after` has not. */
export function lostBackends(before: ProxyTable, after: ProxyTable, changes: TableChanges): LostBackend[] {
  const gone: LostBackend[] = [];
  for (const frontend of changes.removedFrontends) {
    const left = new Set(backendsAt(after, frontend));
    for (const backend of before.targets.get(frontend.target)?.backends ?? []) {
      if (!left.has(backend)) gone.push({ frontend, backend });
    }
  }
  const removed = new Set(changes.removedFrontends);
  const lost = new Map<string, readonly Backend[]>();
  for (const { before: old, after: now } of changes.changedTargets) {
    const left = new Set(now.backends);
    const backends = old.backends.filter((backend) => !left.has(backend));
    if (backends.length > 0) lost.set(old.id, backends);
  }
  if (lost.size === 0) return gone;
  for (const frontend of before.frontends.values()) {
    const backends = removed.has(frontend) ? undefined : lost.get(frontend.target);
    for (const backend of backends ?? []) gone.push({ frontend, backend });
  }
  return gone;
}

/** The frontends of `after` that not everybody may connect to who was there before. */
export function narrowedFrontends(after: ProxyTable, changes: TableChanges): Frontend[] {
  const narrowed = new Set<string>();
  for (const { before, after: now } of changes.changedTargets)
    if (now.sources !== undefined && !sameSources(before.sources, now.sources)) narrowed.add(now.id);
  const moved = changes.addedFrontends.filter(({ target }) => after.targets.get(target)?.sources !== undefined);
  if (narrowed.size === 0) return moved;
  return [...moved, ...[...after.frontends.values()].filter(({ target }) => narrowed.has(target))];
}

const backendsAt = (table: ProxyTable, frontend: Frontend): readonly Backend[] => {
  const now = table.frontends.get(frontendKey(frontend));
  return now === undefined ? [] : (table.targets.get(now.target)?.backends ?? []);
};

/** Sentences for the differences of two tables, at most `limit`. */
export function describeChanges(changes: TableChanges, limit = 10): string[] {
  const frontend = (each: Frontend): string => `${frontendKey(each)} to ${each.target}`;
  const who = (sources: readonly string[] | undefined): string =>
    sources === undefined ? '' : ` for ${sources.join(' ') || 'nobody'}`;
  const target = (each: Target): string =>
    `${each.id} with ${each.backends.join(' ') || 'no backends'}${who(each.sources)}`;
  const guard = (each: Guard): string => `guard of ${each.backend}/${each.protocol}${who(each.sources)}`;
  return [
    ...changes.addedTargets.map((each) => `missing: ${target(each)}`),
    ...changes.removedTargets.map((each) => `not wanted: ${target(each)}`),
    ...changes.changedTargets.map(({ before, after }) => `${target(before)} where ${target(after)} is wanted`),
    ...changes.addedFrontends.map((each) => `missing: ${frontend(each)}`),
    ...changes.removedFrontends.map((each) => `not wanted: ${frontend(each)}`),
    ...changes.addedLocal.map((ip) => `missing: local backend ${ip}`),
    ...changes.removedLocal.map((ip) => `not wanted: local backend ${ip}`),
    ...changes.addedGuards.map((each) => `missing: ${guard(each)}`),
    ...changes.removedGuards.map((each) => `not wanted: ${guard(each)}`),
    ...changes.changedGuards.map(({ before, after }) => `${guard(before)} where ${guard(after)} is wanted`),
  ].slice(0, limit);
}
