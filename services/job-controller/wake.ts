import { makeKey, type Key } from '../../lib/api/keys.ts';
import { jobNameLabel } from '../../lib/api/jobs.ts';
import type { Job, Pod } from '../../lib/api/objects.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { isTracked } from './pods.ts';

/** How pods are filed: by the Job that owns them, by the Job that they wait for, and the ownerless by each of their labels. */
export const podIndexes = {
  owner: (pod: Pod): readonly string[] => {
    const owner = controllerOf(pod);
    return owner?.kind === 'Job' ? [owner.uid] : [];
  },
  tracked: (pod: Pod): readonly Key[] => (isTracked(pod) ? keysOf(pod) : []),
  ownerless: (pod: Pod): readonly string[] =>
    controllerOf(pod) !== undefined
      ? []
      : Object.entries(pod.metadata.labels ?? {}).map(([name, value]) => pairOf(pod.metadata.namespace, name, value)),
};
export const pairOf = (namespace: string | undefined, name: string, value: string): string =>
  `${namespace}/${name}=${value}`;

/** The Job of a pod: its owner, or for one that has none (any more) the Job that its label names. */
function keysOf(pod: Pod): readonly Key[] {
  const { namespace, name, labels } = pod.metadata;
  const owner = controllerOf(pod);
  if (owner !== undefined) return owner.kind === 'Job' ? [makeKey(namespace, owner.name)] : [makeKey(namespace, name)];
  return [makeKey(namespace, labels?.[jobNameLabel] ?? name)];
}

/** Jobs that pods wait for, there or gone. */
export const trackedKeys = (pods: View<Pod>): readonly Key[] => pods.list().flatMap(podIndexes.tracked);

/** Changes of many pods are looked at together. */
const togetherMs = 20;

export function wakeOnChanges(queue: KeyQueue, jobs: View<Job>, pods: View<Pod>): void {
  jobs.onChange(({ key }) => {
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    for (const pod of [before, after]) {
      if (pod === undefined) continue;
      const isOurs = controllerOf(pod)?.kind === 'Job' || isTracked(pod);
      const mayBecomeOurs = controllerOf(pod) === undefined && pod.metadata.labels?.[jobNameLabel] !== undefined;
      if (isOurs || mayBecomeOurs) for (const key of keysOf(pod)) queue.addAfter(key, togetherMs);
    }
  });
}
