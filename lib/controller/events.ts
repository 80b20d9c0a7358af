import { randomBytes } from 'node:crypto';
import type { Meter } from '@opentelemetry/api';
import { LRUCache } from 'lru-cache';
import type { ApiObject, Event, ObjectReference } from '../api/objects.ts';
import { backoffMs } from '../base/backoff.ts';
import { rfc3339, wait, type Clock } from '../base/clock.ts';
import { hasReason, isRetryable, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Client } from '../client/client.ts';

/** Tells people what happened to an object. Never waits and never throws: an event may be dropped, work may not. */
export interface Recorder {
  /**
   * Records an Event on the object. The same fact again (object, type, reason, message) within ten minutes counts up the
   * Event that is there.
   */
  event(about: ApiObject | ObjectReference, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Writes what waits, for at most `ms`. */
  flush(ms: number): Promise<void>;
}

export interface RecorderOptions {
  readonly client: Pick<Client, 'create' | 'patch'>;
  /** Who tells, such as `scheduler`. */
  readonly component: string;
  readonly host?: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  /** Ends the writing. */
  readonly signal: AbortSignal;
}

/** Facts that wait to be written; more are dropped. */
const maxWaiting = 1_000;
/** Facts remembered for counting up. */
const maxRemembered = 4_096;
const sameFactMs = 10 * 60_000;
const maxMessage = 1_024;
const retry = { firstMs: 100, maxMs: 5_000 };
const maxTries = 5;

interface Fact {
  readonly id: string;
  readonly reference: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  firstMs: number;
  lastMs: number;
  /** How often it was seen since it was last written. */
  unwritten: number;
}
interface Written {
  readonly key: string;
  readonly count: number;
  readonly lastMs: number;
}

export function newRecorder(options: RecorderOptions): Recorder {
  const { client, component, clock, log, signal } = options;
  const waiting = new Map<string, Fact>();
  const written = new LRUCache<string, Written>({ max: maxRemembered });
  const outcomes = options.meter.createCounter('troupe_events_recorded', {
    description: 'Events, by what became of them',
  });
  const source = { component, ...(options.host === undefined ? {} : { host: options.host }) };
  let writing: Promise<void> | undefined;

  async function writeAll(): Promise<void> {
    for (const fact of waiting.values()) {
      if (signal.aborted) break;
      waiting.delete(fact.id); // seen again while it is written, it waits anew
      await writeWithRetry(fact);
    }
    writing = undefined;
    if (waiting.size > 0 && !signal.aborted) begin();
  }

  function begin(): void {
    writing ??= writeAll();
  }

  async function writeWithRetry(fact: Fact): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await write(fact);
        outcomes.add(1, { outcome: 'written' });
        return;
      } catch (error) {
        if (!isRetryable(error) || attempt + 1 >= maxTries || signal.aborted) {
          outcomes.add(1, { outcome: 'dropped' });
          log.debug({ reason: fact.reason, error: messageOf(error) }, 'an event could not be written');
          return;
        }
        await wait(clock, backoffMs(attempt, retry), signal).catch(() => undefined);
      }
    }
  }

  async function write(fact: Fact): Promise<void> {
    const before = written.get(fact.id);
    const isSame = before !== undefined && fact.lastMs - before.lastMs < sameFactMs;
    if (isSame) {
      const count = before.count + fact.unwritten;
      try {
        await client.patch('events', before.key, { count, lastTimestamp: rfc3339(fact.lastMs) });
        written.set(fact.id, { key: before.key, count, lastMs: fact.lastMs });
        return;
      } catch (error) {
        if (!hasReason(error, 'NotFound')) throw error; // aged out: tell it anew
      }
    }
    const event = eventOf(fact, source);
    await client.create('events', event);
    written.set(fact.id, {
      key: `${event.metadata.namespace}/${event.metadata.name}`,
      count: fact.unwritten,
      lastMs: fact.lastMs,
    });
  }

  return {
    event(about, type, reason, message) {
      const reference = referenceOf(about);
      const text = message.length > maxMessage ? `${message.slice(0, maxMessage - 1)}…` : message;
      const id = JSON.stringify([
        reference.kind,
        reference.namespace,
        reference.name,
        reference.uid,
        type,
        reason,
        text,
      ]);
      const known = waiting.get(id);
      if (known !== undefined) {
        known.unwritten++;
        known.lastMs = clock.now();
        return;
      }
      if (waiting.size >= maxWaiting || signal.aborted) {
        outcomes.add(1, { outcome: 'dropped' });
        return;
      }
      const nowMs = clock.now();
      waiting.set(id, { id, reference, type, reason, message: text, firstMs: nowMs, lastMs: nowMs, unwritten: 1 });
      begin();
    },
    async flush(ms) {
      const late = wait(clock, ms);
      while (writing !== undefined) {
        const isLate = await Promise.race([writing.then(() => false), late.then(() => true)]);
        if (isLate) return;
      }
    },
  };
}

function referenceOf(about: ApiObject | ObjectReference): ObjectReference {
  if (!('metadata' in about)) return about;
  const { apiVersion, kind, metadata } = about;
  const { name, namespace, uid, resourceVersion } = metadata;
  return { apiVersion, kind, name, uid, resourceVersion, ...(namespace === undefined ? {} : { namespace }) };
}

function eventOf(fact: Fact, source: { component: string; host?: string }): EventDraft {
  const { reference, type, reason, message } = fact;
  // Events of cluster-scoped objects live in `default`, as everywhere.
  const namespace = reference.namespace ?? 'default';
  const unique = randomBytes(8).toString('hex');
  return {
    metadata: { name: `${(reference.name ?? 'unknown').slice(0, 200)}.${unique}`, namespace },
    involvedObject: reference,
    type,
    reason,
    message,
    source,
    firstTimestamp: rfc3339(fact.firstMs),
    lastTimestamp: rfc3339(fact.lastMs),
    count: fact.unwritten,
    reportingComponent: source.component,
    ...(source.host === undefined ? {} : { reportingInstance: source.host }),
  };
}
type EventDraft = Omit<Event, 'apiVersion' | 'kind' | 'metadata'> & {
  readonly metadata: { readonly name: string; readonly namespace: string };
};
