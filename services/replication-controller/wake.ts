import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import { matches, type Selector } from '../../lib/api/labels.ts';
import { leavingAnnotation } from '../../lib/api/leaving.ts';
import type { Labels, Pod } from '../../lib/api/objects.ts';
import { controllerOf, isActive, isReady } from '../../lib/api/pods.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { labelSelectorOf, podSelectorOf, type Replicated } from './replicated.ts';

/** What a change of a pod asks for: a look at once, or one a moment later for figures only. */
export interface Wakes {
  readonly now: readonly Key[];
  readonly soon: readonly Key[];
}

/** The owners of one kind, and which of them would claim an ownerless pod. */
export interface Owners {
  readonly kind: Replicated['kind'];
  readonly matching: (namespace: string, labels: Labels | undefined) => readonly Key[];
}

/**
 * The owners of one kind that a change of a pod concerns. What changes their count wakes them at once; a pod that
 * only becomes ready or unready moves figures of the status, which may wait for the next such change; the rest of a pod's
 * status and its node wake nobody.
 */
export function wakesOf(before: Pod | undefined, after: Pod | undefined, owners: Owners): Wakes {
  const keys = new Set([...concerned(before, owners), ...concerned(after, owners)]);
  if (before === undefined || after === undefined || countsDiffer(before, after)) return { now: [...keys], soon: [] };
  if (readinessDiffers(before, after)) return { now: [], soon: [...keys] };
  return { now: [], soon: [] };
}

function concerned(pod: Pod | undefined, { kind, matching }: Owners): readonly Key[] {
  if (pod === undefined) return [];
  const { namespace = '', labels } = pod.metadata;
  const owner = controllerOf(pod);
  if (owner === undefined) return matching(namespace, labels);
  return owner.kind === kind ? [makeKey(namespace, owner.name)] : [];
}

const countsDiffer = (before: Pod, after: Pod): boolean =>
  keyOf(before) !== keyOf(after) ||
  before.metadata.uid !== after.metadata.uid ||
  isActive(before) !== isActive(after) ||
  controllerOf(before)?.uid !== controllerOf(after)?.uid ||
  before.metadata.annotations?.[leavingAnnotation] !== after.metadata.annotations?.[leavingAnnotation] ||
  JSON.stringify(before.metadata.labels) !== JSON.stringify(after.metadata.labels);

const readinessDiffers = (before: Pod, after: Pod): boolean => isReady(before) !== isReady(after);

/** Figures of a status may be so much late. */
const soonMs = 50;

/** Wires the changes of both views to keys, for as long as the views live. */
export function wakeOnChanges<T extends Replicated>(
  queue: KeyQueue,
  kind: Replicated['kind'],
  owners: View<T>,
  pods: View<Pod>,
): void {
  const selectors = new OwnerIndex();
  owners.onChange(({ key, after }) => {
    if (after === undefined) selectors.delete(key);
    else selectors.set(key, after);
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    const { now, soon } = wakesOf(before, after, {
      kind,
      matching: (namespace, labels) => selectors.matching(namespace, labels),
    });
    for (const key of now) queue.add(key);
    for (const key of soon) queue.addAfter(key, soonMs);
  });
}

/** Filed by the plain pairs of their selectors; the few that have none are asked one after another. */
class OwnerIndex {
  readonly #plain = new SelectorIndex();
  readonly #others = new Map<Key, { readonly namespace: string; readonly selector: Selector }>();

  set(key: Key, owner: Replicated): void {
    this.#others.delete(key);
    const { namespace = '' } = owner.metadata;
    // Pairs alone find a few too many where there are expressions besides; who is woken for nothing rests at once.
    const { matchLabels } = labelSelectorOf(owner);
    this.#plain.set(key, namespace, matchLabels);
    if (Object.keys(matchLabels ?? {}).length === 0)
      this.#others.set(key, { namespace, selector: podSelectorOf(owner) });
  }

  delete(key: Key): void {
    this.#plain.delete(key);
    this.#others.delete(key);
  }

  matching(namespace: string, labels: Labels | undefined): readonly Key[] {
    const found = this.#plain.matching(namespace, labels);
    for (const [key, other] of this.#others)
      if (other.namespace === namespace && matches(other.selector, labels)) found.push(key);
    return found;
  }
}
