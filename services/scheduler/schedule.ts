import type { Pod } from '../../lib/api/objects.ts';
import { chooseNode, type Choice, type ChooseOptions } from '../../lib/placing/choose.ts';
import type { Ask, Cluster } from '../../lib/placing/cluster.ts';
import { spread } from '../../lib/placing/profile.ts';
import { sceneOf } from '../../lib/placing/scene.ts';
import { RoomMaker, type Refusal } from './making-room.ts';
import { DeadlineError } from './module/deadline.ts';
import type { PreemptOptions } from './preempt.ts';

export type { Refusal } from './making-room.ts';

export interface Placement {
  readonly ask: Ask;
  readonly nodeName: string;
}
export interface Schedule {
  readonly placements: readonly Placement[];
  readonly refusals: readonly Refusal[];
  /** Not decided: too much of the batch's time was lost on others. */
  readonly postponed: readonly Pod[];
  /** Where the next batch begins to look. */
  readonly start: number;
}
export interface ScheduleOptions extends ChooseOptions {
  /** Default: no pod is ended for another. */
  readonly preemption?: Pick<PreemptOptions, 'budgetsOf' | 'ending' | 'candidates'>;
}

/**
 * Nodes for a batch of pods, in order: each sees the placements of those before it. Depends on its arguments alone and
 * leaves the cluster as it was.
 *
 * A pod takes the best of the first `sample` nodes that would do, looking round from where the pod before it ended; every
 * node is tried before a pod is refused. Beginning further on each time also settles ties evenly; a profile that fills nodes
 * begins at the first one each time.
 */
export function schedule(pods: readonly Pod[], cluster: Cluster, options: ScheduleOptions): Schedule {
  const placements: Placement[] = [];
  const refusals: Refusal[] = [];
  const postponed: Pod[] = [];
  const refused = new Map<string, string>();
  let cutOff = 0;
  const { profile = spread, preemption } = options;
  let start = options.start;
  const room =
    preemption === undefined ? undefined : new RoomMaker(cluster, { ...preemption, profile, start: options.start });
  const refuse = (ask: Ask, message: string, shape: string): void => {
    refusals.push(room?.refuse(ask, message, shape) ?? { pod: ask.pod, message });
  };
  try {
    for (const pod of pods) {
      const ask = cluster.ask(pod);
      // Placements only take room away: a pod like one refused before in this batch needs no second look, unless room is kept for it.
      // Affinity and spreading are other: there a placement may be what a pod waits for.
      const scene = sceneOf(ask, cluster);
      const shape = (): string => shapeOf(ask, scene === undefined ? -1 : placements.length);
      const isKept = (pod.status.nominatedNodeName ?? '') !== '';
      const known = refused.size === 0 || isKept || profile.within !== undefined ? undefined : refused.get(shape());
      if (known !== undefined) {
        refuse(ask, known, shape());
        continue;
      }
      if (cutOff >= mostCutOff) {
        postponed.push(pod);
        continue;
      }
      const decide = (): Choice => chooseNode(ask, scene, cluster, { ...options, start });
      const giveBack = cluster.yieldTo(pod);
      let choice: Choice;
      try {
        choice = profile.within === undefined ? decide() : profile.within(decide);
      } catch (error) {
        if (!(error instanceof DeadlineError)) throw error;
        cutOff += 1;
        refusals.push({ pod, message: `the rules of the scheduling module ${error.message} over this pod` });
        continue;
      } finally {
        giveBack();
      }
      start = choice.start;
      if (choice.node === undefined) {
        if (!isKept) refused.set(shape(), choice.message);
        refuse(ask, choice.message, shape());
      } else {
        cluster.assume(ask, choice.node.name);
        placements.push({ ask, nodeName: choice.node.name });
      }
    }
  } finally {
    for (const { ask } of placements) cluster.forget(ask.key);
    room?.undo();
  }
  return { placements, refusals, postponed, start };
}

/** So many pods of a batch may be cut off before the rest waits for the next one: a batch holds up everything else. */
const mostCutOff = 3;

/** Pods with the same text are refused for the same reasons, those that others mean something to (`turn`) until the next placement. */
function shapeOf({ pod, needs, hostPorts, claimKeys }: Ask, turn: number): string {
  const { nodeSelector, tolerations, affinity, topologySpreadConstraints } = pod.spec;
  const { namespace, labels } = pod.metadata;
  const others = turn < 0 ? [] : [turn, namespace, labels, topologySpreadConstraints];
  return JSON.stringify([needs, hostPorts, nodeSelector, tolerations, claimKeys, affinity, others]);
}
