import { hasReason } from '../../../lib/base/errors.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import { eachAtMost } from '../../../lib/base/parallel.ts';
import { keyOf, makeKey, type Key } from '../../../lib/api/keys.ts';
import { formatSelector, selectorOf } from '../../../lib/api/labels.ts';
import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { controllerOf, isActive, isDeleting } from '../../../lib/api/pods.ts';
import {
  agreementOf,
  predecessorOf,
  rollingStatusOf,
  takesOverAnnotation,
  type RollingStatus,
} from '../../../lib/api/rolling-updates.ts';
import type { Client } from '../../../lib/client/client.ts';
import type { Controller, SyncResult } from '../../../lib/controller/controller.ts';
import type { Recorder } from '../../../lib/controller/events.ts';
import type { View } from '../../../lib/view/view.ts';
import { probeWords } from '../probe-words.ts';
import { lacking } from '../../../lib/rollout/verdict.ts';
import { lateReason } from './judge.ts';
import { ended, reconcile, type Plan } from './reconcile.ts';

/** ReplicationControllers that give or take pods are filed by the namespace and name of the other one. */
export const rcIndexes = {
  from: (rc: ReplicationController): readonly string[] => {
    const from = agreementOf(rc)?.from;
    return from === undefined ? [] : [makeKey(rc.metadata.namespace ?? '', from)];
  },
};

/** Has a part in an update that is not at its end. */
export const isRolling = (rc: ReplicationController): boolean =>
  agreementOf(rc) !== undefined || predecessorOf(rc) !== undefined;

export interface Parts {
  /** With `rcIndexes`. */
  readonly rcs: View<ReplicationController>;
  /** Filed by `owner`: the uid of the controller that manages them. */
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
}

/** A write lost its race: what it was decided by is about to be replaced in the view. */
const soonMs = 20;
const updatesAtOnce = 16;

/**
 * Makes the steps of every rolling update of ReplicationControllers, by the agreement that the new one carries. Writes the sizes and
 * annotations of both, the labels of old pods where they have none to tell them apart, and removes the one that is left empty.
 * Every write is conditional on what was seen.
 */
export class RollingUpdater implements Controller {
  readonly name = 'rolling-updater';
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    const { rcs, pods, client, clock } = this.#parts;
    const next = rcs.get(key);
    if (next === undefined || isDeleting(next)) return;
    try {
      if (predecessorOf(next) !== undefined) return await this.#handOver(next, signal);
      const from = agreementOf(next)?.from;
      if (from === undefined) return;
      const found = rcs.get(makeKey(next.metadata.namespace ?? '', from));
      if (found !== undefined && isDeleting(found)) return; // woken again when it is gone
      const old = found;
      const rival = this.#rivalOf(next, from);
      const podsOf = (rc: ReplicationController | undefined): readonly Pod[] =>
        rc === undefined ? [] : pods.by('owner', rc.metadata.uid);
      const seen = {
        ...{ next, old, nextPods: podsOf(next), oldPods: podsOf(old), nowMs: clock.now() },
        ...(rival !== undefined && { rival }),
      };
      let plan = reconcile(seen);
      if (plan.status?.reason === lateReason && rollingStatusOf(next)?.reason !== lateReason) {
        const words = await probeWords(client, lacking(seen.nextPods, next.spec.minReadySeconds ?? 0, seen.nowMs));
        if (words !== undefined) plan = reconcile({ ...seen, words });
      }
      return await this.#perform(next, old, plan);
    } catch (error) {
      if (hasReason(error, 'Conflict', 'NotFound')) return { requeueAfterMs: soonMs };
      throw error;
    }
  }

  /** Of several that want the pods of one controller, the oldest has its way. */
  #rivalOf(next: ReplicationController, from: string): string | undefined {
    const { namespace = '' } = next.metadata;
    const order = ({ metadata }: ReplicationController): string => `${metadata.creationTimestamp} ${metadata.name}`;
    return this.#parts.rcs
      .by('from', makeKey(namespace, from))
      .filter((rc) => !isDeleting(rc) && order(rc) < order(next))
      .sort((a, b) => (order(a) < order(b) ? -1 : 1))[0]?.metadata.name;
  }

  async #perform(
    next: ReplicationController,
    old: ReplicationController | undefined,
    plan: Plan,
  ): Promise<SyncResult | void> {
    if (plan.label !== undefined) await this.#label(plan.label);
    if (plan.select !== undefined) return this.#select(plan.select);
    for (const rc of plan.write) await this.#write(rc, next);
    if (plan.remove !== undefined) {
      await this.#remove(plan.remove);
      if (plan.remove.metadata.uid === next.metadata.uid) this.#tell(old ?? next, plan.status);
      return { requeueAfterMs: 0 };
    }
    if (plan.rename === true && plan.status !== undefined) return this.#rename(next, plan.status);
    return plan.wakeInMs === undefined ? undefined : { requeueAfterMs: plan.wakeInMs };
  }

  async #label(marked: readonly Pod[]): Promise<void> {
    const { client, pods } = this.#parts;
    await eachAtMost(updatesAtOnce, marked, async (pod) => {
      pods.wrote(await client.update('pods', pod));
    });
  }

  /** A pod without the label would be let go by its controller: our view may be late, so the API itself is asked. */
  async #select(old: ReplicationController): Promise<SyncResult> {
    const { client, rcs, pods } = this.#parts;
    const { namespace } = old.metadata;
    const before = rcs.get(keyOf(old))?.spec.selector ?? old.spec.selector;
    const { items } = await client.list('pods', {
      ...(namespace !== undefined && { namespace }),
      labelSelector: formatSelector(selectorOf(before)),
    });
    const isBare = (pod: Pod): boolean =>
      isActive(pod) &&
      controllerOf(pod)?.uid === old.metadata.uid &&
      Object.entries(old.spec.selector).some(([name, value]) => pod.metadata.labels?.[name] !== value);
    const bare = items.filter(isBare);
    for (const pod of bare) pods.wrote(pod);
    if (bare.length === 0) rcs.wrote(await client.update('replicationcontrollers', old));
    return { requeueAfterMs: 0 };
  }

  async #write(rc: ReplicationController, next: ReplicationController): Promise<void> {
    const { client, rcs, recorder } = this.#parts;
    const seen = rcs.get(keyOf(rc));
    rcs.wrote(await client.update('replicationcontrollers', rc));
    const [before, after] = [seen?.spec.replicas ?? 0, rc.spec.replicas];
    if (before !== after)
      recorder.event(
        rc,
        'Normal',
        'RollingUpdateStep',
        `Scaled ${after > before ? 'up' : 'down'} replication controller ${rc.metadata.name} from ${before} to ${after}`,
      );
    if (rc.metadata.uid !== next.metadata.uid) return;
    const [was, is] = [seen && rollingStatusOf(seen), rollingStatusOf(rc)];
    if (is !== undefined && (was?.phase !== is.phase || was.message !== is.message)) this.#tell(rc, is);
  }

  #tell(about: ReplicationController, status: RollingStatus | undefined): void {
    if (status === undefined) return;
    const { from, to, phase, reason, message } = status;
    const warns = phase === 'Stopped' || (phase === 'RollingBack' && reason !== 'Ordered');
    const why = message === undefined ? '' : `: ${message}`;
    const words = `Rolling update of ${from} to ${to}${why}`;
    this.#parts.recorder.event(about, warns ? 'Warning' : 'Normal', `RollingUpdate${phase}`, words);
  }

  async #remove(rc: ReplicationController): Promise<void> {
    const { client, rcs } = this.#parts;
    const { uid, resourceVersion } = rc.metadata;
    try {
      const preconditions = { uid, resourceVersion };
      await client.delete('replicationcontrollers', keyOf(rc), { preconditions, propagationPolicy: 'Background' });
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
    }
    rcs.wroteDeletion(rc);
  }

  /** A copy with the final name, which waits for the pods (`takesOverAnnotation`). */
  async #rename(next: ReplicationController, status: RollingStatus): Promise<SyncResult> {
    const { client, rcs } = this.#parts;
    const { name, namespace, labels, uid } = next.metadata;
    const plain = ended(next, status).metadata.annotations;
    try {
      const made = await client.create('replicationcontrollers', {
        ...{ apiVersion: next.apiVersion, kind: next.kind, spec: next.spec },
        metadata: {
          ...{ name: status.from, annotations: { ...plain, [takesOverAnnotation]: JSON.stringify({ name, uid }) } },
          ...(namespace !== undefined && { namespace }),
          ...(labels !== undefined && { labels }),
        },
      });
      rcs.wrote(made);
      return await this.#handOver(made, undefined);
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) throw error;
      const found = await client.get('replicationcontrollers', makeKey(namespace ?? '', status.from));
      if (found !== undefined) rcs.wrote(found);
      return { requeueAfterMs: soonMs };
    }
  }

  /** Lets go of the pods of the former controller; once it is gone the one with its pods' final name may take them. */
  async #handOver(rc: ReplicationController, signal: AbortSignal | undefined): Promise<SyncResult> {
    const { client, rcs } = this.#parts;
    const { namespace = '' } = rc.metadata;
    const { name, uid } = predecessorOf(rc) ?? { name: '', uid: '' };
    const former = await client.get('replicationcontrollers', makeKey(namespace, name), signal && { signal });
    if (former?.metadata.uid === uid) {
      const options = { preconditions: { uid }, propagationPolicy: 'Orphan' } as const;
      if (!isDeleting(former)) await client.delete('replicationcontrollers', keyOf(former), options);
      return { requeueAfterMs: 100 };
    }
    const { resourceVersion } = rc.metadata;
    const patch = { metadata: { resourceVersion, annotations: { [takesOverAnnotation]: null } } };
    const taken = await client.patch('replicationcontrollers', keyOf(rc), patch);
    rcs.wrote(taken);
    this.#tell(taken, rollingStatusOf(taken));
    return {};
  }
}

/** Which updates a change concerns: that of the controller itself, and those that take its pods. */
export function concerned(rcs: View<ReplicationController>, rc: ReplicationController): readonly Key[] {
  const own = keyOf(rc);
  const others = rcs.by('from', own).map(keyOf);
  // One that wants the pods of the same controller may have waited for this one.
  const from = agreementOf(rc)?.from;
  const rivals = from === undefined ? [] : rcs.by('from', makeKey(rc.metadata.namespace ?? '', from)).map(keyOf);
  return [...new Set([...(isRolling(rc) ? [own] : []), ...others, ...rivals])];
}
