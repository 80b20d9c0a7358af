import { sameJson } from '../../lib/api/json.ts';
import { apiVersionOf, kinds } from '../../lib/api/kinds.ts';
import type { Deployment, OwnerReference, PodTemplateSpec, ReplicaSet } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';
import type { Draft } from '../../lib/client/client.ts';
import { hashOf } from '../../lib/rollout/hash.ts';
import { carried, hashLabel, revisionAnnotation, revisionOf } from './annotations.ts';

/** The ReplicaSets of a Deployment by what they are to it now. */
export interface Sets {
  /** That of the Deployment's template; undefined while there is none. */
  readonly next: ReplicaSet | undefined;
  /** All others, the oldest revision first. */
  readonly old: readonly ReplicaSet[];
}

/** Whether its pods have other data than the objects that its template names, and why. */
export interface Standing {
  readonly held?: { readonly reason: string; readonly message: string };
}

/** Templates are compared as they are, not by their hash, so that a change of how we hash rolls nothing out. */
export function sortSets(deployment: Deployment, sets: readonly ReplicaSet[]): Sets {
  const byAge = sets.toSorted(
    (a, b) =>
      revisionOf(a) - revisionOf(b) ||
      Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp) ||
      (a.metadata.name < b.metadata.name ? -1 : 1),
  );
  const next = byAge.find((set) => isOf(deployment, set));
  return { next, old: byAge.filter((set) => set !== next) };
}

export const isOf = (deployment: Deployment, set: ReplicaSet): boolean =>
  sameJson(plainTemplate(set), { ...deployment.spec.template });

/** The template as the Deployment had it. */
export function plainTemplate({ spec }: ReplicaSet): PodTemplateSpec {
  const { labels, ...metadata } = spec.template.metadata ?? {};
  const { [hashLabel]: _, ...rest } = labels ?? {};
  return { ...spec.template, metadata: { ...metadata, labels: rest } };
}

export const ownerReferenceOf = ({ metadata: { name, uid } }: Deployment): OwnerReference => ({
  ...{ apiVersion: apiVersionOf(kinds.deployments), kind: kinds.deployments.kind, name, uid },
  ...{ controller: true, blockOwnerDeletion: true },
});

/** The ReplicaSet of the Deployment's template, without pods yet. Its name tells whose it is, and two of one template meet in it. */
export function newSetOf(deployment: Deployment, revision: number): Draft<ReplicaSet> {
  const { metadata, spec } = deployment;
  const hash = hashOf(spec.template, deployment.status.collisionCount ?? 0);
  const trace = metadata.annotations?.[traceAnnotation];
  const labels = { ...spec.template.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: apiVersionOf(kinds.replicasets),
    kind: kinds.replicasets.kind,
    metadata: {
      name: `${metadata.name}-${hash}`,
      ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }),
      labels,
      annotations: {
        ...carried(deployment),
        ...(trace === undefined ? {} : { [traceAnnotation]: trace }),
        [revisionAnnotation]: String(revision),
      },
      ownerReferences: [ownerReferenceOf(deployment)],
    },
    spec: {
      replicas: 0,
      ...(spec.minReadySeconds === undefined ? {} : { minReadySeconds: spec.minReadySeconds }),
      selector: { ...spec.selector, matchLabels: { ...spec.selector.matchLabels, [hashLabel]: hash } },
      template: { ...spec.template, metadata: { ...spec.template.metadata, labels } },
    },
  };
}

/** Former ReplicaSets without pods beyond the newest `revisionHistoryLimit` of them: nobody goes back to these. */
export function outlived(deployment: Deployment, { old }: Sets): readonly ReplicaSet[] {
  const empty = old.filter(
    ({ metadata, spec, status }) =>
      spec.replicas === 0 &&
      status.replicas === 0 &&
      (status.terminatingReplicas ?? 0) === 0 &&
      status.observedGeneration === metadata.generation,
  );
  return empty.slice(0, Math.max(0, empty.length - deployment.spec.revisionHistoryLimit));
}
