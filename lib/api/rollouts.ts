/** On a Deployment, a DaemonSet, or a ReplicationController that is rolled out: what to do when its rollout has failed. */
export const onFailedRolloutAnnotation = 'troupe.dev/on-failed-rollout';

/**
 * `stop` (the default, but for a DaemonSet without configuration in its template): no more steps while the failure lasts. `revert`: back to the template before, at once.
 * `continue`: steps go on as far as the bounds allow, as in Kubernetes.
 */
export const onFailedRollout = ['stop', 'revert', 'continue'] as const;
export type OnFailedRollout = (typeof onFailedRollout)[number];
