import type { Node, NodeCondition, Pod, PodCondition, Taint } from '../../lib/api/objects.ts';
import { conditionOf, isDeleting, isReady, isTerminal, tolerates, withCondition } from '../../lib/api/pods.ts';
import { rfc3339 } from '../../lib/base/clock.ts';
import { withConditionTaints } from './condition-taints.ts';

export const unreachable = 'node.kubernetes.io/unreachable';
/** Why a lost node's condition Ready is Unknown, and why its pods are not ready. */
const nodeLostReason = 'NodeStatusUnknown';
export const podLostReason = 'NodeLost';

/** How the cluster as a whole is doing: many nodes lost at once say more about the network than about the nodes. */
export interface Fleet {
  readonly nodes: number;
  readonly lost: number;
}
export interface Limits {
  /** With a greater share of the nodes lost, no pod is evicted from any of them. */
  readonly pauseEvictionAbove: number;
  /** A pod on a lost node is removed for good so long after its own grace has run out. */
  readonly forceAfterMs: number;
}

/** The changes due on a node and its pods. */
export interface Plan {
  /** The node's conditions, if they have to change. */
  readonly conditions: readonly NodeCondition[] | undefined;
  /** The node's taints, if they have to change. */
  readonly taints: readonly Taint[] | undefined;
  /** Pods that must stop being ready, so that traffic leaves them. */
  readonly withdraw: readonly Pod[];
  /** Pods to delete with their own grace. */
  readonly evict: readonly Pod[];
  /** Pods to remove at once: nobody is there to end them. */
  readonly force: readonly Pod[];
  /** Pods would be evicted, were it not for the state of the fleet. */
  readonly paused: boolean;
  /** When something more is due, if nothing changes. */
  readonly nextMs: number | undefined;
}

/** A node, the pods bound to it, and the judgement of `liveness.ts`: whether it is lost, and if so, for how long it has been silent. */
export interface Observed {
  readonly node: Node;
  readonly pods: readonly Pod[];
  readonly lost: boolean;
  /** Default: it falls silent now. */
  readonly silentForMs?: number;
}

/**
 * What is due on one node. `nowMs` is wall
 * time, as in the objects. Depends on its arguments only; running it again after its changes gives a plan without any.
 *
 * A lost node's condition Ready is Unknown and it carries the taint `unreachable`; its pods are withdrawn from traffic at
 * once, evicted when their toleration of the taint has run out (D3: 5 s by default), and removed for good after their
 * grace. Where *every* node is lost nothing is withdrawn: there is nowhere better to send traffic.
 */
export function reconcile(
  { node, pods, lost, silentForMs = 0 }: Observed,
  fleet: Fleet,
  limits: Limits,
  nowMs: number,
): Plan {
  const taints = taintsOf(node, lost ? { sinceMs: nowMs - silentForMs } : undefined, nowMs);
  const paused = lost && fleet.lost > fleet.nodes * limits.pauseEvictionAbove;
  const due = evictions(pods, taints ?? node.spec.taints ?? [], nowMs);
  const forced = lost ? forcings(pods, limits.forceAfterMs, nowMs) : { now: [], nextMs: undefined };
  return {
    conditions: conditionsOf(node, lost, nowMs),
    taints,
    withdraw: lost && fleet.lost < fleet.nodes ? pods.filter((pod) => isReady(pod) && !isTerminal(pod)) : [],
    evict: paused ? [] : due.now,
    force: paused ? [] : forced.now,
    paused: paused && due.now.length + forced.now.length > 0,
    nextMs: paused ? undefined : earliest(due.nextMs, forced.nextMs),
  };
}

/** What must be said of a node that is lost, or that was and is back. Undefined when it is said already. */
function conditionsOf(node: Node, lost: boolean, nowMs: number): readonly NodeCondition[] | undefined {
  const ready = conditionOf(node.status, 'Ready');
  if (!lost || ready?.status === 'Unknown') return undefined;
  return withCondition<NodeCondition>(
    node.status.conditions,
    {
      ...(ready?.lastHeartbeatTime === undefined ? {} : { lastHeartbeatTime: ready.lastHeartbeatTime }),
      type: 'Ready',
      status: 'Unknown',
      reason: nodeLostReason,
      message: 'The node agent has stopped sending heartbeats',
    },
    nowMs,
  );
}

/**
 * The taint of a lost node counts from its last sign of life, so that all of a toleration is time in which it may come back and none is lost to
 * noticing. Objects have whole seconds: the next one, for a toleration is not to be cut short.
 */
function taintsOf(
  node: Node,
  lost: { readonly sinceMs: number } | undefined,
  nowMs: number,
): readonly Taint[] | undefined {
  const before = node.spec.taints ?? [];
  if (lost !== undefined) {
    if (before.some((taint) => taint.key === unreachable && taint.effect === 'NoExecute')) return undefined;
    const others = before.filter((taint) => taint.key !== unreachable);
    const addedMs = Math.min(nowMs, Math.ceil(lost.sinceMs / 1000) * 1000);
    return [...others, { key: unreachable, effect: 'NoExecute', timeAdded: rfc3339(addedMs) }];
  }
  const reachable = before.some((taint) => taint.key === unreachable)
    ? before.filter((taint) => taint.key !== unreachable)
    : before;
  const taints = withConditionTaints(node, reachable, nowMs); // a lost node's conditions are old news
  return taints === before ? undefined : taints;
}

interface Due {
  readonly now: readonly Pod[];
  readonly nextMs: number | undefined;
}

/** The pods that the NoExecute taints of their node drive out, by now or later. */
function evictions(pods: readonly Pod[], taints: readonly Taint[], nowMs: number): Due {
  const driving = taints.filter(({ effect }) => effect === 'NoExecute');
  if (driving.length === 0) return { now: [], nextMs: undefined };
  return due(
    pods.filter((pod) => !isDeleting(pod) && !isTerminal(pod)),
    (pod) => Math.min(...driving.map((taint) => toleratedUntilMs(pod, taint, nowMs))),
    nowMs,
  );
}

/** Infinity for a pod that stays whatever happens; the shortest of its tolerations of the taint counts. */
function toleratedUntilMs(pod: Pod, taint: Taint, nowMs: number): number {
  const tolerations = (pod.spec.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
  if (tolerations.length === 0) return -Infinity;
  const seconds = Math.min(...tolerations.map((toleration) => toleration.tolerationSeconds ?? Infinity));
  const sinceMs = Date.parse(taint.timeAdded ?? '');
  return (Number.isNaN(sinceMs) ? nowMs : sinceMs) + Math.max(0, seconds) * 1000;
}

/** The pods whose deletion should have been over for a while. */
const forcings = (pods: readonly Pod[], afterMs: number, nowMs: number): Due =>
  due(pods.filter(isDeleting), (pod) => Date.parse(pod.metadata.deletionTimestamp ?? '') + afterMs, nowMs);

function due(pods: readonly Pod[], atMs: (pod: Pod) => number, nowMs: number): Due {
  const now: Pod[] = [];
  let nextMs: number | undefined;
  for (const pod of pods) {
    const at = atMs(pod);
    if (at <= nowMs) now.push(pod);
    else if (at !== Infinity) nextMs = earliest(nextMs, at);
  }
  return { now, nextMs };
}

const earliest = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b);

/** The pod as one that gets no traffic, since nobody knows how it is. */
export const withdrawn = (pod: Pod, nowMs: number): Pod => ({
  ...pod,
  status: {
    ...pod.status,
    conditions: withCondition<PodCondition>(
      pod.status.conditions,
      { type: 'Ready', status: 'False', reason: podLostReason, message: `Node ${pod.spec.nodeName} is lost` },
      nowMs,
    ),
  },
});
