import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import type { Labels, Pod, ReplicationController } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isReady } from '../../lib/api/pods.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';

/** What a change of a pod asks for: a look at once, or one a moment later for figures only. */
export interface Wakes {
  readonly now: readonly Key[];
  readonly soon: readonly Key[];
}

/**
 * The ReplicationControllers that a change of a pod concerns. What changes their count wakes them at once; a pod that
 * only becomes ready or unready moves figures of the status, which may wait for the next such change; the rest of a pod's
 * status and its node wake nobody. `matching` finds the controllers that would claim an ownerless pod.
 */
export function wakesOf(
  before: Pod | undefined,
  after: Pod | undefined,
  matching: (namespace: string, labels: Labels | undefined) => readonly Key[],
): Wakes {
  const keys = new Set([...concerned(before, matching), ...concerned(after, matching)]);
  if (before === undefined || after === undefined || countsDiffer(before, after)) return { now: [...keys], soon: [] };
  if (readinessDiffers(before, after)) return { now: [], soon: [...keys] };
  return { now: [], soon: [] };
}

function concerned(
  pod: Pod | undefined,
  matching: (namespace: string, labels: Labels | undefined) => readonly Key[],
): readonly Key[] {
  if (pod === undefined) return [];
  const { namespace = '', labels } = pod.metadata;
  const owner = controllerOf(pod);
  if (owner === undefined) return matching(namespace, labels);
  return owner.kind === 'ReplicationController' ? [makeKey(namespace, owner.name)] : [];
}

const countsDiffer = (before: Pod, after: Pod): boolean =>
  keyOf(before) !== keyOf(after) ||
  before.metadata.uid !== after.metadata.uid ||
  isActive(before) !== isActive(after) ||
  controllerOf(before)?.uid !== controllerOf(after)?.uid ||
  JSON.stringify(before.metadata.labels) !== JSON.stringify(after.metadata.labels);

const readinessDiffers = (before: Pod, after: Pod): boolean => isReady(before) !== isReady(after);

/** Figures of a status may be so much late. */
const soonMs = 50;

/** Wires the changes of both views to keys, for as long as the views live. */
export function wakeOnChanges(queue: KeyQueue, rcs: View<ReplicationController>, pods: View<Pod>): void {
  const selectors = new SelectorIndex();
  rcs.onChange(({ key, after }) => {
    if (after === undefined) selectors.delete(key);
    else selectors.set(key, after.metadata.namespace ?? '', after.spec.selector);
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    const { now, soon } = wakesOf(before, after, (namespace, labels) => selectors.matching(namespace, labels));
    for (const key of now) queue.add(key);
    for (const key of soon) queue.addAfter(key, soonMs);
  });
}
