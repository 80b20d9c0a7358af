import type { Meter } from '@opentelemetry/api';
import { makeKey } from '../api/keys.ts';
import type { Lease } from '../api/objects.ts';
import { rfc3339Micro, wait, type Clock } from '../base/clock.ts';
import { hasReason, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Client } from '../client/client.ts';
import { nextBeat } from './beat.ts';

export interface ElectionOptions {
  readonly client: Pick<Client, 'get' | 'create' | 'update' | 'watch'>;
  /** The Lease that decides; one a service. */
  readonly name: string;
  readonly namespace?: string;
  /** Who asks: no two processes may use the same. */
  readonly identity: string;
  /** By when a leader that fell silent is made up for, whole seconds; default: 2. It renews four times in that time. */
  readonly durationSeconds?: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly random?: () => number;
}

/**
 * The share of the duration for which a standby waits. Less than all, so that what the dead leader left undone is done within the duration:
 * finding out, taking the Lease and going over all keys take time, and pods are made by one loop and bound by the next.
 */
const patience = 0.65;
/** The share of it for which a leader acts after asking for its last renewal: less than a standby waits, so that clocks may run at different rates. */
const sure = 0.5;
const renewal = 0.25;
/** Deadlines of renewals are told in steps of this share, so that those of one moment are the same and share a call. */
const step = 1 / 32;
const retryMs = 200;

export interface Election {
  readonly isLeader: boolean;
  /**
   * Calls `lead` each time this process has become the leader; its signal aborts when that is no longer sure. Resolves after `signal`
   * has aborted, `lead` has ended and the Lease was given back, so that a standby takes over at once.
   */
  run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void>;
}

/**
 * Leader election by a Lease object (F23).
 *
 *   standby ── the Lease is absent, given back, or unchanged for its duration ──► take it (conditional write)
 *      ▲                                                                            │ ok
 *      └── taken by another, or not renewed within `sureMs` by the own clock ─── leading: renew in time
 *
 * A standby counts a Lease's duration by its own steady clock from when it saw the last renewal, which is after the leader asked for
 * it; the leader counts a shorter time from when it asked. So no two are sure at one time, whatever their wall clocks say.
 * A standby hears of renewals by watch and asks again only when the watch ends.
 */
export function newElection(options: ElectionOptions): Election {
  const { client, identity, clock, name } = options;
  const namespace = options.namespace ?? 'kube-system';
  const random = options.random ?? Math.random;
  const durationSeconds = options.durationSeconds ?? 2;
  const leaseMs = durationSeconds * 1000;
  const sureMs = leaseMs * sure;
  const renewMs = leaseMs * renewal;
  const log = options.log.child({ lease: name, identity });
  let isLeader = false;
  options.meter
    .createObservableGauge('troupe_leader', { description: '1 while this process leads' })
    .addCallback((result) => result.observe(isLeader ? 1 : 0, { lease: name }));

  /** The Lease as last seen, and when by the own clock it was first seen so. */
  let seen: { readonly version: string; readonly atMs: number } | undefined;

  const freeInMs = (lease: Lease): number => {
    const { holderIdentity, leaseDurationSeconds } = lease.spec;
    const version = lease.metadata.resourceVersion;
    if (seen?.version !== version) seen = { version, atMs: clock.monotonic() };
    if (holderIdentity === undefined || holderIdentity === '' || holderIdentity === identity) return 0;
    return seen.atMs + (leaseDurationSeconds ?? durationSeconds) * 1000 * patience - clock.monotonic();
  };

  /** Resolves to the Lease that may be taken, undefined when there is none; rejects when the API is away. */
  async function standBy(signal: AbortSignal): Promise<Lease | undefined> {
    let lease = await client.get('leases', makeKey(namespace, name), { timeoutMs: 1_000, signal });
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    let cancel = (): void => undefined;
    const look = (next: Lease | undefined): boolean => {
      lease = next;
      cancel();
      const waitMs = next === undefined ? 0 : freeInMs(next);
      if (waitMs > 0) cancel = clock.after(waitMs, () => stop.abort());
      return waitMs <= 0;
    };
    try {
      if (look(lease) || lease === undefined) return lease;
      const selection = {
        namespace,
        fieldSelector: `metadata.name=${name}`,
        fromRevision: lease.metadata.resourceVersion,
      };
      for await (const batch of client.watch('leases', selection, either)) {
        for (const { type, object } of batch) {
          if (object !== undefined && look(type === 'DELETED' ? undefined : object)) return lease;
        }
      }
    } catch (error) {
      // When the time is up the Lease as last seen is what may be taken: if the API is away, the write will tell.
      if (!stop.signal.aborted) throw error;
    } finally {
      cancel();
      stop.abort();
    }
    if (lease !== undefined && freeInMs(lease) > 0) throw new Error('the watch of the lease ended');
    return lease;
  }

  /** Writes the own name into the Lease. Conflict or AlreadyExists when another was faster. */
  async function take(lease: Lease | undefined, timeoutMs: number): Promise<Lease> {
    const now = rfc3339Micro(clock.now());
    const isMine = lease?.spec.holderIdentity === identity;
    const spec = {
      holderIdentity: identity,
      leaseDurationSeconds: durationSeconds,
      acquireTime: (isMine ? lease?.spec.acquireTime : undefined) ?? now,
      renewTime: now,
      leaseTransitions: (lease?.spec.leaseTransitions ?? 0) + (isMine || lease === undefined ? 0 : 1),
    };
    return lease === undefined
      ? client.create('leases', { metadata: { name, namespace }, spec }, { timeoutMs })
      : client.update('leases', { ...lease, spec }, { timeoutMs });
  }

  /** Renews until that fails or `signal` aborts; resolves to the Lease while it is still ours, for giving it back. */
  async function holdOn(
    mine: Lease,
    askedMs: number,
    signal: AbortSignal,
    lost: AbortController,
  ): Promise<Lease | undefined> {
    let lease = mine;
    let sureUntilMs = askedMs + sureMs;
    let cancel = clock.after(sureUntilMs - clock.monotonic(), () =>
      lost.abort(new Error('the lease was not renewed in time')),
    );
    const withinMs = (nowMs: number): number =>
      Math.max(50, Math.round((sureUntilMs - nowMs) / (leaseMs * step)) * leaseMs * step);
    let isRetry = false;
    const over = AbortSignal.any([signal, lost.signal]);
    try {
      for (;;) {
        await (isRetry ? wait(clock, retryMs * (0.9 + 0.1 * random()), over) : nextBeat(clock, renewMs, over));
        const nowMs = clock.monotonic();
        isRetry = false;
        try {
          lease = await take(lease, withinMs(nowMs));
        } catch (error) {
          if (hasReason(error, 'Conflict', 'NotFound')) {
            const now = await client.get('leases', makeKey(namespace, name), {
              timeoutMs: withinMs(nowMs),
            });
            if (now?.spec.holderIdentity !== identity)
              return void lost.abort(new Error(`the lease is held by ${now?.spec.holderIdentity ?? 'nobody'}`));
            lease = now; // a renewal that was written although its answer got lost
          }
          isRetry = true;
          continue;
        }
        if (lost.signal.aborted) return lease;
        sureUntilMs = nowMs + sureMs;
        cancel();
        cancel = clock.after(sureUntilMs - clock.monotonic(), () =>
          lost.abort(new Error('the lease was not renewed in time')),
        );
      }
    } catch (error) {
      if (!signal.aborted && !lost.signal.aborted) throw error;
      return lease;
    } finally {
      cancel();
    }
  }

  async function leadOnce(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const free = await standBy(signal);
    if (signal.aborted) return;
    const askedMs = clock.monotonic();
    let lease: Lease | undefined = await take(free, 1_000);
    // An answer that took too long leaves nothing to be sure of.
    if (clock.monotonic() - askedMs >= sureMs) return;
    isLeader = true;
    log.info('leading');
    const lost = new AbortController();
    const leading = lead(AbortSignal.any([signal, lost.signal])).catch((error: unknown) => {
      log.error({ error }, 'what this process led has ended with an error');
      lost.abort(error);
    });
    try {
      lease = await holdOn(lease, askedMs, signal, lost);
    } finally {
      lost.abort(new Error('no longer leading'));
      await leading;
      isLeader = false;
      log.info('no longer leading');
    }
    if (lease !== undefined) await giveBack(lease);
  }

  async function giveBack(lease: Lease): Promise<void> {
    try {
      const spec = { ...lease.spec, holderIdentity: '', renewTime: rfc3339Micro(clock.now()) };
      await client.update('leases', { ...lease, spec }, { timeoutMs: 1_000 });
    } catch (error) {
      log.info({ error: messageOf(error) }, 'the lease could not be given back; it runs out by itself');
    }
  }

  return {
    get isLeader() {
      return isLeader;
    },
    async run(signal, lead) {
      let isComplaining = false;
      while (!signal.aborted) {
        try {
          await leadOnce(signal, lead);
          isComplaining = false;
        } catch (error) {
          if (signal.aborted) return;
          const isRace = hasReason(error, 'Conflict', 'AlreadyExists');
          if (!isRace && !isComplaining)
            log.warn({ error: messageOf(error) }, 'the lease cannot be read or written; trying again');
          isComplaining ||= !isRace;
          await wait(clock, retryMs * (0.5 + random()), signal).catch(() => undefined);
        }
      }
    },
  };
}
