import { wishOf } from '../../lib/api/config-change.ts';
import { objectAt } from '../../lib/api/json.ts';
import type { ControllerRevision, DaemonSet, PodTemplateSpec } from '../../lib/api/objects.ts';
import { onFailedRolloutAnnotation, type OnFailedRollout } from '../../lib/api/rollouts.ts';
import { copiesOf } from '../../lib/rollout/resolve-config.ts';
import { revertedOf, type Reverted } from '../../lib/rollout/reverted.ts';
import type { Failure } from '../../lib/rollout/verdict.ts';
import { hashOfRevision, rolledOutAnnotation } from './revisions.ts';

export const isRolledOut = ({ metadata }: ControllerRevision): boolean =>
  metadata.annotations?.[rolledOutAnnotation] === 'true';

/**
 * What a pod of the new template that cannot come up means. Where nothing is said: an end of the steps where configuration is part of the
 * template, since a change of it comes unasked; else steps as far as the bounds allow, as in Kubernetes.
 */
export const onFailure = ({ metadata, spec }: DaemonSet): OnFailedRollout =>
  (metadata.annotations?.[onFailedRolloutAnnotation] as OnFailedRollout | undefined) ?? // validation lets no other word through
  (wishOf(spec.template.metadata) === 'roll' ? 'stop' : 'continue');

export interface Revert {
  readonly target: ControllerRevision;
  readonly mark: Reverted;
}

/**
 * Where to go back to, when that is asked for: the newest former template that was rolled out to its end, else the newest that has pods
 * (`inUse`, by their hashes), else the newest. One that was gone back to is not left again by itself, nor is one gone back to that
 * failed: where both are bad, the fault lies elsewhere.
 */
export function revertOf(
  set: DaemonSet,
  revisions: readonly ControllerRevision[],
  { current, failure, inUse }: Standing,
): Revert | undefined {
  if (failure === undefined || onFailure(set) !== 'revert') return undefined;
  const reverted = revertedOf(set);
  if (reverted?.to === current.metadata.name) return undefined;
  const former = revisions
    .filter(({ metadata }) => metadata.name !== current.metadata.name && metadata.name !== reverted?.from)
    .toSorted((a, b) => b.revision - a.revision);
  const target =
    former.find(isRolledOut) ?? former.find((revision) => inUse.has(hashOfRevision(revision))) ?? former[0];
  if (target === undefined) return undefined;
  const [from, to] = [current.metadata.name, target.metadata.name];
  return { target, mark: { from, to, reason: failure.reason, cause: failure.message.slice(0, 1_000) } };
}

interface Standing {
  readonly current: ControllerRevision;
  readonly failure: Failure | undefined;
  readonly inUse: ReadonlySet<string>;
}

/** The template that a ControllerRevision stands for, and the copies that it names. */
export function generationOf(revision: ControllerRevision): {
  readonly template: PodTemplateSpec;
  readonly copies: ReturnType<typeof copiesOf>;
} {
  const { $patch: _, ...template } = objectAt(objectAt(revision.data ?? {}, 'spec'), 'template');
  return { template: template as unknown as PodTemplateSpec, copies: copiesOf(revision) };
}
