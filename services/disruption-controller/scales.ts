import type {
  ApiObject,
  DaemonSet,
  Deployment,
  Job,
  Pod,
  ReplicaSet,
  ReplicationController,
} from '../../lib/api/objects.ts';
import { makeKey } from '../../lib/api/keys.ts';
import { controllerOf } from '../../lib/api/pods.ts';
import type { View } from '../../lib/view/view.ts';
import type { CustomScales } from './custom-scales.ts';
import { withoutScale, type Scale } from './reconcile.ts';

/** Those who want pods, as budgets know them. */
export interface ScaleViews {
  readonly rcs: View<ReplicationController>;
  readonly sets: View<ReplicaSet>;
  readonly deployments: View<Deployment>;
  readonly daemons: View<DaemonSet>;
  readonly jobs: View<Job>;
}

/** How many pods the pod's controller wants; of a ReplicaSet of a Deployment the Deployment's, whose two sets share it in a rollout. */
export function scaleOf({ rcs, sets, deployments, daemons, jobs }: ScaleViews, custom: CustomScales, pod: Pod): Scale {
  const set = ownerIn(pod, 'ReplicaSet', sets);
  const scaled =
    ownerIn(pod, 'ReplicationController', rcs) ?? (set && (ownerIn(set, 'Deployment', deployments) ?? set));
  if (scaled !== undefined) return { uid: scaled.metadata.uid, replicas: scaled.spec.replicas };
  const daemon = ownerIn(pod, 'DaemonSet', daemons);
  if (daemon !== undefined) return { uid: daemon.metadata.uid, replicas: daemonsWanted(daemon) };
  const job = ownerIn(pod, 'Job', jobs);
  if (job !== undefined) return { uid: job.metadata.uid, replicas: runsWanted(job) };
  const uid = controllerOf(pod)?.uid ?? '';
  const replicas = custom.get(uid);
  return replicas === undefined ? withoutScale(pod) : { uid, replicas };
}

/** One on each node that fits, as its controller counted them. */
export const daemonsWanted = ({ status }: DaemonSet): number => status.desiredNumberScheduled;

/** Those that a Job runs at once: no more than are left to complete; of a work queue that has begun to end, those that still run. */
export function runsWanted({ spec: { parallelism, completions, suspend }, status }: Job): number {
  if (suspend) return 0;
  const { succeeded = 0, active = 0 } = status;
  if (completions !== undefined) return Math.min(parallelism, Math.max(0, completions - succeeded));
  return succeeded > 0 ? Math.min(active, parallelism) : parallelism;
}

function ownerIn<T extends ApiObject>(object: ApiObject, kind: string, view: View<T>): T | undefined {
  const owner = controllerOf(object);
  if (owner?.kind !== kind) return undefined;
  const found = view.get(makeKey(object.metadata.namespace, owner.name));
  return found?.metadata.uid === owner.uid ? found : undefined;
}
