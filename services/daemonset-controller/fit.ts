import { meetsAny, nodeTermOf } from '../../lib/api/node-selector.ts';
import type { Node, Pod, PodSpec, Taint, Toleration } from '../../lib/api/objects.ts';
import { conditionOf, untolerated } from '../../lib/api/pods.ts';

/** What a node is to a DaemonSet. */
export interface Fit {
  /** It is to have a pod. */
  readonly wanted: boolean;
  /** A pod that is there may stay: a taint NoSchedule keeps new ones away only. */
  readonly mayStay: boolean;
}

const exists = (key: string, effect: 'NoSchedule' | 'NoExecute'): Toleration => ({
  key: `node.kubernetes.io/${key}`,
  operator: 'Exists',
  effect,
});

/** Pods that belong to a node stay with it through all that befalls it (Kubernetes API, "DaemonSet": taints and tolerations). */
const automatic: readonly Toleration[] = [
  exists('not-ready', 'NoExecute'),
  exists('unreachable', 'NoExecute'),
  ...['disk-pressure', 'memory-pressure', 'pid-pressure', 'unschedulable'].map((key) => exists(key, 'NoSchedule')),
];
/** Who brings a node its network cannot wait for it. */
const forHostNetwork = exists('network-unavailable', 'NoSchedule');

/** The tolerations of a template with those that every daemon has. */
export function tolerationsOf({ tolerations = [], hostNetwork }: PodSpec): readonly Toleration[] {
  const own = hostNetwork === true ? [...automatic, forHostNetwork] : automatic;
  const isThere = ({ key, effect }: Toleration): boolean =>
    tolerations.some((each) => each.key === key && each.effect === effect && each.operator === 'Exists');
  return [...tolerations, ...own.filter((each) => !isThere(each))];
}

const cordon: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Whether nodes fit, by the template alone: its node name, node selector, node affinity and tolerations. What is free on a node is the scheduler's to judge. */
export function fitOf(spec: PodSpec): (node: Node) => Fit {
  const { nodeName = '', nodeSelector = {}, affinity } = spec;
  const pairs = Object.entries(nodeSelector);
  const terms =
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms.map(nodeTermOf);
  const tolerant = { ...spec, tolerations: tolerationsOf(spec) };
  return ({ metadata: { name, labels = {}, deletionTimestamp }, spec: { taints = [], unschedulable } }) => {
    const isMeant =
      deletionTimestamp === undefined &&
      (nodeName === '' || nodeName === name) &&
      pairs.every(([key, value]) => labels[key] === value) &&
      (terms === undefined || meetsAny(terms, { name, labels }));
    if (!isMeant) return { wanted: false, mayStay: false };
    const broken = untolerated(tolerant, unschedulable === true ? [...taints, cordon] : taints);
    const hard = broken.filter(({ effect }) => effect !== 'PreferNoSchedule');
    return { wanted: hard.length === 0, mayStay: !hard.some(({ effect }) => effect === 'NoExecute') };
  };
}

/** The node that a pod is for, whether it is bound already or not; undefined for one that is for none in particular. */
export function targetOf({ spec }: Pod): string | undefined {
  if (spec.nodeName !== undefined && spec.nodeName !== '') return spec.nodeName;
  const required = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const { matchFields = [] } of required?.nodeSelectorTerms ?? [])
    for (const { key, operator, values = [] } of matchFields)
      if (key === 'metadata.name' && operator === 'In' && values.length === 1) return values[0];
  return undefined;
}

export const isUp = (node: Node): boolean => conditionOf(node.status, 'Ready')?.status === 'True';

/** Whether a change of a node may be a change for some DaemonSet: heartbeats and figures are none. */
export const concernsDaemons = (before: Node | undefined, after: Node | undefined): boolean =>
  before === undefined || after === undefined || sightOf(before) !== sightOf(after);

const sightOf = (node: Node): string =>
  JSON.stringify([
    node.metadata.labels,
    node.metadata.deletionTimestamp !== undefined,
    node.spec.taints?.map(({ key, value, effect }) => [key, value, effect]),
    node.spec.unschedulable === true,
    isUp(node),
  ]);
