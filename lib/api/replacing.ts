import { keyOf } from './keys.ts';
import { isLeaving, leavingAnnotation } from './leaving.ts';
import type { Pod } from './objects.ts';
import { conditionOf, controllerOf, isActive, isDeleting, isReady } from './pods.ts';

/** What is to be known to replace pods before they go. */
export interface Sight {
  /** Those that are to go and are still there. */
  readonly going: readonly Pod[];
  /** Every pod that has the controller of one of them. */
  readonly siblings: readonly Pod[];
  /** How many pods a controller wants, by its uid; absent where it makes none anew. */
  readonly replicas: ReadonlyMap<string, number>;
  readonly nowMs: number;
}
export interface Step {
  /** To be told to their controllers as leaving, or told again. */
  readonly mark: readonly Pod[];
  readonly evict: readonly Pod[];
  /** Why others wait. */
  readonly wait: readonly Told[];
}
export interface Told {
  readonly pod: Pod;
  readonly why: string;
}

/** A mark lasts so long; it is renewed at half of that. */
export const markLastsMs = 120_000;

/**
 * What can be done now for the pods that are to go. One that serves goes only when its controller has as many ready pods besides as it
 * wants: its replacement comes first. Depends on its arguments only.
 */
export function decideStep({ going, siblings, replicas, nowMs }: Sight): Step {
  const mark: Pod[] = [];
  const evict: Pod[] = [];
  const wait: Told[] = [];
  const spare = new Map<string, number>();
  for (const [uid, wanted] of replicas)
    spare.set(
      uid,
      siblings.filter((pod) => controllerOf(pod)?.uid === uid && isActive(pod) && isReady(pod)).length - wanted,
    );
  for (const pod of going) {
    if (isDeleting(pod)) {
      wait.push({ pod, why: 'its containers are ending' });
      continue;
    }
    const uid = controllerOf(pod)?.uid ?? '';
    const left = spare.get(uid);
    if (left === undefined || !isActive(pod) || !isReady(pod)) {
      evict.push(pod);
      continue;
    }
    if (Date.parse(pod.metadata.annotations?.[leavingAnnotation] ?? '0') < nowMs + markLastsMs / 2) mark.push(pod);
    if (left > 0) {
      spare.set(uid, left - 1);
      evict.push(pod);
    } else wait.push({ pod, why: replacementOf(uid, siblings, nowMs) });
  }
  return { mark, evict, wait };
}

/** What is missing until a replacement serves. */
export function replacementOf(uid: string, siblings: readonly Pod[], nowMs: number): string {
  const coming = siblings
    .filter((pod) => controllerOf(pod)?.uid === uid && isActive(pod) && !isReady(pod) && !isLeaving(pod, nowMs))
    .sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const homeless = coming.find(({ spec }) => spec.nodeName === undefined);
  const why = homeless === undefined ? undefined : conditionOf(homeless.status, 'PodScheduled')?.message;
  if (homeless !== undefined && why !== undefined)
    return `its replacement ${keyOf(homeless)} has no place: ${why.replace(/\.$/, '')}`;
  const [first] = coming;
  if (first === undefined) return 'its replacement is still to be made';
  return first.spec.nodeName === undefined
    ? `its replacement ${keyOf(first)} has no node yet`
    : `its replacement ${keyOf(first)} on ${first.spec.nodeName} is not ready yet`;
}
