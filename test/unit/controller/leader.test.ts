import assert from 'node:assert/strict';
import { createNoopMeter } from '@opentelemetry/api';
import fc from 'fast-check';
import type { Lease } from '../../../lib/api/objects.ts';
import { ApiError, alreadyExists, conflict } from '../../../lib/base/errors.ts';
import { silentLog } from '../../../lib/base/log.ts';
import type { Client, WatchEvent } from '../../../lib/client/client.ts';
import { newElection } from '../../../lib/controller/leader.ts';
import { FakeClock, settle } from '../../support/fake-clock.ts';

type LeaseClient = Pick<Client, 'get' | 'create' | 'update' | 'watch'>;

/** One Lease and its rules, for several clients, each of which can be cut off. */
class LeaseServer {
  lease: Lease | undefined;
  writes = 0;
  #revision = 0;
  readonly #watchers = new Set<(lease: Lease) => void>();

  client(isCut: () => boolean = () => false): LeaseClient {
    const check = async (): Promise<void> => {
      await Promise.resolve();
      if (isCut()) throw new ApiError('ServiceUnavailable', 'cut off');
    };
    const write = (draft: unknown): Lease => {
      const lease = structuredClone(draft) as { metadata: { resourceVersion: string } } & Lease;
      lease.metadata.resourceVersion = String(++this.#revision);
      this.lease = lease;
      this.writes++;
      for (const tell of this.#watchers) tell(lease);
      return lease;
    };
    const client = {
      get: async () => {
        await check();
        return this.lease;
      },
      create: async (_: string, draft: unknown) => {
        await check();
        if (this.lease !== undefined) throw alreadyExists('leases', 'l');
        return write(draft);
      },
      update: async (_: string, lease: Lease) => {
        await check();
        if (lease.metadata.resourceVersion !== this.lease?.metadata.resourceVersion) throw conflict('leases', 'l');
        return write(lease);
      },
      watch: (_: string, __: object, signal: AbortSignal) => this.#watch(isCut, signal),
    };
    return client as unknown as LeaseClient;
  }

  async *#watch(isCut: () => boolean, signal: AbortSignal): AsyncGenerator<WatchEvent<Lease>[]> {
    const queue: Lease[] = this.lease === undefined ? [] : [this.lease];
    let rouse = (): void => undefined;
    const tell = (lease: Lease): void => {
      queue.push(lease);
      rouse();
    };
    this.#watchers.add(tell);
    signal.addEventListener('abort', () => rouse());
    try {
      while (!signal.aborted) {
        if (isCut()) throw new ApiError('ServiceUnavailable', 'cut off');
        const lease = queue.shift();
        if (lease !== undefined) yield [{ type: 'MODIFIED', revision: lease.metadata.resourceVersion, object: lease }];
        else await new Promise<void>((resolve) => (rouse = resolve));
      }
    } finally {
      this.#watchers.delete(tell);
    }
  }
}

class Candidate {
  readonly clock: FakeClock;
  readonly stop = new AbortController();
  isCut = false;
  leads = false;
  ended: Promise<void>;

  constructor(server: LeaseServer, identity: string, clock: FakeClock, durationSeconds?: number) {
    this.clock = clock;
    const election = newElection({
      client: server.client(() => this.isCut),
      name: 'l',
      identity,
      ...(durationSeconds === undefined ? {} : { durationSeconds }),
      clock,
      log: silentLog,
      meter: createNoopMeter(),
    });
    this.ended = election.run(this.stop.signal, async (signal) => {
      this.leads = true;
      await new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          this.leads = false; // at that very moment: nothing more is done
          resolve();
        }),
      );
    });
  }
}

describe('controller/leader', () => {
  let clock: FakeClock;
  let server: LeaseServer;
  let all: Candidate[];
  const candidate = (identity: string, durationSeconds?: number): Candidate => {
    const made = new Candidate(server, identity, clock, durationSeconds);
    all.push(made);
    return made;
  };
  beforeEach(() => {
    clock = new FakeClock();
    server = new LeaseServer();
    all = [];
  });
  afterEach(async () => {
    for (const one of all) {
      one.isCut = false;
      one.stop.abort();
    }
    await clock.advance(5_000);
    await Promise.all(all.map((one) => one.ended));
  });

  it('leads at once when nobody does, and writes down who', async () => {
    const a = candidate('a');
    await settle();
    assert.equal(a.leads, true);
    assert.deepEqual(
      [server.lease?.spec.holderIdentity, server.lease?.spec.leaseDurationSeconds, server.lease?.spec.leaseTransitions],
      ['a', 2, 0],
    );
    assert.match(server.lease?.spec.renewTime ?? '', /^\d{4}-.*\.\d{6}Z$/);
  });

  it('renews by the duration it was given, and leads at once when it starts again under its name', async () => {
    const a = candidate('a', 10);
    await settle();
    assert.equal(server.lease?.spec.leaseDurationSeconds, 10);
    await clock.advance(60_000);
    assert.ok(server.writes >= 24 && server.writes <= 30, `${server.writes} writes in a minute`);
    a.isCut = true; // killed: it gives nothing back
    a.stop.abort();
    candidate('b', 10);
    const again = candidate('a', 10);
    await settle();
    assert.equal(again.leads, true);
  });

  it('stays the leader for hours; the standby writes nothing', async () => {
    const a = candidate('a');
    await settle();
    const b = candidate('b');
    await clock.advance(60_000);
    assert.deepEqual([a.leads, b.leads], [true, false]);
    assert.ok(server.writes <= 61_000 / 450 + 2, `${server.writes} writes in a minute`);
    assert.equal(server.lease?.spec.leaseTransitions, 0);
  });

  it('hands over at once when it stops', async () => {
    const a = candidate('a');
    await settle();
    const b = candidate('b');
    await clock.advance(1_000);
    a.stop.abort();
    await settle(10);
    assert.deepEqual([a.leads, b.leads], [false, true]);
    assert.equal(server.lease?.spec.leaseTransitions, 1);
  });

  it('is replaced within 2 s of its death', async () => {
    const a = candidate('a');
    await settle();
    const b = candidate('b');
    await clock.advance(10_300);
    a.isCut = true; // its process is gone: nothing of it is heard any more
    const tookMs = await clock.advanceUntil(() => b.leads, 'b leads', 5_000, 1);
    assert.ok(tookMs <= 2_000, `took ${tookMs} ms`);
    assert.equal(a.leads, false);
  });

  it('gives up when it cannot renew, before anybody else may take over', async () => {
    const a = candidate('a');
    await settle();
    const b = candidate('b');
    await clock.advance(5_000);
    a.isCut = true;
    await clock.advanceUntil(() => !a.leads, 'a gives up', 2_000, 1);
    assert.equal(b.leads, false);
    await clock.advanceUntil(() => b.leads, 'b takes over', 2_000, 1);
    a.isCut = false;
    await clock.advance(10_000);
    assert.deepEqual([a.leads, b.leads], [false, true]);
  });

  it('goes on after the API was away for longer than the lease', async () => {
    const a = candidate('a');
    const b = candidate('b');
    await clock.advance(3_000);
    a.isCut = b.isCut = true;
    await clock.advance(10_000);
    assert.deepEqual([a.leads, b.leads], [false, false]);
    a.isCut = b.isCut = false;
    await clock.advance(5_000);
    assert.equal(Number(a.leads) + Number(b.leads), 1);
  });

  it('never has two leaders, whoever is cut off, stopped or started', async () => {
    const act = fc.record({
      who: fc.nat(2),
      what: fc.constantFrom('cut', 'mend', 'stop', 'start'),
      waitMs: fc.nat(3_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 15 }), async (acts) => {
        clock = new FakeClock();
        server = new LeaseServer();
        all = [];
        const now = [candidate('a0'), candidate('b0'), candidate('c0')];
        const one = (): boolean => now.filter((c) => c.leads).length <= 1 && all.filter((c) => c.leads).length <= 1;
        for (const [n, { who, what, waitMs }] of acts.entries()) {
          const c = now[who];
          if (c === undefined) continue;
          if (what === 'stop') c.stop.abort();
          else if (what === 'start') {
            c.stop.abort();
            now[who] = candidate(`${'abc'[who]}${n + 1}`);
          } else c.isCut = what === 'cut';
          for (let ms = 0; ms < waitMs; ms += 50) {
            await clock.advance(50);
            assert.ok(one(), 'two lead');
          }
        }
        for (const c of now) c.isCut = false;
        now[0]?.stop.abort();
        now[0] = candidate('z');
        await clock.advanceUntil(() => now.some((c) => c.leads), 'somebody leads', 6_000);
        for (const c of all) {
          c.isCut = false;
          c.stop.abort();
        }
        await clock.advance(3_000);
        await Promise.all(all.map((c) => c.ended));
      }),
      { numRuns: 40 },
    );
  });
});
