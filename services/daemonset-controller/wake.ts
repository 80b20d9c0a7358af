import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { ApiObject, ControllerRevision, DaemonSet, Node, Pod } from '../../lib/api/objects.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { concernsDaemons } from './fit.ts';

/** How pods and revisions are filed: by the DaemonSet that owns them, and the ownerless by their namespace. */
export const ownerIndexes = {
  owner: (object: ApiObject): readonly string[] => {
    const owner = controllerOf(object);
    return owner?.kind === 'DaemonSet' ? [owner.uid] : [];
  },
  ownerless: (object: ApiObject): readonly string[] =>
    controllerOf(object) === undefined ? [object.metadata.namespace ?? ''] : [],
};

export interface Views {
  readonly sets: View<DaemonSet>;
  /** With `ownerIndexes`. */
  readonly revisions: View<ControllerRevision>;
  readonly nodes: View<Node>;
  /** With `ownerIndexes`. */
  readonly pods: View<Pod>;
}

/** Changes of many pods and nodes are looked at together. */
const togetherMs = 20;

/** Wires the changes of all views to keys, for as long as the views live. There are few DaemonSets: a node concerns them all. */
export function wakeOnChanges(queue: KeyQueue, { sets, revisions, nodes, pods }: Views): void {
  sets.onChange(({ key }) => {
    queue.add(key);
  });
  nodes.onChange(({ before, after }) => {
    if (concernsDaemons(before, after)) for (const set of sets.list()) queue.addAfter(keyOf(set), togetherMs);
  });
  for (const view of [pods, revisions] as const)
    view.onChange(({ before, after }) => {
      for (const key of new Set([...concerned(sets, before), ...concerned(sets, after)]))
        queue.addAfter(key, togetherMs);
    });
}

function concerned(sets: View<DaemonSet>, object: ApiObject | undefined): readonly Key[] {
  if (object === undefined) return [];
  const { namespace, labels } = object.metadata;
  const owner = controllerOf(object);
  if (owner !== undefined) return owner.kind === 'DaemonSet' ? [makeKey(namespace, owner.name)] : [];
  return sets
    .list()
    .filter(
      ({ metadata, spec }) =>
        metadata.namespace === namespace && matches(selectorOfLabelSelector(spec.selector), labels),
    )
    .map(keyOf);
}
