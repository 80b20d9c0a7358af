import { apiVersionOf, kinds } from '../../lib/api/kinds.ts';
import type { OwnerReference, Pod } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';
import type { Draft } from '../../lib/client/client.ts';
import { isReplicaSet, type Replicated } from './replicated.ts';

/** The mark that makes a pod this controller's. */
export function ownerReferenceOf(rc: Replicated): OwnerReference {
  const info = isReplicaSet(rc) ? kinds.replicasets : kinds.replicationcontrollers;
  const { name, uid } = rc.metadata;
  return { apiVersion: apiVersionOf(info), kind: info.kind, name, uid, controller: true, blockOwnerDeletion: true };
}

/** A pod of the template, named by the server (`web-x7k2p`). It carries on the trace of the change that asked for it. */
export function podOf(rc: Replicated): Draft<Pod> {
  const { metadata = {}, spec } = rc.spec.template;
  const trace = rc.metadata.annotations?.[traceAnnotation];
  const annotations = { ...metadata.annotations, ...(trace === undefined ? {} : { [traceAnnotation]: trace }) };
  return {
    apiVersion: apiVersionOf(kinds.pods),
    kind: kinds.pods.kind,
    metadata: {
      generateName: `${rc.metadata.name}-`,
      ...(rc.metadata.namespace === undefined ? {} : { namespace: rc.metadata.namespace }),
      ...(metadata.labels === undefined ? {} : { labels: metadata.labels }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [ownerReferenceOf(rc)],
    },
    spec,
  };
}

/** The pod as one of ours; conditional on its revision when written. */
export const adopted = (rc: Replicated, pod: Pod): Pod => ({
  ...pod,
  metadata: {
    ...pod.metadata,
    ownerReferences: [...(pod.metadata.ownerReferences ?? []), ownerReferenceOf(rc)],
  },
});

/** The pod without us as its owner. */
export function released(rc: Replicated, pod: Pod): Pod {
  const owners = (pod.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== rc.metadata.uid);
  const { ownerReferences: _, ...metadata } = pod.metadata;
  return { ...pod, metadata: owners.length === 0 ? metadata : { ...metadata, ownerReferences: owners } };
}
