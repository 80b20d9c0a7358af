import type { Lease } from '../../lib/api/objects.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { Client } from '../../lib/client/client.ts';
import type { FreeLoop } from '../../lib/controller/service.ts';
import type { LocalAddresses } from './addresses.ts';

/** How long addresses of former lives are left alone: by then the loop has been through all Services. */
const sweepEveryMs = 30_000;

/** While this process leads, addresses that former lives left and no Service has are taken off this machine. */
export function newSweep(addresses: LocalAddresses, isGiven: (ip: string) => boolean, clock: Clock): FreeLoop {
  return {
    name: 'addresses',
    async run(leading) {
      for (;;) {
        await wait(clock, sweepEveryMs, leading).catch(() => undefined);
        if (leading.aborted) return;
        for (const ip of await addresses.list()) if (!isGiven(ip)) await addresses.remove(ip);
      }
    },
  };
}

export interface YieldOptions {
  readonly client: Pick<Client, 'get'>;
  readonly identity: string;
  /** How often it looks whether another one leads. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Takes everything off this machine. */
  release(): Promise<void>;
}

/**
 * An address may be on one machine only: when another process is seen to lead, and to renew its Lease, this machine lets go of
 * all. That this process does not lead is no reason by itself: with the API away nobody does, and traffic is to go on.
 */
export async function yieldToOthers(options: YieldOptions): Promise<void> {
  const { client, identity, everyMs, clock, log, signal } = options;
  let seen: { readonly holder: string; readonly version: string } | undefined;
  let released = false;
  for (;;) {
    await wait(clock, everyMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const lease: Lease | undefined = await client
      .get('leases', 'kube-system/load-balancer-controller', { timeoutMs: 2_000 })
      .catch(() => undefined);
    const holder = lease?.spec.holderIdentity ?? '';
    if (lease === undefined || holder === '' || holder === identity) {
      seen = undefined;
      if (holder === identity) released = false;
      continue;
    }
    const version = lease.metadata.resourceVersion;
    const isAlive = seen?.holder === holder && seen.version !== version;
    seen = { holder, version };
    if (!isAlive || released) continue;
    try {
      await options.release();
      released = true;
      log.info({ holder }, 'another one leads: this machine has let go of its load balancers');
    } catch (error) {
      log.error({ error: messageOf(error) }, 'could not take the load balancers off this machine; trying again');
    }
  }
}
