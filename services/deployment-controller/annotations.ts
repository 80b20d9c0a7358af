import type { Deployment, ReplicaSet } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';
import { configAnnotation, heldAnnotation } from '../../lib/rollout/resolve-config.ts';
import { revertedAnnotation } from '../../lib/rollout/reverted.ts';

/** Names that Kubernetes v1 has for them, so that kubectl finds them. */
export const hashLabel = 'pod-template-hash';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
export const sizedForAnnotation = 'deployment.kubernetes.io/desired-replicas';

/** What belongs to one object alone and is not carried from a Deployment to its ReplicaSets. */
const own: ReadonlySet<string> = new Set([
  ...[revisionAnnotation, sizedForAnnotation, revertedAnnotation, traceAnnotation],
  ...[configAnnotation, heldAnnotation],
  'kubectl.kubernetes.io/last-applied-configuration',
]);

/** Such as `kubernetes.io/change-cause`, which `kubectl rollout history` shows. */
export const carried = (deployment: Deployment): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => !own.has(name)));

/** 0 for one that has none yet. */
export function revisionOf({ metadata }: ReplicaSet): number {
  const revision = Number(metadata.annotations?.[revisionAnnotation] ?? 0);
  return Number.isSafeInteger(revision) && revision > 0 ? revision : 0;
}
