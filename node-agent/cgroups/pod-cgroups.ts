import type { GroupUsage } from './group-usage.ts';
import type { GroupLimits } from './group-limits.ts';

/** The control groups of this node's pods: one for each, and one around all. Verbs may be repeated. */
export interface PodCgroups {
  /** Bounds all pods of the node together. */
  prepareNode(limits: GroupLimits): Promise<void>;
  /** Sees to it that the pod's group is there with these limits; the name by which the engine is told to use it. */
  prepare(podUid: string, limits: GroupLimits): Promise<string>;
  /** What the pod takes now; undefined where it has no group. */
  usage(podUid: string): Promise<GroupUsage | undefined>;
  /** Takes an empty group away; one in which something runs stays. */
  remove(podUid: string): Promise<void>;
  /** The pods that have a group. */
  list(): Promise<readonly string[]>;
  /** Takes all of it away, as far as nothing runs in it. */
  teardown(): Promise<void>;
}
