import assert from 'node:assert/strict';
import fc from 'fast-check';
import { jobTracking, endOfJob, isTrue } from '../../../lib/api/jobs.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { ApiObject, Job, JobSpec, Pod } from '../../../lib/api/objects.ts';
import { isActive, isDeleting, isTerminal } from '../../../lib/api/pods.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { newRegistry, type RunningRegistry } from '../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { JobManager } from '../../../services/job-controller/controller.ts';
import { indexOf } from '../../../services/job-controller/pods.ts';
import { podIndexes } from '../../../services/job-controller/wake.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeView } from '../../support/fake-view.ts';
import { RegistryClient } from '../../support/registry-client.ts';

/** One step of a world in which everything goes wrong; `pick` chooses among what is there. */
type Step = { readonly what: (typeof happenings)[number]; readonly pick: number };
const happenings = [
  ...['sync', 'sync', 'sync', 'hear', 'hear', 'succeed', 'fail', 'delete', 'force'],
  ...['confirm', 'remove', 'restart', 'fault', 'suspend', 'resume', 'later', 'narrow', 'widen'],
] as const;

/** Where the calls of a loop fail: before the API has heard of it, or after it has done it. */
class FaultyClient extends RegistryClient {
  /** So many calls from now one fails; negative: after it was done. */
  fault = 0;

  override async update<R extends never>(...args: Parameters<RegistryClient['update']>): Promise<never> {
    return this.#faulty(() => super.update(...args)) as Promise<R>;
  }
  override async updateStatus<R extends never>(...args: Parameters<RegistryClient['updateStatus']>): Promise<never> {
    return this.#faulty(() => super.updateStatus(...args)) as Promise<R>;
  }
  override async create<R extends never>(...args: Parameters<RegistryClient['create']>): Promise<never> {
    return this.#faulty(() => super.create(...args)) as Promise<R>;
  }
  override async delete<R extends never>(...args: Parameters<RegistryClient['delete']>): Promise<never> {
    return this.#faulty(() => super.delete(...args)) as Promise<R>;
  }

  async #faulty(work: () => Promise<unknown>): Promise<unknown> {
    const turn = this.fault;
    if (turn !== 0) this.fault += turn > 0 ? -1 : 1;
    if (turn === 1) throw new ApiError('ServiceUnavailable', 'the request was lost');
    const done = await work();
    if (turn === -1) throw new ApiError('ServiceUnavailable', 'the answer was lost');
    return done;
  }
}

/** A Job on the real registry with its loop, whose views hear of changes when the test says so, and lose some. */
class World {
  readonly clock = new FakeClock(Date.parse('2026-01-01T00:00:00Z'));
  readonly store = new MemoryStore({ clock: this.clock });
  readonly #registry: RunningRegistry;
  readonly api: RegistryClient;
  readonly client: FaultyClient;
  /** The fates by uid, as the world and not the loop knows them. */
  readonly succeeded = new Set<string>();
  readonly failed = new Set<string>();
  readonly wonIndexes: number[] = [];
  #jobs = new FakeView<Job>();
  #pods = new FakeView<Pod>(podIndexes);
  #manager: JobManager | undefined;
  #leadership = new AbortController();

  private constructor(registry: RunningRegistry) {
    this.#registry = registry;
    this.api = new RegistryClient(registry);
    this.client = new FaultyClient(registry);
  }

  static async start(spec: Partial<JobSpec>): Promise<World> {
    const clock = new FakeClock(Date.parse('2026-01-01T00:00:00Z'));
    const registry = await newRegistry({ store: new MemoryStore({ clock }), clock });
    const world = new World(registry);
    Object.assign(world, { clock });
    await world.api.create('jobs', {
      metadata: { name: 'pi', namespace: 'default' },
      spec: {
        ...spec,
        template: { spec: { restartPolicy: 'Never', containers: [{ name: 'app', image: 'x' }] } },
      } as never,
    });
    await world.restart();
    return world;
  }
  async stop(): Promise<void> {
    await this.#registry.close();
  }

  job = async (): Promise<Job> => (await this.api.get('jobs', 'default/pi')) as Job;
  pods = async (): Promise<readonly Pod[]> => (await this.api.list('pods')).items;

  /** Another process takes over, with views of its own. */
  async restart(every = 1): Promise<void> {
    this.#jobs = new FakeView<Job>();
    this.#pods = new FakeView<Pod>(podIndexes);
    this.#leadership = new AbortController();
    this.#manager = new JobManager({
      jobs: this.#jobs,
      pods: this.#pods,
      client: this.client,
      recorder: { event: () => undefined, flush: async () => undefined },
      clock: this.clock,
      limits: { burst: 500, backoffMs: 1_000, maxBackoffMs: 8_000 },
      statusIntervalMs: 0,
    });
    await this.hear(every);
  }

  /** The views hear of one in `every` objects: the others are as late as they are. */
  async hear(every: number, from = 0): Promise<void> {
    const refresh = <T extends ApiObject>(view: FakeView<T>, items: readonly T[]): void => {
      const all = [...items, ...view.list()].map(keyOf).sort();
      for (const [i, key] of [...new Set(all)].entries()) {
        if ((i + from) % every !== 0) continue;
        const now = items.find((item) => keyOf(item) === key);
        const held = view.get(key);
        if (now !== undefined) view.wrote(now);
        else if (held !== undefined) view.wroteDeletion(held);
      }
    };
    refresh(this.#jobs, [await this.job()]);
    refresh(this.#pods, await this.pods());
  }

  async sync(): Promise<void> {
    try {
      await this.#manager?.sync('default/pi', this.#leadership.signal);
    } catch (error) {
      if (!(error instanceof ApiError) && !/creating pods|deleting pods/.test(String(error))) throw error;
    }
    const job = await this.job();
    const active = (await this.pods()).filter(isActive);
    assert.ok(active.length <= widest, `${active.length} pods are active at once`);
    const indexes = active
      .filter(tracked)
      .map(indexOf)
      .filter((index) => index !== undefined);
    assert.equal(new Set(indexes).size, indexes.length, `two pods of one index: ${indexes.join()}`);
    if (endOfJob(job) !== undefined) assert.equal(active.length, 0, 'it has ended and pods run');
  }

  async end(pod: Pod, phase: 'Succeeded' | 'Failed'): Promise<void> {
    await this.api.updateStatus('pods', { ...pod, status: { ...pod.status, phase } });
    if (!tracked(pod)) return;
    const { uid } = pod.metadata;
    if (phase === 'Failed') this.failed.add(uid);
    else if (!this.failed.has(uid)) {
      this.succeeded.add(uid);
      const index = indexOf(pod);
      if (index !== undefined) this.wonIndexes.push(index);
    }
  }
}

/** The largest `parallelism` that a Job here has. */
const widest = 4;
const tracked = (pod: Pod): boolean => pod.metadata.finalizers?.includes(jobTracking) === true;
const pickOf = <T>(items: readonly T[], pick: number): T | undefined => items[pick % Math.max(1, items.length)];

async function happen(world: World, { what, pick }: Step): Promise<void> {
  const pods = (await world.pods()).toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const running = pickOf(pods.filter(isActive), pick);
  const job = await world.job();
  switch (what) {
    case 'sync':
      return world.sync();
    case 'hear':
      return world.hear((pick % 3) + 1, pick);
    case 'succeed':
    case 'fail':
      if (running !== undefined) await world.end(running, what === 'fail' ? 'Failed' : 'Succeeded');
      return;
    case 'delete':
    case 'force':
      if (running === undefined) return;
      if (tracked(running)) world.failed.add(running.metadata.uid);
      await world.api.delete('pods', keyOf(running), { gracePeriodSeconds: what === 'force' ? 0 : 30 });
      return;
    case 'confirm': {
      const going = pickOf(pods.filter(isDeleting), pick);
      if (going !== undefined) await world.api.delete('pods', keyOf(going), { gracePeriodSeconds: 0 });
      return;
    }
    case 'remove': {
      const over = pickOf(pods.filter(isTerminal), pick);
      if (over !== undefined) await world.api.delete('pods', keyOf(over), { gracePeriodSeconds: 0 });
      return;
    }
    case 'restart':
      return world.restart((pick % 3) + 1);
    case 'fault':
      world.client.fault = (pick % 4) * (pick % 2 === 0 ? 1 : -1);
      return;
    case 'suspend':
    case 'resume':
      if (endOfJob(job) === undefined)
        await world.api.patch('jobs', 'default/pi', { spec: { suspend: what === 'suspend' } });
      return;
    case 'narrow':
    case 'widen': {
      const parallelism = what === 'narrow' ? 1 : widest;
      await world.api.patch('jobs', 'default/pi', { spec: { parallelism } });
      return;
    }
    case 'later':
      await world.clock.advance(pick * 500);
      return;
  }
}

describe('job-controller, whatever happens', function () {
  this.timeout(120_000);
  const steps = fc.array(fc.record({ what: fc.constantFrom(...happenings), pick: fc.nat(11) }), { maxLength: 120 });
  const shapes: readonly (readonly [string, Partial<JobSpec>])[] = [
    ['of pods that are alike', { completions: 6, parallelism: 3, backoffLimit: 1_000 }],
    ['of a work queue', { parallelism: 3, backoffLimit: 1_000 }],
    ['of indexes', { completions: 5, parallelism: 3, backoffLimit: 1_000, completionMode: 'Indexed' }],
    [
      'that waits for the end of each pod',
      {
        completions: 5,
        parallelism: 3,
        backoffLimit: 1_000,
        completionMode: 'Indexed',
        podReplacementPolicy: 'Failed',
      },
    ],
  ];
  for (const [name, spec] of shapes)
    it(`counts each pod of a Job ${name} once, and comes to its end`, async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (happened) => {
          const world = await World.start(spec);
          try {
            for (const step of happened) await happen(world, step);
            await world.api.patch('jobs', 'default/pi', { spec: { suspend: false } });
            world.client.fault = 0;
            for (let round = 0; endOfJob(await world.job()) === undefined; round++) {
              assert.ok(round < 200, `no end: ${JSON.stringify((await world.job()).status)}`);
              await world.hear(1);
              for (let turn = 0; turn < 4; turn++) {
                await world.sync();
                await world.hear(1);
              }
              const parallelism = (await world.job()).spec.parallelism;
              const active = (await world.pods()).filter(isActive);
              assert.ok(active.length <= parallelism, `${active.length} active of ${parallelism}`);
              for (const pod of await world.pods()) {
                if (isDeleting(pod)) await world.api.delete('pods', keyOf(pod), { gracePeriodSeconds: 0 });
                else if (isActive(pod) && round % 2 === 1) await world.end(pod, 'Succeeded');
              }
              await world.clock.advance(10_000);
            }
            await world.hear(1);
            await world.sync();
            const { status } = await world.job();
            assert.ok(isTrue(status, 'Complete'), JSON.stringify(status));
            assert.equal(status.failed ?? 0, world.failed.size, 'failures');
            if (spec.completionMode === 'Indexed') {
              assert.equal(status.succeeded, 5);
              assert.equal(status.completedIndexes, '0-4');
            } else assert.equal(status.succeeded ?? 0, world.succeeded.size, 'successes');
            if (spec.podReplacementPolicy === 'Failed')
              assert.deepEqual(world.wonIndexes.toSorted(), [0, 1, 2, 3, 4], 'each index once');
            assert.equal(status.uncountedTerminatedPods, undefined);
            for (const pod of await world.pods()) assert.equal(tracked(pod), false, 'a pod is held for ever');
          } finally {
            await world.stop();
          }
        }),
        { numRuns: 60 },
      );
    });
});
