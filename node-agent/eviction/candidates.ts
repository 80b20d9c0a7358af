import type { Pod } from '../../lib/api/objects.ts';
import { needsOf } from '../../lib/api/pods.ts';
import type { PodCgroups } from '../cgroups/pod-cgroups.ts';
import type { Candidate } from './rank.ts';
import type { Shortage } from './pressure.ts';

export interface Measures {
  readonly cgroups: Pick<PodCgroups, 'usage'> | undefined;
  /** Bytes that the pod has on the node's disk; undefined where that cannot be told. */
  readonly diskUsage: (pod: Pod) => Promise<number | undefined>;
}

/** What each pod takes of what is short. One whose use cannot be told counts with nothing. */
export async function candidatesOf(
  pods: readonly Pod[],
  kind: Shortage,
  measures: Measures,
): Promise<readonly Candidate[]> {
  const candidates: Candidate[] = [];
  // One after another: measuring a disk keeps the engine busy.
  for (const pod of pods) {
    const needs = needsOf(pod.spec);
    if (kind === 'disk') {
      candidates.push({ pod, used: (await measures.diskUsage(pod)) ?? 0, requested: needs.diskBytes });
      continue;
    }
    const usage = await measures.cgroups?.usage(pod.metadata.uid);
    candidates.push(
      kind === 'memory'
        ? { pod, used: usage?.memoryBytes ?? 0, requested: needs.memoryBytes }
        : { pod, used: usage?.pids ?? 0, requested: 0 },
    );
  }
  return candidates;
}
