import { formatSelector, selectorOf, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type {
  Condition,
  Deployment,
  Pod,
  PodTemplateSpec,
  ReplicaSet,
  ReplicationController,
} from '../../lib/api/objects.ts';
import { inner, pairs, type Entry, type Outline } from './outline.ts';
import { describeTemplate } from './pod.ts';

/** A ReplicationController or a ReplicaSet, with the pods that it has. */
export function describeReplicated(owner: ReplicationController | ReplicaSet, pods: readonly Pod[]): Outline {
  const { spec, status } = owner;
  const count = (phase: string): number => pods.filter((pod) => pod.status.phase === phase).length;
  return [
    ['Selector', selectorText(owner)],
    [
      'Replicas',
      `${status.replicas} now, ${spec.replicas} wanted, ${status.readyReplicas ?? 0} ready, ${status.availableReplicas ?? 0} available`,
    ],
    [
      'Pods',
      `${count('Running')} running, ${count('Pending')} pending, ${count('Succeeded')} succeeded, ${count('Failed')} failed`,
    ],
    conditions(status.conditions),
    template(spec.template),
  ];
}

/** A Deployment, with the ReplicaSets that it has: one for each template that was rolled out. */
export function describeDeployment(deployment: Deployment, sets: readonly ReplicaSet[]): Outline {
  const { spec, status } = deployment;
  const { type, rollingUpdate } = spec.strategy;
  return [
    ['Selector', formatSelector(selectorOfLabelSelector(spec.selector))],
    [
      'Replicas',
      `${status.replicas ?? 0} now, ${spec.replicas} wanted, ${status.updatedReplicas ?? 0} of the newest template, ` +
        `${status.readyReplicas ?? 0} ready, ${status.availableReplicas ?? 0} available`,
    ],
    [
      'Strategy',
      rollingUpdate === undefined
        ? type
        : `${type}, at most ${rollingUpdate.maxUnavailable} missing and ${rollingUpdate.maxSurge} besides`,
    ],
    ['Paused', spec.paused === true ? 'yes: no steps are made' : undefined],
    conditions(status.conditions),
    [
      'ReplicaSets',
      sets
        .toSorted((a, b) => revisionOf(b) - revisionOf(a))
        .map(
          (set) => `${set.metadata.name}: ${set.status.replicas} of ${set.spec.replicas}, revision ${revisionOf(set)}`,
        ),
    ],
    template(spec.template),
  ];
}

const revisionOf = ({ metadata }: ReplicaSet): number =>
  Number(metadata.annotations?.['deployment.kubernetes.io/revision'] ?? 0);

const selectorText = (owner: ReplicationController | ReplicaSet): string =>
  owner.kind === 'ReplicaSet'
    ? formatSelector(selectorOfLabelSelector(owner.spec.selector))
    : formatSelector(selectorOf((owner as ReplicationController).spec.selector));

export const conditions = (list: readonly Condition[] | undefined): Entry => [
  'Conditions',
  list === undefined
    ? undefined
    : inner(
        ...list.map(({ type, status, reason, message }): Entry => [
          type,
          [status, reason, message].filter((part) => part !== undefined).join('  '),
        ]),
      ),
];

export const template = ({ metadata, spec }: PodTemplateSpec): Entry => [
  'Pod template',
  inner(['Labels', pairs(metadata?.labels).join(',')], ...describeTemplate(spec)),
];
