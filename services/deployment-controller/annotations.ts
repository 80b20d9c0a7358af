import { isObject } from '../../lib/api/json.ts';
import type { Deployment, ReplicaSet } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';

/** Names that Kubernetes v1 has for them, so that kubectl finds them. */
export const hashLabel = 'pod-template-hash';
export const revisionAnnotation = 'deployment.kubernetes.io/revision';
export const sizedForAnnotation = 'deployment.kubernetes.io/desired-replicas';
/** Where a failed rollout was taken back: from which template to which, and why. Holds as long as the Deployment has that template. */
export const revertedAnnotation = 'troupe.dev/reverted';

/** On a ReplicaSet: which copies its template names, and for what. */
export const configAnnotation = 'troupe.dev/config';
/** On a Deployment: where its pods stay with former data, though the objects have others. */
export const heldAnnotation = 'troupe.dev/config-held';

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

export interface Reverted {
  /** Names of ReplicaSets. */
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly cause: string;
}

export function revertedOf({ metadata }: Deployment): Reverted | undefined {
  try {
    const value: unknown = JSON.parse(metadata.annotations?.[revertedAnnotation] ?? '');
    if (!isObject(value)) return undefined;
    const { from, to, reason, cause } = value;
    const texts = [from, to, reason, cause].every((each) => typeof each === 'string');
    return texts ? (value as unknown as Reverted) : undefined;
  } catch {
    return undefined; // absent, or written by someone else
  }
}
