import type { Deployment, Pod, ReplicaSet } from '../../lib/api/objects.ts';
import type { Draft } from '../../lib/client/client.ts';
import { rollOut, type Group } from '../../lib/rollout/rollout.ts';
import { carried, revisionAnnotation, revisionOf, sizedForAnnotation } from './annotations.ts';
import { aimOf, onFailure } from './policy.ts';
import { newSetOf, outlived, sortSets, type Sets } from './sets.ts';
import { isOver, reasons } from './status.ts';
import { revertedOf, type Reverted } from '../../lib/rollout/reverted.ts';
import { delayAmong, failureAmong, type Failure } from '../../lib/rollout/verdict.ts';

/** What this controller wants done now, in the order in which it is to be done. Deciding is kept apart from doing. */
export interface Plan {
  readonly sets: Sets;
  /** Why the rollout that is under way cannot be good. */
  readonly failure: Failure | undefined;
  /** What its pods wait for. */
  readonly delay: string | undefined;
  /** The ReplicaSet of a template that has none; to be decided anew once it is there. */
  readonly create?: Draft<ReplicaSet>;
  /** Back to the template of this one, which makes another rollout; to be decided anew. */
  readonly revert?: { readonly target: ReplicaSet; readonly mark: Reverted };
  /** ReplicaSets with what is to change of them: those that grow first. */
  readonly write: readonly ReplicaSet[];
  /** Former ones that nobody goes back to. */
  readonly remove: readonly ReplicaSet[];
}

/**
 * The changes that bring the ReplicaSets of a Deployment nearer to its template, in which configuration has been resolved (`config.ts`).
 * `pods` are those of its ReplicaSets.
 * Depends on its arguments only; a settled state gives a plan without work, so that it may be run by anyone at any time.
 */
export function reconcile(
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  pods: readonly Pod[],
  nowMs: number,
): Plan {
  const { spec } = deployment;
  const sets = sortSets(deployment, owned);
  const { next, old } = sets;
  const fresh = isOver(deployment, next) ? [] : podsOf(next, pods);
  const minReady = spec.minReadySeconds ?? 0;
  const [failure, delay] = [failureAmong(fresh, minReady, nowMs), delayAmong(fresh, minReady, nowMs)];
  const nothing = { sets, failure, delay, write: [], remove: [] };
  const newest = Math.max(0, ...old.map(revisionOf));
  if (next === undefined && spec.paused !== true) return { ...nothing, create: newSetOf(deployment, newest + 1) };
  const revert = revertOf(deployment, sets, failure);
  if (revert !== undefined) return { ...nothing, revert };
  // What a ReplicaSet says of its pods counts only once it has seen what it was told last.
  const isCurrent = owned.every(({ metadata, status }) => status.observedGeneration === metadata.generation);
  const held = spec.paused === true || (failure !== undefined && onFailure(deployment) !== 'continue');
  const sizes = isCurrent ? rollOut(aimOf(deployment, held), next && groupOf(next), old.map(groupOf)) : [];
  const sizeOf = new Map(sizes.map(({ name, wanted }) => [name, wanted]));
  const write = (next === undefined ? old : [...old, next])
    .map((set) => {
      const revision = set === next && revisionOf(set) <= newest ? newest + 1 : revisionOf(set);
      const replicas = sizeOf.get(set.metadata.name) ?? set.spec.replicas;
      const about = { ...(set === next ? carried(deployment) : {}), [revisionAnnotation]: String(revision) };
      const sized = isCurrent && replicas > 0 ? { [sizedForAnnotation]: String(spec.replicas) } : {};
      const { minReadySeconds = 0 } = spec;
      return {
        ...set,
        metadata: { ...set.metadata, annotations: { ...set.metadata.annotations, ...about, ...sized } },
        spec: {
          ...set.spec,
          replicas,
          ...(set === next && minReadySeconds !== (set.spec.minReadySeconds ?? 0) && { minReadySeconds }),
        },
      };
    })
    .filter((set) => differs(set, owned))
    .sort((a, b) => growthOf(b, owned) - growthOf(a, owned));
  return { ...nothing, write, remove: outlived(deployment, sets) };
}

const beforeOf = (set: ReplicaSet, owned: readonly ReplicaSet[]): ReplicaSet | undefined =>
  owned.find(({ metadata }) => metadata.uid === set.metadata.uid);
const growthOf = (set: ReplicaSet, owned: readonly ReplicaSet[]): number =>
  set.spec.replicas - (beforeOf(set, owned)?.spec.replicas ?? 0);

function differs(set: ReplicaSet, owned: readonly ReplicaSet[]): boolean {
  const before = beforeOf(set, owned);
  const [now, then] = [set.metadata.annotations ?? {}, before?.metadata.annotations ?? {}];
  return (
    set.spec.replicas !== before?.spec.replicas ||
    (set.spec.minReadySeconds ?? 0) !== (before.spec.minReadySeconds ?? 0) ||
    Object.entries(now).some(([name, value]) => then[name] !== value)
  );
}

function groupOf({ metadata, spec, status }: ReplicaSet): Group {
  const sizedFor = Number(metadata.annotations?.[sizedForAnnotation]);
  return {
    name: metadata.name,
    wanted: spec.replicas,
    present: status.replicas,
    ready: status.readyReplicas ?? 0,
    available: status.availableReplicas ?? 0,
    going: status.terminatingReplicas ?? 0,
    bornMs: Date.parse(metadata.creationTimestamp),
    ...(Number.isSafeInteger(sizedFor) && { sizedFor }),
  };
}

const podsOf = (set: ReplicaSet | undefined, pods: readonly Pod[]): readonly Pod[] =>
  pods.filter(({ metadata }) => metadata.ownerReferences?.some(({ uid }) => uid === set?.metadata.uid));

/**
 * Where to go back to, when that is asked for: the newest template that has available pods, else the newest. A template that was gone
 * back to is not left again by itself, nor is one gone back to that failed: where both are bad, the fault lies elsewhere.
 */
function revertOf(deployment: Deployment, { next, old }: Sets, failure: Failure | undefined): Plan['revert'] {
  if (next === undefined || deployment.spec.paused === true || onFailure(deployment) !== 'revert') return undefined;
  const cause = failure ?? lateness(deployment, next);
  const reverted = revertedOf(deployment);
  if (cause === undefined || reverted?.to === next.metadata.name) return undefined;
  const candidates = old.toReversed().filter(({ metadata }) => metadata.name !== reverted?.from);
  const target = candidates.find(({ status }) => (status.availableReplicas ?? 0) > 0) ?? candidates[0];
  if (target === undefined) return undefined;
  const [from, to] = [next.metadata.name, target.metadata.name];
  return {
    target,
    mark: { from, to, reason: cause.reason, cause: cause.message.slice(0, 1_000) },
  };
}

/** The deadline has passed: the status says so since the last look. */
function lateness({ status }: Deployment, next: ReplicaSet): Failure | undefined {
  const progressing = status.conditions?.find(({ type }) => type === 'Progressing');
  const isLate =
    progressing?.reason === reasons.late && (progressing.message ?? '').includes(`"${next.metadata.name}"`);
  return isLate ? { reason: reasons.late, message: progressing.message ?? '' } : undefined;
}
