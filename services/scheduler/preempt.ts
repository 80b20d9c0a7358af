import type { Key } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import { priorityOf, type Ask, type Cluster, type NodeState, type Occupant } from '../../lib/placing/cluster.ts';
import type { Filter } from '../../lib/placing/filters.ts';
import type { Profile } from '../../lib/placing/profile.ts';
import { sceneOf } from '../../lib/placing/scene.ts';

/** Room for a pod that fits nowhere, made on one node by ending pods of lower priority. */
export interface Preemption {
  readonly ask: Ask;
  readonly nodeName: string;
  /** To be ended; none where those that go already make room enough. */
  readonly victims: readonly Victim[];
  /** Going already, and waited for. */
  readonly going: readonly Key[];
}
export interface Victim {
  readonly pod: Pod;
  readonly key: Key;
  /** A disruption budget that does not allow it; it goes since nothing else would do. */
  readonly breaks: string | undefined;
  /** One budget selects it and allows it, and can be asked. */
  readonly asksBudget: boolean;
}
/** Why no room can be made. */
export type Hopeless = string;

/** The disruption budgets of a pod, and how many of their pods may go now. */
export type BudgetsOf = (pod: Pod) => readonly { readonly key: Key; readonly allowed: number }[];

export interface PreemptOptions {
  readonly profile: Pick<Profile, 'filters' | 'within'>;
  readonly budgetsOf: BudgetsOf;
  /** Pods that are being ended, besides those that say so themselves. */
  readonly ending: ReadonlySet<Key>;
  /** So many nodes that would do are compared. */
  readonly candidates: number;
  /** Index among the nodes of the first to look at. */
  readonly start: number;
}

/**
 * Where room is made for a pod that fits nowhere, by ending which pods. Depends on its arguments alone and leaves the cluster as it
 * was. Every rule of placing holds for the pod once the victims are gone, so that none ends in vain; they all have lower
 * priority; and none of them can be spared: each, put back alone, would keep the pod away.
 *
 * Of the nodes compared the one is taken where the fewest disruption budgets are broken, then where the highest priority
 * among the victims is lowest, then their sum, then their number, and then where they began last.
 */
export function preempt(ask: Ask, cluster: Cluster, options: PreemptOptions): Preemption | Hopeless | undefined {
  const { pod } = ask;
  if (!cluster.hasBelow(priorityOf(pod)) || ask.disks?.blocked !== undefined) return undefined;
  if (pod.spec.preemptionPolicy === 'Never') return 'its preemptionPolicy is Never';
  const giveBack = cluster.yieldTo(pod);
  try {
    return search(ask, cluster, options);
  } finally {
    giveBack();
  }
}

function search(ask: Ask, cluster: Cluster, options: PreemptOptions): Preemption | Hopeless {
  const { nodes } = cluster;
  const scene = sceneOf(ask, cluster);
  const lasting = options.profile.filters.filter((filter) => filter.lasting === true && filter.concerns(ask, scene));
  const counts = { useless: 0, noneLower: 0, notEnough: 0 };
  let best: Candidate | undefined;
  let found = 0;
  for (let looked = 0; looked < nodes.length && found < options.candidates; looked++) {
    const node = nodes[(options.start + looked) % nodes.length];
    if (node === undefined) continue;
    if (lasting.some((filter) => filter.refuse(ask, node, scene) !== undefined)) {
      counts.useless += 1;
      continue;
    }
    const lower = lowerOn(node, ask.pod, cluster);
    const candidate = lower.length === 0 ? undefined : candidateOn(node, lower, ask, { cluster, options });
    if (candidate !== undefined) {
      found += 1;
      if (best === undefined || compare(candidate, best, ask.pod) < 0) best = candidate;
    } else if (lower.length === 0) counts.noneLower += 1;
    else counts.notEnough += 1;
  }
  if (best !== undefined) return { ask, nodeName: best.node.name, victims: best.victims, going: best.going };
  return hopeless(nodes.length, counts);
}

/** Those whose binding is not confirmed yet are left alone. */
const lowerOn = (node: NodeState, pod: Pod, cluster: Cluster): readonly Occupant[] =>
  cluster.occupantsOf(node.name).filter(({ ask, assumed }) => !assumed && priorityOf(ask.pod) < priorityOf(pod));

interface Candidate {
  readonly node: NodeState;
  readonly victims: readonly Victim[];
  readonly going: readonly Key[];
}

/** Without all pods of lower priority the pod must fit; then each is put back, those that matter most first, where it still fits beside it. */
function candidateOn(
  node: NodeState,
  lower: readonly Occupant[],
  ask: Ask,
  { cluster, options }: { readonly cluster: Cluster; readonly options: PreemptOptions },
): Candidate | undefined {
  if (!mightHaveRoom(node, lower, ask)) return undefined;
  const away = new Map<Key, () => void>();
  const putBack = (key: Key): void => {
    away.get(key)?.();
    away.delete(key);
  };
  const takeAway = (key: Key): void => {
    away.set(key, cluster.suppose(key));
  };
  // Rules of users may be cut off anywhere: only while they read.
  const { within = (read) => read() } = options.profile;
  const fits = (): boolean => within(() => fitsNow(ask, node, cluster, options.profile.filters));
  try {
    for (const { ask: other } of lower) takeAway(other.key);
    if (!fits()) return undefined;
    const isGoing = ({ ask: other }: Occupant): boolean => isDeleting(other.pod) || options.ending.has(other.key);
    const victims: Victim[] = [];
    for (const victim of inOrder(
      lower.filter((each) => !isGoing(each)),
      options.budgetsOf,
    )) {
      putBack(victim.key);
      if (fits()) continue;
      takeAway(victim.key);
      victims.push(victim);
    }
    return { node, victims, going: lower.filter(isGoing).map(({ ask: other }) => other.key) };
  } finally {
    for (const key of [...away.keys()]) putBack(key);
  }
}

/** Sums alone, so that most nodes of a full cluster are passed by without more. */
function mightHaveRoom({ used, capacity }: NodeState, lower: readonly Occupant[], { needs }: Ask): boolean {
  const freed = { cpuMilli: 0, memoryBytes: 0, diskBytes: 0 };
  for (const { ask } of lower) {
    freed.cpuMilli += ask.needs.cpuMilli;
    freed.memoryBytes += ask.needs.memoryBytes;
    freed.diskBytes += ask.needs.diskBytes;
  }
  return (['cpuMilli', 'memoryBytes', 'diskBytes'] as const).every(
    (of) => needs[of] === 0 || used[of] - freed[of] + needs[of] <= capacity[of],
  );
}

function fitsNow(ask: Ask, node: NodeState, cluster: Cluster, filters: readonly Filter[]): boolean {
  const now = ask.disks === undefined ? ask : cluster.ask(ask.pod);
  const scene = sceneOf(now, cluster);
  return filters.every((filter) => !filter.concerns(now, scene) || filter.refuse(now, node, scene) === undefined);
}

/** The order in which pods are spared: those whose budget would be broken, then the higher priority, then the older. */
function inOrder(lower: readonly Occupant[], budgetsOf: BudgetsOf): readonly Victim[] {
  const left = new Map<Key, number>();
  const victims = lower
    .map(({ ask: { pod, key } }) => ({ pod, key }))
    .sort(
      (a, b) => priorityOf(b.pod) - priorityOf(a.pod) || beganAt(a.pod) - beganAt(b.pod) || (a.key < b.key ? -1 : 1),
    )
    .map(({ pod, key }): Victim => {
      const budgets = budgetsOf(pod);
      const over = budgets.filter((budget) => {
        const rest = (left.get(budget.key) ?? budget.allowed) - 1;
        left.set(budget.key, rest);
        return rest < 0;
      });
      return { pod, key, breaks: over[0]?.key, asksBudget: budgets.length === 1 && over.length === 0 };
    });
  return [
    ...victims.filter(({ breaks }) => breaks !== undefined),
    ...victims.filter(({ breaks }) => breaks === undefined),
  ];
}

const beganAt = ({ metadata, status }: Pod): number => Date.parse(status.startTime ?? metadata.creationTimestamp);

/** Negative when `a` costs less. */
function compare(a: Candidate, b: Candidate, pod: Pod): number {
  const nominated = pod.status.nominatedNodeName;
  const idle = ({ victims, node }: Candidate): number => (victims.length > 0 ? 2 : node.name === nominated ? 0 : 1);
  return (
    idle(a) - idle(b) ||
    brokenBy(a) - brokenBy(b) ||
    highest(a) - highest(b) ||
    sumOf(a) - sumOf(b) ||
    a.victims.length - b.victims.length ||
    firstBegun(b) - firstBegun(a) ||
    (a.node.name < b.node.name ? -1 : 1)
  );
}

const brokenBy = ({ victims }: Candidate): number => victims.filter(({ breaks }) => breaks !== undefined).length;
const highest = ({ victims }: Candidate): number => Math.max(-(2 ** 31), ...victims.map(({ pod }) => priorityOf(pod)));
/** Shifted, so that a further victim never makes the sum smaller. */
const sumOf = ({ victims }: Candidate): number => victims.reduce((sum, { pod }) => sum + priorityOf(pod) + 2 ** 31, 0);
/** When the first of those with the highest priority began. */
const firstBegun = (candidate: Candidate): number =>
  Math.min(
    Number.MAX_SAFE_INTEGER,
    ...candidate.victims.filter(({ pod }) => priorityOf(pod) === highest(candidate)).map(({ pod }) => beganAt(pod)),
  );

// ---- Words ---------------------------------------------------------------------------------------

function hopeless(
  nodes: number,
  { useless, noneLower, notEnough }: Readonly<Record<'useless' | 'noneLower' | 'notEnough', number>>,
): Hopeless {
  const reasons = [
    [useless, 'where ending pods would not help'],
    [noneLower, 'without pods of lower priority'],
    [notEnough, 'where all those of lower priority would not be enough'],
  ] as const;
  const told = reasons.filter(([count]) => count > 0).map(([count, reason]) => `${count} ${reason}`);
  return `room can be made on 0/${nodes} nodes: ${told.join(', ')}`;
}

const maxNamed = 3;

/** What is done for a pod that fits nowhere, for people. */
export function wordsOf({ nodeName, victims, going }: Preemption): string {
  if (victims.length === 0) return `room is kept on ${nodeName}, waiting for ${namesOf(going)} to end`;
  const broken = [...new Set(victims.flatMap(({ breaks }) => breaks ?? []))];
  const against = broken.length === 0 ? '' : `, against the disruption budget ${broken.join(', ')}`;
  return `room is made on ${nodeName} by ending ${namesOf(victims.map(({ key }) => key))}${against}`;
}

function namesOf(keys: readonly Key[]): string {
  const named = keys.slice(0, maxNamed).join(', ');
  return keys.length <= maxNamed ? named : `${named} and ${keys.length - maxNamed} more`;
}
