import { gangOf } from '../../lib/api/gangs.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { needsOf } from '../../lib/api/pods.ts';
import type { Cluster } from '../../lib/placing/cluster.ts';
import { schedule, type Placement, type Refusal, type Schedule, type ScheduleOptions } from './schedule.ts';

export interface GangOptions extends ScheduleOptions {
  /** How many pods of a gang have their place already, by the gang's key. */
  readonly placedOf: (gang: string) => number;
}

/**
 * As `schedule`, and gangs get places for as many pods as they need at one time, or for none. The batch must have all pods of a
 * gang that wait. A gang is decided where its first pod stands; its room is given to nobody meanwhile and kept by nobody afterwards, so
 * that two gangs never wait for each other.
 */
export function scheduleGangs(pods: readonly Pod[], cluster: Cluster, options: GangOptions): Schedule {
  const parts = partsOf(pods);
  if (parts.length === 1 && parts[0]?.gang === undefined) return schedule(pods, cluster, options);
  const placements: Placement[] = [];
  const refusals: Refusal[] = [];
  const postponed: Pod[] = [];
  let { start } = options;
  try {
    for (const part of parts) {
      const result =
        part.gang === undefined
          ? schedule(part.pods, cluster, { ...options, start })
          : decideGang(part.gang, part.pods, cluster, options);
      for (const { ask, nodeName } of result.placements) cluster.assume(ask, nodeName);
      placements.push(...result.placements);
      refusals.push(...result.refusals);
      postponed.push(...result.postponed);
      if (part.gang === undefined) start = result.start;
    }
  } finally {
    for (const { ask } of placements) cluster.forget(ask.key);
  }
  return { placements, refusals, postponed, start };
}

interface Gang {
  readonly name: string;
  readonly key: string;
  readonly size: number;
}
interface Part {
  readonly gang?: Gang;
  readonly pods: Pod[];
}

/** The batch in its order, cut into stretches of plain pods and whole gangs. */
function partsOf(pods: readonly Pod[]): readonly Part[] {
  const parts: Part[] = [];
  const gangs = new Map<string, number>();
  for (const pod of pods) {
    const gang = gangOf(pod);
    const known = gang === undefined ? undefined : gangs.get(gang.key);
    const last = known === undefined ? parts.at(-1) : parts[known];
    if (gang === undefined && last !== undefined && last.gang === undefined) last.pods.push(pod);
    else if (gang === undefined) parts.push({ pods: [pod] });
    else if (known === undefined || last?.gang === undefined) {
      gangs.set(gang.key, parts.length);
      parts.push({ gang, pods: [pod] });
    } else {
      last.pods.push(pod);
      // Should they disagree, the larger size is meant: fewer could not do their work.
      if (gang.size > last.gang.size) parts[known] = { gang, pods: last.pods };
    }
  }
  return parts;
}

function decideGang(gang: Gang, pods: readonly Pod[], cluster: Cluster, options: GangOptions): Schedule {
  const { start, sample, profile, placedOf } = options;
  const placed = placedOf(gang.key);
  const need = gang.size - placed;
  const refuseAll = (message: string): Schedule => ({
    placements: [],
    refusals: pods.map((pod) => ({ pod, message })),
    postponed: [],
    start,
  });
  if (pods.length < need)
    return refuseAll(
      `waits for the rest of the gang "${gang.name}": ${pods.length + placed} of ${gang.size} pods are there`,
    );
  // From the first node on, so that the same state is told in the same words. No other pod is ended for a gang that may yet not fit.
  const result = schedule(pods.toSorted(largestFirst), cluster, {
    start: 0,
    sample,
    ...(profile === undefined ? {} : { profile }),
  });
  if (result.placements.length >= need) return result;
  if (result.postponed.length > 0) return { placements: [], refusals: [], postponed: pods, start };
  return refuseAll(
    `the gang "${gang.name}" needs places for ${need} pods at one time, and there are ${result.placements.length}; for the others ${result.refusals[0]?.message ?? ''}`,
  );
}

/** What is hard to place comes first, while there is most room. */
function largestFirst(a: Pod, b: Pod): number {
  const [left, right] = [needsOf(a.spec), needsOf(b.spec)];
  return right.cpuMilli - left.cpuMilli || right.memoryBytes - left.memoryBytes || (keyOf(a) < keyOf(b) ? -1 : 1);
}
