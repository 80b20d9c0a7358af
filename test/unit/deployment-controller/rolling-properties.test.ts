import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ReplicationController } from '../../../lib/api/objects.ts';
import {
  isRollingEnd,
  rollingOrderAnnotation,
  rollingStatusOf,
  rollingUpdateAnnotation,
  type RollingOrder,
} from '../../../lib/api/rolling-updates.ts';
import { boundsOf } from '../../../lib/rollout/rollout.ts';
import { reconcile } from '../../../services/deployment-controller/rolling/reconcile.ts';
import { anRc, epochMs } from '../../support/builders.ts';

interface Agreed {
  readonly replicas: number;
  readonly maxSurge: number;
  readonly maxUnavailable: number;
  readonly canary?: number;
  readonly periodSeconds: number;
}

/** Two controllers with their pods, one of which may be gone; each part of the cluster moves when it is told to. */
class World {
  nowMs = epochMs;
  readonly agreed: Agreed;
  readonly rcs = new Map<string, ReplicationController>();
  /** Pods that are there, and how many of them are available. */
  readonly pods = new Map<string, { there: number; available: number }>();

  constructor(agreed: Agreed) {
    this.agreed = agreed;
    const agreement = JSON.stringify({ from: 'web-1', ...agreed });
    this.#make('web-1', agreed.replicas, {});
    this.#make('web-2', 0, { [rollingUpdateAnnotation]: agreement });
  }

  #make(name: string, replicas: number, annotations: Readonly<Record<string, string>>): void {
    const rc = anRc({ name, replicas, selector: { app: 'web', version: name } });
    const status = { replicas, readyReplicas: replicas, availableReplicas: replicas, observedGeneration: 1 };
    this.rcs.set(name, { ...rc, metadata: { ...rc.metadata, generation: 1, annotations }, status });
    this.pods.set(name, { there: replicas, available: replicas });
  }

  get available(): number {
    return [...this.pods.values()].reduce((sum, { available }) => sum + available, 0);
  }
  get there(): number {
    return [...this.pods.values()].reduce((sum, { there }) => sum + there, 0);
  }
  get phase(): string | undefined {
    const words = [...this.rcs.values()].map(rollingStatusOf).flatMap((status) => status?.phase ?? []);
    return words.find(isRollingEnd) ?? words[0];
  }

  sync(): void {
    const next = this.rcs.get('web-2');
    if (next === undefined) return;
    const plan = reconcile({ next, old: this.rcs.get('web-1'), nextPods: [], oldPods: [], nowMs: this.nowMs });
    for (const rc of plan.write) {
      const { name, generation = 1 } = rc.metadata;
      const changed = rc.spec.replicas !== this.rcs.get(name)?.spec.replicas;
      this.rcs.set(name, { ...rc, metadata: { ...rc.metadata, generation: changed ? generation + 1 : generation } });
    }
    if (plan.remove === undefined) return;
    const { name } = plan.remove.metadata;
    assert.deepEqual(this.pods.get(name), { there: 0, available: 0 }, `${name} goes when it is empty`);
    this.rcs.delete(name);
  }

  /** Its own loop makes and removes pods, those that are not available first, and says what there is. */
  keep(name: string): void {
    const [rc, pods] = [this.rcs.get(name), this.pods.get(name)];
    if (rc === undefined || pods === undefined) return;
    pods.there = rc.spec.replicas;
    pods.available = Math.min(pods.available, pods.there);
    const { there: replicas, available } = pods;
    const observedGeneration = rc.metadata.generation ?? 1;
    this.rcs.set(name, {
      ...rc,
      status: { replicas, readyReplicas: available, availableReplicas: available, observedGeneration },
    });
  }

  serve(name: string): void {
    const pods = this.pods.get(name);
    if (pods !== undefined && pods.available < pods.there) pods.available++;
  }

  order(order: RollingOrder): void {
    const next = this.rcs.get('web-2');
    if (next?.metadata.annotations?.[rollingUpdateAnnotation] === undefined) return;
    const annotations = { ...next.metadata.annotations, [rollingOrderAnnotation]: order };
    this.rcs.set('web-2', { ...next, metadata: { ...next.metadata, annotations } });
  }

  move(what: number): void {
    const name = what % 2 === 0 ? 'web-1' : 'web-2';
    if (what < 6) this.sync();
    else if (what < 12) this.keep(name);
    else if (what < 18) this.serve(name);
    else if (what < 21) this.nowMs += 7_000;
    else this.order((['pause', 'resume', 'back'] as const)[what - 21] ?? 'resume');
  }

  /** Everything in turn, until nothing more comes of it. */
  settle(): void {
    for (let round = 0; round < 200; round++) {
      this.nowMs += 1_000;
      this.sync();
      for (const name of this.rcs.keys()) this.keep(name);
      for (const name of this.rcs.keys()) this.serve(name);
    }
  }
}

const agreements = fc
  .record({
    replicas: fc.integer({ min: 1, max: 6 }),
    maxSurge: fc.nat(3),
    maxUnavailable: fc.nat(3),
    canary: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
    periodSeconds: fc.constantFrom(0, 0, 10),
  })
  .filter(({ maxSurge, maxUnavailable }) => maxSurge + maxUnavailable > 0)
  .map(({ canary, ...rest }): Agreed => ({ ...rest, ...(canary !== undefined && { canary }) }));
const scripts = fc.array(fc.nat(23), { maxLength: 80 });

describe('deployment-controller/rolling in any order of things', () => {
  it('keeps what was agreed on at every moment, forward and back', () => {
    fc.assert(
      fc.property(agreements, scripts, (agreed, script) => {
        const world = new World(agreed);
        const { maxSurge, maxUnavailable } = boundsOf(agreed.replicas, agreed);
        for (const what of script) {
          world.move(what);
          assert.ok(world.available >= agreed.replicas - maxUnavailable, `${String(world.available)} available`);
          assert.ok(world.there <= agreed.replicas + maxSurge, `${String(world.there)} there`);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('comes to its end from anywhere, by the last order, and then rests', () => {
    fc.assert(
      fc.property(agreements, scripts, fc.boolean(), (agreed, script, forward) => {
        const world = new World(agreed);
        for (const what of script) world.move(what);
        const isOver = world.rcs.size === 1;
        if (forward) {
          world.order('resume');
          world.settle();
          world.order('resume'); // past the canary, where it stood before it
        } else world.order('back');
        world.settle();
        assert.equal(world.rcs.size, 1, `one is left, ${String(world.phase)}`);
        if (!isOver) assert.equal(world.phase, forward ? 'Succeeded' : 'RolledBack');
        assert.deepEqual([world.there, world.available], [agreed.replicas, agreed.replicas]);
        const before = [...world.rcs.values()];
        world.sync();
        assert.deepEqual([...world.rcs.values()], before);
      }),
      { numRuns: 300 },
    );
  });

  it('goes no further than its canary without an order', () => {
    fc.assert(
      fc.property(agreements, (agreed) => {
        const world = new World(agreed);
        world.settle();
        const held = agreed.canary !== undefined && agreed.canary < agreed.replicas;
        assert.equal(world.phase, held ? 'Canary' : 'Succeeded');
        if (held) assert.deepEqual(world.pods.get('web-2')?.there, agreed.canary);
        assert.equal(world.available, agreed.replicas, 'no capacity is lost while it waits');
      }),
      { numRuns: 200 },
    );
  });
});
