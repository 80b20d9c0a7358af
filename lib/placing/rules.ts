import { meetsAny, nodeTermOf, type NodeTerm } from '../api/node-selector.ts';
import type { Pod, PodAffinity, PodAffinityTerm, TopologySpreadConstraint } from '../api/objects.ts';
import { allOf, matcherOf, type Matcher } from './matching.ts';

/** Some pods, and a node label whose equal values make nodes near to each other. */
export interface PodTerm {
  readonly matcher: Matcher;
  readonly topologyKey: string;
}

/** What a pod that has its node asks of others: to stay away (`apart`), or that they rather come (weight > 0) or do not (< 0). */
export interface Pose extends PodTerm {
  readonly key: string;
  readonly kind: 'apart' | 'liked';
  readonly weight: number;
}

export interface Spread extends PodTerm {
  readonly maxSkew: number;
  readonly minDomains: number;
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
}

/** What a pod says of where it must or would rather be, made ready. */
export interface Rules {
  /** One of them must be met; undefined: any node will do. */
  readonly nodeTerms: readonly NodeTerm[] | undefined;
  /** All names that the terms leave, where each of them names its node. */
  readonly nodeNames: readonly string[] | undefined;
  readonly likedNodes: readonly { readonly weight: number; readonly term: NodeTerm }[];
  readonly near: readonly PodTerm[];
  /** The pods that match every term of `near`: those that count. */
  readonly nearAll: Matcher | undefined;
  readonly apart: readonly PodTerm[];
  readonly liked: readonly (PodTerm & { readonly weight: number })[];
  readonly hard: readonly Spread[];
  readonly soft: readonly Spread[];
  readonly poses: readonly Pose[];
}

/** How much a pod that must be near others likes those that it would match to come: as the smallest wish that can be said. */
const weightOfNear = 1;

/** Undefined for a pod that says nothing, as most do. */
export function rulesOf(pod: Pod): Rules | undefined {
  const { affinity, topologySpreadConstraints = [] } = pod.spec;
  if (affinity === undefined && topologySpreadConstraints.length === 0) return undefined;
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  const termOf = (term: PodAffinityTerm | TopologySpreadConstraint): PodTerm => ({
    matcher: matcherOf(term, pod.metadata.namespace ?? '', pod.metadata.labels),
    topologyKey: term.topologyKey,
  });
  const requiredOf = (rules?: PodAffinity): readonly PodTerm[] =>
    (rules?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map(termOf);
  const likedOf = (rules: PodAffinity | undefined, sign: 1 | -1): Rules['liked'] =>
    (rules?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      ...termOf(podAffinityTerm),
      weight: sign * weight,
    }));
  const [near, apart] = [requiredOf(podAffinity), requiredOf(podAntiAffinity)];
  const liked = [...likedOf(podAffinity, 1), ...likedOf(podAntiAffinity, -1)];
  const nodeTerms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms.map(nodeTermOf);
  const spreads = (when: TopologySpreadConstraint['whenUnsatisfiable']): readonly Spread[] =>
    topologySpreadConstraints
      .filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when)
      .map((each) => ({
        ...termOf(each),
        maxSkew: each.maxSkew,
        minDomains: each.minDomains ?? 1,
        honorsAffinity: each.nodeAffinityPolicy !== 'Ignore',
        honorsTaints: each.nodeTaintsPolicy === 'Honor',
      }));
  return {
    nodeTerms,
    nodeNames: nodeTerms === undefined ? undefined : namesOf(nodeTerms),
    likedNodes: (nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, preference }) => ({
      weight,
      term: nodeTermOf(preference),
    })),
    near,
    nearAll: allOf(near.map(({ matcher }) => matcher)),
    apart,
    liked,
    hard: spreads('DoNotSchedule'),
    soft: spreads('ScheduleAnyway'),
    poses: [
      ...apart.map((term) => poseOf(term, 'apart', 0)),
      ...near.map((term) => poseOf(term, 'liked', weightOfNear)),
      ...liked.map((term) => poseOf(term, 'liked', term.weight)),
    ],
  };
}

const poseOf = ({ matcher, topologyKey }: PodTerm, kind: Pose['kind'], weight: number): Pose => ({
  ...{ matcher, topologyKey, kind, weight },
  key: `${kind} ${weight} ${topologyKey} ${matcher.key}`,
});

/** So that a pod made for one node, as those of a DaemonSet are, is not tried on all of them. */
function namesOf(terms: readonly NodeTerm[]): readonly string[] | undefined {
  const names = terms.map(({ name }) => name.find(({ operator }) => operator === 'In')?.values);
  return names.every((each) => each !== undefined) ? [...new Set(names.flat())].sort() : undefined;
}

/** Whether the pod's own selector and affinity let it onto a node with these labels and this name. */
export function allowsNode(
  pod: Pod,
  rules: Rules | undefined,
  node: { readonly name: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  const selector = pod.spec.nodeSelector;
  if (selector !== undefined) for (const key in selector) if (node.labels[key] !== selector[key]) return false;
  return rules?.nodeTerms === undefined || meetsAny(rules.nodeTerms, node);
}
