import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import { keyOf, makeKey, type Key } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { ApiObject, Deployment, Pod, PodTemplateSpec, ReplicaSet } from '../../lib/api/objects.ts';
import { controllerOf, isDeleting } from '../../lib/api/pods.ts';
import type { Client, Draft } from '../../lib/client/client.ts';
import type { Controller, SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { FollowedConfig } from '../../lib/rollout/followed-config.ts';
import { ensureCopies } from '../../lib/rollout/keep-copies.ts';
import {
  configAnnotation,
  heldAnnotation,
  type Held,
  type Resolved,
  type SeenConfig,
} from '../../lib/rollout/resolve-config.ts';
import { revertedAnnotation } from '../../lib/rollout/reverted.ts';
import { lacking } from '../../lib/rollout/verdict.ts';
import type { View } from '../../lib/view/view.ts';
import { revisionAnnotation } from './annotations.ts';
import { backTo, configOf, resolve } from './config.ts';
import { reconcile, type Plan } from './reconcile.ts';
import { isOf, ownerReferenceOf } from './sets.ts';
import { probeWords } from './probe-words.ts';
import { isNewlyLate, sameStatus, statusOf } from './status.ts';

/** How objects are filed by the one that manages them. */
export const ownerIndex = {
  owner: (object: ApiObject): readonly string[] => {
    const owner = controllerOf(object);
    return owner === undefined ? [] : [owner.uid];
  },
};
/** ReplicaSets that nobody manages are filed by their namespace besides. */
export const setIndexes = {
  ...ownerIndex,
  ownerless: (set: ReplicaSet): readonly string[] =>
    controllerOf(set) === undefined ? [set.metadata.namespace ?? ''] : [],
};

export interface Parts {
  readonly deployments: View<Deployment>;
  /** With `setIndexes`. */
  readonly sets: View<ReplicaSet>;
  /** With `ownerIndex`. */
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly config: FollowedConfig;
}

/** A write lost its race: what it was decided by is about to be replaced in the view. */
const soonMs = 20;

/** A Deployment as it is looked at once. */
interface Look {
  /** As it is in the API. */
  readonly deployment: Deployment;
  readonly seen: readonly SeenConfig[];
  readonly resolved: Resolved;
}

/**
 * Brings the pods of every Deployment to its template, step by step. Writes ReplicaSets, the copies of
 * what their templates name, the template of a Deployment that asked to
 * be taken back when its rollout fails, and the status of Deployments. Every write of a size is conditional on what was seen.
 */
export class DeploymentController implements Controller {
  readonly name = 'deployment-controller';
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    const { deployments, clock, config } = this.#parts;
    const deployment = deployments.get(key);
    if (deployment === undefined || isDeleting(deployment)) return config.forget(key); // its ReplicaSets are the garbage collector's to see to
    try {
      await this.#adopt(deployment, signal);
      const owned = this.#owned(deployment);
      const pods = owned.flatMap(({ metadata }) => this.#parts.pods.by('owner', metadata.uid));
      const seen = await config.read(key, deployment.metadata.namespace ?? '', configOf(deployment, owned));
      const resolved = resolve(deployment, owned, seen);
      const look = { deployment, seen, resolved };
      if (resolved.undone !== undefined) return await this.#writeTemplate(deployment, resolved.undone);
      const { template } = resolved;
      const plan = reconcile({ ...deployment, spec: { ...deployment.spec, template } }, owned, pods, clock.now());
      if (plan.create !== undefined) return await this.#create(look, plan.create);
      if (plan.revert !== undefined) return await this.#revert(look, plan.revert);
      if (plan.sets.next !== undefined) await this.#ensure(look, plan.sets.next);
      for (const set of plan.write) await this.#write(deployment, set);
      for (const set of plan.remove) await this.#remove(set);
      return await this.#report(look, plan);
    } catch (error) {
      if (hasReason(error, 'Conflict')) return { requeueAfterMs: soonMs };
      throw error;
    }
  }

  #owned({ metadata }: Deployment): readonly ReplicaSet[] {
    return this.#parts.sets.by('owner', metadata.uid).filter((set) => !isDeleting(set));
  }

  /** Takes ReplicaSets that match and have no owner, such as those that a deleted Deployment left behind on purpose. */
  async #adopt(deployment: Deployment, signal: AbortSignal): Promise<void> {
    const { client, sets } = this.#parts;
    const selector = selectorOfLabelSelector(deployment.spec.selector);
    const orphans = sets
      .by('ownerless', deployment.metadata.namespace ?? '')
      .filter((set) => !isDeleting(set) && matches(selector, set.metadata.labels));
    if (orphans.length === 0) return;
    // Our view may be late; adopting for one that is gone would take them from its successor.
    const now = await client.get('deployments', keyOf(deployment), { signal });
    if (now?.metadata.uid !== deployment.metadata.uid || isDeleting(now)) return;
    for (const set of orphans) {
      const ownerReferences = [...(set.metadata.ownerReferences ?? []), ownerReferenceOf(deployment)];
      sets.wrote(await client.update('replicasets', { ...set, metadata: { ...set.metadata, ownerReferences } }));
    }
  }

  /** Its name is made from the template: where our view is late, or its answer was lost, we meet it here. */
  async #create(look: Look, draft: Draft<ReplicaSet>): Promise<SyncResult> {
    const { client, sets, deployments, recorder } = this.#parts;
    const { deployment, resolved } = look;
    const rolled = { ...deployment, spec: { ...deployment.spec, template: resolved.template } };
    const { copies } = resolved;
    const config = Object.keys(copies).length === 0 ? {} : { [configAnnotation]: JSON.stringify(copies) };
    const annotations = { ...draft.metadata.annotations, ...config };
    try {
      const made = await client.create('replicasets', { ...draft, metadata: { ...draft.metadata, annotations } });
      sets.wrote(made);
      await this.#ensure(look, made); // now, while we have what it is made of
      recorder.event(
        deployment,
        'Normal',
        'NewReplicaSet',
        `Created replica set ${made.metadata.name} for its template`,
      );
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) {
        recorder.event(
          deployment,
          'Warning',
          'ReplicaSetCreateError',
          `Failed to create a replica set: ${String(error)}`,
        );
        throw error;
      }
      const { namespace = '' } = deployment.metadata;
      const found = await client.get('replicasets', makeKey(namespace, draft.metadata.name ?? ''));
      if (found === undefined) return { requeueAfterMs: soonMs };
      sets.wrote(found);
      if (isDeleting(found)) return { requeueAfterMs: 500 }; // one of a former life: it is on its way out
      if (controllerOf(found)?.uid === deployment.metadata.uid && isOf(rolled, found)) return { requeueAfterMs: 0 };
      if (controllerOf(found) === undefined && isOf(rolled, found)) return { requeueAfterMs: 0 }; // to be adopted
      const status = { ...deployment.status, collisionCount: (deployment.status.collisionCount ?? 0) + 1 };
      deployments.wrote(await client.updateStatus('deployments', { ...deployment, status }));
    }
    return { requeueAfterMs: 0 };
  }

  /** Says so on the Deployment where the copies that the pods of a ReplicaSet need cannot be made: then none of them is. */
  async #ensure({ deployment, resolved }: Look, set: ReplicaSet): Promise<void> {
    const { client, recorder, config } = this.#parts;
    try {
      await ensureCopies({ client, known: config.ensured }, set, resolved.needed);
    } catch (error) {
      if (!hasReason(error, 'Conflict'))
        recorder.event(deployment, 'Warning', 'ConfigCopyError', `Failed to keep a copy: ${messageOf(error)}`);
      throw error;
    }
  }

  /** One write changes the template and says why, so that a death in between leaves nothing half done. */
  async #revert({ deployment, seen }: Look, { target, mark }: NonNullable<Plan['revert']>): Promise<SyncResult> {
    const result = await this.#writeTemplate(deployment, backTo(target, seen), {
      [revertedAnnotation]: JSON.stringify(mark),
    });
    const words = `Back from replica set ${mark.from} to ${mark.to}: ${mark.cause}`;
    this.#parts.recorder.event(deployment, 'Warning', 'RolloutReverted', words);
    return result;
  }

  /** The Deployment's template, in the user's words, with the data that its pods are to have instead of what there is now. */
  async #writeTemplate(
    { metadata, ...deployment }: Deployment,
    { template, held }: { readonly template: PodTemplateSpec; readonly held: Held | undefined },
    more: Readonly<Record<string, string>> = {},
  ): Promise<SyncResult> {
    const { client, deployments } = this.#parts;
    const { [heldAnnotation]: _, ...others } = metadata.annotations ?? {};
    const annotations = { ...others, ...more, ...(held && { [heldAnnotation]: JSON.stringify(held) }) };
    const spec = { ...deployment.spec, template };
    deployments.wrote(
      await client.update('deployments', { ...deployment, metadata: { ...metadata, annotations }, spec }),
    );
    return { requeueAfterMs: 0 };
  }

  async #write(deployment: Deployment, set: ReplicaSet): Promise<void> {
    const { client, sets, recorder } = this.#parts;
    const before = sets.get(keyOf(set))?.spec.replicas ?? 0;
    sets.wrote(await client.update('replicasets', set));
    const after = set.spec.replicas;
    if (after === before) return;
    const words = `Scaled ${after > before ? 'up' : 'down'} replica set ${set.metadata.name} from ${before} to ${after}`;
    recorder.event(deployment, 'Normal', 'ScalingReplicaSet', words);
  }

  async #remove(set: ReplicaSet): Promise<void> {
    const { client, sets } = this.#parts;
    const { uid, resourceVersion } = set.metadata;
    try {
      await client.delete('replicasets', keyOf(set), { preconditions: { uid, resourceVersion } });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
    sets.wroteDeletion(set);
  }

  /** Writes revision and status where they differ. */
  async #report({ deployment: seen, resolved }: Look, { sets, failure, delay }: Plan): Promise<SyncResult | void> {
    const { client, deployments, clock } = this.#parts;
    const revision =
      sets.next === undefined
        ? undefined
        : this.#parts.sets.get(keyOf(sets.next))?.metadata.annotations?.[revisionAnnotation];
    let deployment = seen;
    const { held, isHeld } = resolved;
    const before = seen.metadata.annotations ?? {};
    const isOver = before[heldAnnotation] !== undefined && isHeld !== true;
    if ((revision !== undefined && before[revisionAnnotation] !== revision) || isOver) {
      const { resourceVersion } = seen.metadata;
      const annotations = {
        ...(revision !== undefined && { [revisionAnnotation]: revision }),
        ...(isOver && { [heldAnnotation]: null }), // the same data may come again, and are tried again then
      };
      const patch = { metadata: { resourceVersion, annotations } };
      deployment = await client.patch('deployments', keyOf(seen), patch);
      deployments.wrote(deployment);
    }
    const latest = {
      next: sets.next && this.#latest(sets.next),
      old: sets.old.map((set) => this.#latest(set)),
      ...(held && { held }),
    };
    let { status, deadlineInMs } = statusOf(deployment, latest, { failure, delay }, clock.now());
    if (failure === undefined && latest.next !== undefined && isNewlyLate(deployment.status, status)) {
      const pods = this.#parts.pods.by('owner', latest.next.metadata.uid);
      const words = await probeWords(client, lacking(pods, deployment.spec.minReadySeconds ?? 0, clock.now()));
      const told = [delay, words].filter((part) => part !== undefined).join('; ');
      ({ status, deadlineInMs } = statusOf(
        deployment,
        latest,
        { failure, delay: told === '' ? undefined : told },
        clock.now(),
      ));
    }
    if (!sameStatus(deployment.status, status))
      deployments.wrote(await client.updateStatus('deployments', { ...deployment, status }));
    return deadlineInMs === undefined ? undefined : { requeueAfterMs: Math.min(deadlineInMs, 2 ** 31 - 1) };
  }

  #latest(set: ReplicaSet): ReplicaSet {
    return this.#parts.sets.get(keyOf(set)) ?? set;
  }
}
