import { apiVersionOf, kinds } from '../../lib/api/kinds.ts';
import type { Affinity, DaemonSet, OwnerReference, Pod } from '../../lib/api/objects.ts';
import { traceAnnotation } from '../../lib/base/trace.ts';
import type { Draft } from '../../lib/client/client.ts';
import { hashText } from '../../lib/rollout/hash.ts';
import { tolerationsOf } from './fit.ts';

/** On each pod and ControllerRevision: which template it is of. Kubernetes' name, so that its tools find it. */
export const hashLabel = 'controller-revision-hash';
/** On a pod: how many before it failed on this node as soon as they were made. */
export const failuresAnnotation = 'troupe.dev/failures-before';

export function ownerReferenceOf({ metadata: { name, uid } }: DaemonSet): OwnerReference {
  const { kind } = kinds.daemonsets;
  return { apiVersion: apiVersionOf(kinds.daemonsets), kind, name, uid, controller: true, blockOwnerDeletion: true };
}

export interface Place {
  readonly node: string;
  /** The hash of the template. */
  readonly hash: string;
  /** How many before it failed there as soon as they were made. */
  readonly failures: number;
  /** The uids of those whose place it takes, which have ended and are still there; empty for none. */
  readonly after: string;
}

/**
 * The pod for one node. Its name is made of what it is for, so that two who make the same one, or one whose first answer was lost,
 * meet in it. The scheduler binds it: a required affinity to the node's name stands in place of that of the template, which has been
 * asked already. One whose template names a node is bound from the start.
 */
export function podOf(set: DaemonSet, { node, hash, failures, after }: Place): Draft<Pod> {
  const { metadata = {}, spec } = set.spec.template;
  const { name, namespace, uid } = set.metadata;
  const trace = set.metadata.annotations?.[traceAnnotation];
  const annotations = {
    ...metadata.annotations,
    ...(failures > 0 && { [failuresAnnotation]: String(failures) }),
    ...(trace !== undefined && { [traceAnnotation]: trace }),
  };
  return {
    apiVersion: apiVersionOf(kinds.pods),
    kind: kinds.pods.kind,
    metadata: {
      name: `${name.slice(0, 200)}-${lettersOf(`${uid} ${node} ${hash} ${after}`)}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...metadata.labels, [hashLabel]: hash },
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      ...(metadata.finalizers === undefined ? {} : { finalizers: metadata.finalizers }),
      ownerReferences: [ownerReferenceOf(set)],
    },
    spec: {
      ...spec,
      tolerations: tolerationsOf(spec),
      ...(spec.nodeName === undefined && { affinity: onNode(spec.affinity, node) }),
    },
  };
}

/** Ten letters, so that no two of ten thousand nodes get the same ones. */
const lettersOf = (text: string): string => `${hashText(text)}${hashText(`again ${text}`).slice(0, 3)}`;

const onNode = (affinity: Affinity | undefined, node: string): Affinity => ({
  ...affinity,
  nodeAffinity: {
    ...affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }],
    },
  },
});

/** The pod as one of ours; conditional on its revision when written. */
export const adopted = (set: DaemonSet, pod: Pod): Pod => ({
  ...pod,
  metadata: { ...pod.metadata, ownerReferences: [...(pod.metadata.ownerReferences ?? []), ownerReferenceOf(set)] },
});

/** The pod without us as its owner. */
export function released(set: DaemonSet, pod: Pod): Pod {
  const owners = (pod.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== set.metadata.uid);
  const { ownerReferences: _, ...metadata } = pod.metadata;
  return { ...pod, metadata: owners.length === 0 ? metadata : { ...metadata, ownerReferences: owners } };
}

export function failuresBefore({ metadata }: Pod): number {
  const count = Number(metadata.annotations?.[failuresAnnotation] ?? 0);
  return Number.isSafeInteger(count) && count > 0 ? count : 0;
}
