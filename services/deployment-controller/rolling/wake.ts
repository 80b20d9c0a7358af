import { makeKey } from '../../../lib/api/keys.ts';
import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { controllerOf } from '../../../lib/api/pods.ts';
import type { KeyQueue } from '../../../lib/controller/controller.ts';
import type { View } from '../../../lib/view/view.ts';
import { failureOf } from '../../../lib/rollout/verdict.ts';
import { concerned } from './controller.ts';

/** As with Deployments: by the figures of both controllers, and by their pods only when one begins or ceases to say that it cannot be good. */
export function wakeRollingUpdates(queue: KeyQueue, rcs: View<ReplicationController>, pods: View<Pod>): void {
  rcs.onChange(({ before, after }) => {
    for (const rc of [before, after]) if (rc !== undefined) for (const key of concerned(rcs, rc)) queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    const pod = after ?? before;
    const owner = pod && controllerOf(pod);
    if (owner?.kind !== 'ReplicationController') return;
    const [was, is] = [before, after].map((each) => (each === undefined ? undefined : failureOf(each)?.reason));
    const labelsDiffer = JSON.stringify(before?.metadata.labels) !== JSON.stringify(after?.metadata.labels);
    if (was === is && !labelsDiffer) return;
    const rc = rcs.get(makeKey(pod?.metadata.namespace ?? '', owner.name));
    if (rc !== undefined) for (const key of concerned(rcs, rc)) queue.add(key);
  });
}
