import { makeKey, type Key } from '../../lib/api/keys.ts';
import type { Deployment, Pod, ReplicaSet } from '../../lib/api/objects.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { failureOf } from '../../lib/rollout/verdict.ts';

export interface Watched {
  readonly deployments: View<Deployment>;
  readonly sets: View<ReplicaSet>;
  readonly pods: View<Pod>;
}

/**
 * Wires changes to keys, for as long as the views live. A Deployment is woken by itself and by its ReplicaSets, whose status has the
 * figures; by their pods only when one begins or ceases to say that it cannot be good.
 */
export function wakeOnChanges(queue: KeyQueue, { deployments, sets, pods }: Watched): void {
  deployments.onChange(({ key }) => queue.add(key));
  sets.onChange(({ before, after }) => {
    for (const key of new Set([...deploymentOf(before), ...deploymentOf(after)])) queue.add(key);
    // One without an owner may be taken by any Deployment of its namespace.
    if (after !== undefined && controllerOf(after) === undefined)
      for (const { metadata } of deployments.list(after.metadata.namespace))
        queue.add(makeKey(metadata.namespace ?? '', metadata.name));
  });
  pods.onChange(({ before, after }) => {
    const [was, is] = [before, after].map((pod) => (pod === undefined ? undefined : failureOf(pod)?.reason));
    if (was === is) return;
    const owner = controllerOf((after ?? before) as Pod);
    if (owner?.kind !== 'ReplicaSet') return;
    const { namespace = '' } = ((after ?? before) as Pod).metadata;
    for (const key of deploymentOf(sets.get(makeKey(namespace, owner.name)))) queue.add(key);
  });
}

function deploymentOf(set: ReplicaSet | undefined): readonly Key[] {
  const owner = set === undefined ? undefined : controllerOf(set);
  return owner?.kind === 'Deployment' ? [makeKey(set?.metadata.namespace ?? '', owner.name)] : [];
}
