import { selectorOf, selectorOfLabelSelector, type Selector } from '../../lib/api/labels.ts';
import type { LabelSelector, ReplicaSet, ReplicationController } from '../../lib/api/objects.ts';

/** The two kinds that keep a count of pods of one template; they differ in the form of their selector alone. */
export type ReplicatedResource = 'replicationcontrollers' | 'replicasets';
export type Replicated = ReplicationController | ReplicaSet;

/** The name of the loop that serves each. */
export const loopOf = {
  replicationcontrollers: 'replication-controller',
  replicasets: 'replicaset-controller',
} as const satisfies Record<ReplicatedResource, string>;

export const isReplicaSet = (owner: Replicated): owner is ReplicaSet => owner.kind === 'ReplicaSet';

/** The pods that an owner counts as its own. Never empty: validation sees to it. */
export const podSelectorOf = (owner: Replicated): Selector =>
  isReplicaSet(owner) ? selectorOfLabelSelector(owner.spec.selector) : selectorOf(owner.spec.selector);

/** The selector as newer kinds have it. */
export const labelSelectorOf = (owner: Replicated): LabelSelector =>
  isReplicaSet(owner) ? owner.spec.selector : { matchLabels: owner.spec.selector };
