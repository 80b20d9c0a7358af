import type { Pod } from '../../lib/api/objects.ts';
import { conditionOf, controllerOf, isActive, isAvailable, isDeleting, isReady } from '../../lib/api/pods.ts';
import { movingSinceAnnotation } from '../../lib/api/rebalancing.ts';
import { decideStep, replacementOf } from '../../lib/api/replacing.ts';

/** A pod that is being moved, and what is seen of its set. */
export interface UnderWay {
  readonly pod: Pod;
  /** Every pod of its controller. */
  readonly siblings: readonly Pod[];
  /** How many the controller wants; undefined where it is gone, or its pods may not be moved any more. */
  readonly replicas: number | undefined;
  /** What its disruption budget said when it was last to go. */
  readonly refusal?: string | undefined;
  /** Its replacement must have been ready for so long. */
  readonly minReadySeconds: number;
  /** Whether the pods of the set are more even with one less here and one more there. */
  readonly evens: (counts: ReadonlyMap<string, number>, to: string) => boolean;
}

export type Next =
  /** It goes, or is gone: nothing is left to do. */
  | { readonly do: 'wait'; readonly why: string }
  | { readonly do: 'mark' }
  | { readonly do: 'evict'; readonly replacement: Pod }
  /** It stays, and its controller may take the replacement back. */
  | { readonly do: 'takeBack'; readonly why: string };

/** What is to be done next for a pod that moves; safe to ask again, by another process too. */
export function nextStep(
  { pod, siblings, replicas, refusal, minReadySeconds, evens }: UnderWay,
  nowMs: number,
  deadlineMs: number,
): Next {
  if (isDeleting(pod)) return { do: 'wait', why: 'its containers are ending' };
  if (replicas === undefined) return { do: 'takeBack', why: 'its controller does not want its pods moved any more' };
  if (!isActive(pod) || !isReady(pod)) return { do: 'takeBack', why: 'it does not serve any more' };
  const since = Date.parse(pod.metadata.annotations?.[movingSinceAnnotation] ?? '');
  const uid = controllerOf(pod)?.uid ?? '';
  const sight = { going: [pod], siblings, replicas: new Map([[uid, replicas]]), nowMs };
  const { mark, evict } = decideStep(sight);
  if (!(nowMs < since + deadlineMs))
    return { do: 'takeBack', why: `after ${deadlineMs / 1000} s ${refusal ?? replacementOf(uid, siblings, nowMs)}` };
  if (mark.length > 0) return { do: 'mark' };
  const others = siblings.filter((each) => each.metadata.uid !== pod.metadata.uid && isActive(each));
  // Times in metadata are whole seconds.
  const isNew = (each: Pod): boolean => Date.parse(each.metadata.creationTimestamp) >= Math.floor(since / 1000) * 1000;
  const made = others.filter(isNew);
  const homeless = made.find(
    ({ spec, status }) => spec.nodeName === undefined && conditionOf(status, 'PodScheduled')?.status === 'False',
  );
  if (homeless !== undefined) return { do: 'takeBack', why: replacementOf(uid, siblings, nowMs) };
  const placed = made.filter(({ spec }) => spec.nodeName !== undefined);
  const better = placed.find((each) => evens(countsWithout(each, [pod, ...others]), each.spec.nodeName ?? ''));
  if (better === undefined && placed.length > 0)
    return { do: 'takeBack', why: `its replacement went to ${placed[0]?.spec.nodeName}, which is no better` };
  if (evict.length > 0 && better !== undefined && isAvailable(better, minReadySeconds, nowMs))
    return { do: 'evict', replacement: better };
  return { do: 'wait', why: replacementOf(uid, siblings, nowMs) };
}

/** The pods of a set by node, as they would be without one of them. */
function countsWithout(one: Pod, pods: readonly Pod[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec.nodeName;
    if (node !== undefined && pod !== one) counts.set(node, (counts.get(node) ?? 0) + 1);
  }
  return counts;
}
