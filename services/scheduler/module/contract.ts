import type { Node, Pod } from '../../../lib/api/objects.ts';
import type { Needs } from '../../../lib/api/pods.ts';

/**
 * What a module of a user's own exports: rules that are asked besides the scheduler's own, in its process. All are optional.
 *
 * Rules are asked often and between two decisions nothing else goes on: they answer at once, from their arguments and from what the
 * module knows by then, and change nothing of what they are given. What takes time (a request, a file) belongs into `start`.
 */
export interface SchedulerModule {
  readonly filters?: readonly FilterRule[];
  readonly scores?: readonly ScoreRule[];
  /** Called once, before the first decision; what it rejects with keeps the scheduler from starting. */
  start?(context: ModuleContext): void | Promise<void>;
}

export interface ModuleContext {
  /** Says that rules may answer otherwise from now on for a reason that no object tells: pods that wait are looked at again. */
  changed(): void;
  /** The process ends. */
  readonly signal: AbortSignal;
}

interface Rule {
  /** For people, in messages and figures; no two of a module share one. */
  readonly name: string;
  /** Whether the rule says anything of this pod, on any node: asked once a pod. Default: yes. */
  concerns?(pod: Pod): boolean;
}

/** Where a pod must not go. */
export interface FilterRule extends Rule {
  /**
   * Why the pod cannot go there, to be read after a number of nodes ("2 without a licence"), so the same text for the same reason;
   * undefined when it can. A rule that throws, or answers anything else, refuses the node.
   */
  refuse(pod: Pod, seen: NodeSeen): string | undefined;
}

/** Where a pod would rather go. */
export interface ScoreRule extends Rule {
  /** 1 to 100, default 1: the best node counts as if the pod had a preferred node affinity of this weight that is met there. */
  readonly weight?: number;
  /** 0 (worst) to 100 (best). A rule that throws, or answers anything else, gives the node 0. */
  score(pod: Pod, seen: NodeSeen): number;
}

/** A node as the scheduler sees it at this decision. */
export interface NodeSeen {
  readonly node: Node;
  /** What pods may ask for there. */
  readonly capacity: Needs;
  /** What those that are there or on their way have asked for. */
  readonly used: Needs;
}
