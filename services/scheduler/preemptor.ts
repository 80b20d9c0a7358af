import { hasReason, messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { isGone } from '../../lib/api/ending.ts';
import type { Key } from '../../lib/api/keys.ts';
import type { Pod, PodCondition } from '../../lib/api/objects.ts';
import { isDeleting, withCondition } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import { priorityOf } from '../../lib/placing/cluster.ts';
import type { Preemption, Victim } from './preempt.ts';

interface Parts {
  readonly pods: View<Pod>;
  readonly client: Pick<Client, 'get' | 'updateStatus' | 'evict' | 'delete'>;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
}

const attempts = 4;

/**
 * Ends the pods that make room for another, with the grace of each. Those whose budget allows it are evicted, so that what they take
 * of it is taken once, whoever else takes of it at that moment; those that go against their budget are deleted. Safe to do
 * again, by another process too: a pod that goes already goes.
 */
export class Preemptor {
  readonly #parts: Parts;
  readonly #ending = new Set<Key>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Pods that are being ended and may not say so yet. */
  get ending(): ReadonlySet<Key> {
    return this.#ending;
  }

  /** True when all of them go, or are gone. Never rejects. */
  async end(preemption: Preemption): Promise<boolean> {
    const { victims } = preemption;
    for (const { key } of victims) this.#ending.add(key);
    const outcomes = await Promise.all(
      victims.map(async (victim) => {
        try {
          await this.#endOne(victim, preemption);
          return true;
        } catch (error) {
          const fields = { pod: victim.key, for: preemption.ask.key, error: messageOf(error) };
          this.#parts.log.warn(fields, 'a pod could not be ended to make room');
          return false;
        } finally {
          this.#ending.delete(victim.key);
        }
      }),
    );
    return !outcomes.includes(false);
  }

  async #endOne({ key, pod, breaks, asksBudget }: Victim, { ask, nodeName }: Preemption): Promise<void> {
    const { pods, client, recorder } = this.#parts;
    const { uid } = pod.metadata;
    const priority = priorityOf(ask.pod);
    const condition = {
      ...{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' },
      message: `room is made on ${nodeName} for ${ask.key} of priority ${priority}`,
    } satisfies PodCondition;
    const told = await this.#tell(key, uid, condition);
    if (told === undefined || isDeleting(told)) return;
    const options = { preconditions: { uid } };
    try {
      const last = asksBudget ? await client.evict(key, options) : await client.delete('pods', key, options);
      if (isGone(last)) pods.wroteDeletion(last);
      else pods.wrote(last);
    } catch (error) {
      if (hasReason(error, 'NotFound')) return;
      await this.#tell(key, uid, { ...condition, status: 'False', message: messageOf(error) });
      throw error;
    }
    const against = breaks === undefined ? '' : `, against its disruption budget ${breaks}`;
    recorder.event(
      pod,
      'Normal',
      'Preempted',
      `Preempted by ${ask.key} (priority ${priority}) on node ${nodeName}${against}`,
    );
  }

  /** Sets a condition of a pod that has a node; undefined when it is not there any more. Conflict when others are always quicker. */
  async #tell(key: Key, uid: string, condition: PodCondition): Promise<Pod | undefined> {
    const { pods, client, clock } = this.#parts;
    let pod = pods.get(key);
    for (let attempt = 1; ; attempt++) {
      if (pod?.metadata.uid !== uid) return undefined;
      const conditions = withCondition(pod.status.conditions, condition, clock.now());
      if (conditions === pod.status.conditions || isDeleting(pod)) return pod;
      try {
        const written = await client.updateStatus('pods', { ...pod, status: { ...pod.status, conditions } });
        pods.wrote(written);
        return written;
      } catch (error) {
        if (hasReason(error, 'NotFound')) return undefined;
        if (!hasReason(error, 'Conflict') || attempt === attempts) throw error;
        pod = await client.get('pods', key);
      }
    }
  }
}
