import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { onFailedRolloutAnnotation, type OnFailedRollout } from '../../../lib/api/rollouts.ts';

/** What is known of one rolling update. */
export interface Seen {
  /** The controller that carries the agreement. */
  readonly next: ReplicationController;
  /** The controller that the agreement names; undefined while there is none. */
  readonly old: ReplicationController | undefined;
  /** The pods of each of them. */
  readonly nextPods: readonly Pod[];
  readonly oldPods: readonly Pod[];
  /** Another update of the same controller that was there before. */
  readonly rival?: string;
  readonly nowMs: number;
  /** What was told of failed probes, when a deadline has passed. */
  readonly words?: string;
}

export const onFailure = ({ metadata }: ReplicationController): OnFailedRollout =>
  (metadata.annotations?.[onFailedRolloutAnnotation] as OnFailedRollout | undefined) ?? 'stop';

/** What a controller says of its pods counts only once it has seen what it was told last. */
export const hasSeen = ({ metadata, status }: ReplicationController): boolean =>
  status.observedGeneration === metadata.generation;
