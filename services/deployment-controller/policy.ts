import type { Deployment } from '../../lib/api/objects.ts';
import { onFailedRolloutAnnotation, type OnFailedRollout } from '../../lib/api/rollouts.ts';
import { boundsOf, type Aim } from '../../lib/rollout/rollout.ts';

/** What the Deployment asks of its rollouts. `held`: no steps now. */
export function aimOf({ spec }: Deployment, held: boolean): Aim {
  const { replicas, strategy } = spec;
  const recreate = strategy.type === 'Recreate';
  const bounds = recreate
    ? { maxSurge: 0, maxUnavailable: replicas }
    : boundsOf(replicas, strategy.rollingUpdate ?? {});
  return { replicas, recreate, held, ...bounds };
}

/** Validation lets no other word through. */
export const onFailure = ({ metadata }: Deployment): OnFailedRollout =>
  (metadata.annotations?.[onFailedRolloutAnnotation] as OnFailedRollout | undefined) ?? 'stop';
