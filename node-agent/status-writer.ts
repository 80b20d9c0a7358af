import { isDeepStrictEqual } from 'node:util';
import { isTerminal } from '../lib/api/pods.ts';
import type { Key } from '../lib/api/keys.ts';
import type { Pod, PodStatus } from '../lib/api/objects.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { wait, type Clock } from '../lib/base/clock.ts';
import { hasReason, messageOf } from '../lib/base/errors.ts';
import type { Log } from '../lib/base/log.ts';
import type { Client, Outcome } from '../lib/client/client.ts';

/** One pod's status, waiting to be written. */
export interface StatusEntry {
  readonly uid: string;
  readonly key: Key;
  /** The newest that is known of the pod; undefined when it is gone. */
  latest(): Pod | undefined;
  /** What its status should be now, computed on top of that pod. */
  status(on: Pod): PodStatus;
  /** Hears of what the API answered; undefined: it has no such pod any more. */
  written(pod: Pod | undefined): void;
}

/**
 * Writes statuses at once, many pods in one call where they come together, and only what differs. One status of a
 * pod is under way at a time; what changes meanwhile goes with the next. Can be shared by many agents.
 */
export interface StatusWriter {
  /** Asks for the pod's status to be written; asking again before it went out changes nothing. */
  put(entry: StatusEntry): void;
  /** Resolves when nothing waits for this pod, or after `ms`. */
  settled(uid: string, ms: number): Promise<void>;
  /** Pods whose status waits or is under way. */
  readonly waiting: number;
}

export interface StatusWriterOptions {
  readonly client: Pick<Client, 'updateStatusMany' | 'get'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Called with what was written, for metrics. */
  readonly onWritten?: (count: number, failed: number) => void;
}

const batchMax = 500;
/** Calls under way at one time: a slow one must not hold back a pod that has just become ready. */
const flightsMax = 4;
const retry = { firstMs: 50, maxMs: 5_000 };

export function newStatusWriter(options: StatusWriterOptions): StatusWriter {
  const { client, clock, log, signal } = options;
  const waiting = new Map<string, StatusEntry>();
  const flying = new Map<string, StatusEntry>();
  /** What was sent last, and what it became: the same again would say nothing new, even where the API spells it otherwise. */
  const sent = new WeakMap<StatusEntry, { readonly resourceVersion: string; readonly status: PodStatus }>();
  const settlers = new Map<string, Set<() => void>>();
  let flights = 0;
  let failures = 0;
  let scheduled = false;

  function schedule(): void {
    if (scheduled || signal.aborted) return;
    scheduled = true;
    // What the same turn of the loop brings goes together; nothing waits longer than that.
    setImmediate(() => {
      scheduled = false;
      take();
    });
  }

  function take(): void {
    while (flights < flightsMax && !signal.aborted) {
      const batch: { readonly entry: StatusEntry; readonly pod: Pod }[] = [];
      for (const [uid, entry] of waiting) {
        if (batch.length === batchMax) break;
        if (flying.has(uid)) continue;
        waiting.delete(uid);
        const pod = withStatus(entry, sent.get(entry));
        if (pod === undefined) settle(uid);
        else batch.push({ entry, pod });
      }
      if (batch.length === 0) return;
      for (const { entry } of batch) flying.set(entry.uid, entry);
      flights++;
      void send(batch).finally(() => {
        flights--;
        if (waiting.size > 0) schedule();
      });
    }
  }

  async function send(batch: readonly { readonly entry: StatusEntry; readonly pod: Pod }[]): Promise<void> {
    let outcomes: readonly Outcome<Pod>[];
    try {
      outcomes = await client.updateStatusMany(
        'pods',
        batch.map(({ pod }) => pod),
        { signal, fieldValidation: 'Ignore' }, // all of its fields are our own
      );
      failures = 0;
    } catch (error) {
      if (!signal.aborted && failures++ === 0)
        log.warn({ error: messageOf(error) }, 'statuses could not be written; trying on');
      await wait(clock, backoffMs(failures, retry), signal).catch(() => undefined);
      for (const { entry } of batch) again(entry);
      return;
    }
    let failed = 0;
    await Promise.all(
      batch.map(async ({ entry, pod }, index) => {
        const outcome = outcomes[index];
        if (outcome?.ok === true) {
          sent.set(entry, { resourceVersion: outcome.object.metadata.resourceVersion, status: pod.status });
          return done(entry, outcome.object);
        }
        failed++;
        if (outcome?.reason === 'NotFound') return done(entry, undefined);
        if (outcome?.reason !== 'Conflict') {
          log.warn({ key: entry.key, reason: outcome?.reason, error: outcome?.message }, 'a status was refused');
          if (outcome?.reason === 'Invalid') return done(entry, pod); // the same again would be refused again
        }
        await refreshed(entry, outcome?.reason === 'Conflict');
      }),
    );
    options.onWritten?.(batch.length, failed);
  }

  /** Someone else wrote the pod first: read it, and try on top of that. */
  async function refreshed(entry: StatusEntry, atOnce: boolean): Promise<void> {
    try {
      if (!atOnce) await wait(clock, backoffMs(3, retry), signal);
      const fresh = await client.get('pods', entry.key, { signal });
      if (fresh?.metadata.uid !== entry.uid) return done(entry, undefined);
      entry.written(fresh);
    } catch (error) {
      if (signal.aborted) return;
      if (!hasReason(error, 'ServiceUnavailable', 'Timeout'))
        log.warn({ key: entry.key, error: messageOf(error) }, 'a pod could not be read');
      await wait(clock, backoffMs(3, retry), signal).catch(() => undefined);
    }
    again(entry);
  }

  function done(entry: StatusEntry, pod: Pod | undefined): void {
    flying.delete(entry.uid);
    if (pod === undefined) waiting.delete(entry.uid);
    entry.written(pod);
    if (!waiting.has(entry.uid)) settle(entry.uid);
  }

  function again(entry: StatusEntry): void {
    flying.delete(entry.uid);
    if (!waiting.has(entry.uid)) waiting.set(entry.uid, entry);
    schedule();
  }

  function settle(uid: string): void {
    for (const resolve of settlers.get(uid) ?? []) resolve();
    settlers.delete(uid);
  }

  return {
    put(entry) {
      waiting.set(entry.uid, entry);
      schedule();
    },
    async settled(uid, ms) {
      if (!waiting.has(uid) && !flying.has(uid)) return;
      await new Promise<void>((resolve) => {
        const set = settlers.get(uid) ?? new Set();
        settlers.set(uid, set.add(resolve));
        clock.after(ms, resolve);
      });
    },
    get waiting() {
      return waiting.size + flying.size;
    },
  };
}

/** The pod to send; undefined where nothing is to be said. A terminal phase is never left, whoever wrote it. */
function withStatus(
  entry: StatusEntry,
  sent: { readonly resourceVersion: string; readonly status: PodStatus } | undefined,
): Pod | undefined {
  const pod = entry.latest();
  if (pod === undefined) return undefined;
  const status = entry.status(pod);
  if (isTerminal(pod) && status.phase !== pod.status.phase) return undefined;
  if (isDeepStrictEqual(status, pod.status)) return undefined;
  const known = sent?.resourceVersion === pod.metadata.resourceVersion && isDeepStrictEqual(status, sent.status);
  return known ? undefined : { ...pod, status };
}
