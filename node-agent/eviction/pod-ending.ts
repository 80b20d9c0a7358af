import type { Pod, PodCondition, PodStatus } from '../../lib/api/objects.ts';
import { conditionOf, withCondition } from '../../lib/api/pods.ts';

/** Why a node ends a pod of its own accord; it becomes the pod's `status.reason`. */
export type EndReason = 'Evicted' | 'Terminated' | 'SysctlForbidden' | `OutOf${string}`;

/** The node's own decision that a pod must end here. */
export interface EndOrder {
  readonly reason: EndReason;
  /** For people: what was short or over its limit, and by how much. */
  readonly message: string;
  /** What the containers get before SIGKILL; 0: nothing. Never more than the pod's own grace. */
  readonly graceMs: number;
  /** The pod is not to blame (the node is short of something): it is told as a disruption, which retry policies count apart. */
  readonly disruption: boolean;
}

/** An order under way. */
export interface PodEnding {
  readonly reason: EndReason;
  readonly message: string;
  readonly disruption: boolean;
  /** SIGKILL at this moment, ms since 1970. */
  readonly deadlineMs: number;
}

/** What is left of the grace is not remembered over a restart of the agent; this much is given anew. */
const graceAfterRestartMs = 1_000;
const reasons: ReadonlySet<string> = new Set<EndReason>(['Evicted', 'Terminated', 'SysctlForbidden']);
const isEndReason = (reason: string | undefined): reason is EndReason =>
  reason !== undefined && (reasons.has(reason) || reason.startsWith('OutOf'));

/**
 * The order that an agent before this one gave: the pod's status is its memory, since it is written before the pod is
 * over. Undefined where there is none.
 */
export function rememberedEnding({ status }: Pod, nowMs: number): PodEnding | undefined {
  if (!isEndReason(status.reason)) return undefined;
  return {
    reason: status.reason,
    message: status.message ?? '',
    disruption: conditionOf(status, 'DisruptionTarget')?.reason === disruptionReason,
    deadlineMs: nowMs + graceAfterRestartMs,
  };
}

/** Its containers and volumes go at once, since it was ended to make room; nobody comes back to it (F59, F175). */
export const leavesNothing = ({ status }: Pod): boolean => status.phase === 'Failed' && isEndReason(status.reason);

/** The status with the order told in it. The phase is another matter: it is Failed when nothing runs any more. */
export function withEnding(status: PodStatus, ending: PodEnding, nowMs: number): PodStatus {
  const { reason, message, disruption } = ending;
  const told = { ...status, reason, message };
  if (!disruption) return told;
  const condition: PodCondition = { type: 'DisruptionTarget', status: 'True', reason: disruptionReason, message };
  return { ...told, conditions: withCondition(status.conditions, condition, nowMs) };
}

const disruptionReason = 'TerminationByKubelet';
