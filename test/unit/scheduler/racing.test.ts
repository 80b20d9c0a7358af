import assert from 'node:assert/strict';
import fc from 'fast-check';
import { keyOf, type Key } from '../../../lib/api/keys.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { isTerminal, needsOf } from '../../../lib/api/pods.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { capacityOf } from '../../../lib/placing/node-facts.ts';
import { misfitOf } from '../../../node-agent/admission.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod } from '../../support/builders.ts';

/**
 * Two schedulers that share nodes and hear of each other late: the decisions and the agents' refusal are the real ones, and between them stands the
 * least of an API server (a pod is bound once), a controller that replaces pods that failed, and an order of events that is another each time.
 */
class Race {
  readonly nodes: readonly Node[];
  /** What the API has. */
  readonly pods = new Map<Key, Pod>();
  /** Changes that one has not heard of yet, oldest first. */
  readonly #unheard: Pod[][] = [];
  readonly #schedulers: readonly { readonly cluster: Cluster; readonly pending: Map<Key, Pod> }[];
  readonly #taken: Map<string, Pod[]>;
  readonly #bound = new Map<string, string>();
  #made = 0;
  refusals = 0;

  constructor(nodes: readonly Node[], wishes: readonly { readonly cpu: number; readonly mine: number }[]) {
    this.nodes = nodes;
    this.#taken = new Map(nodes.map(({ metadata }) => [metadata.name, []]));
    this.#schedulers = [0, 1].map(() => {
      const cluster = new Cluster();
      for (const node of nodes) cluster.setNode(node);
      return { cluster, pending: new Map() };
    });
    this.#unheard = Array.from({ length: 2 + nodes.length }, () => []);
    for (const { cpu, mine } of wishes) this.#make(cpu, mine);
  }

  #make(cpu: number, mine: number): void {
    const spec = { schedulerName: `s${mine}` };
    this.#write(
      aPod({ name: `p${this.#made++}`, cpu: String(cpu), labels: { cpu: String(cpu), mine: String(mine) }, spec }),
    );
  }

  #write(pod: Pod): void {
    this.pods.set(keyOf(pod), pod);
    for (const unheard of this.#unheard) unheard.push(pod);
  }

  /** One of: a scheduler or an agent hears of the next change, or a scheduler decides and binds. False where there was nothing to do. */
  step(choice: number): boolean {
    const listener = choice % (this.#unheard.length + 2);
    if (listener >= this.#unheard.length) return this.#decide(listener - this.#unheard.length);
    const pod = this.#unheard[listener]?.shift();
    if (pod === undefined) return false;
    if (listener < 2) this.#schedulerHears(listener, pod);
    else this.#agentHears(this.nodes[listener - 2], pod);
    return true;
  }

  #schedulerHears(which: number, pod: Pod): void {
    const scheduler = this.#schedulers[which];
    scheduler?.cluster.setPod(pod);
    if (pod.spec.nodeName === undefined && pod.spec.schedulerName === `s${which}`)
      scheduler?.pending.set(keyOf(pod), pod);
  }

  #decide(which: number): boolean {
    const scheduler = this.#schedulers[which];
    if (scheduler === undefined || scheduler.pending.size === 0) return false;
    const { placements } = schedule([...scheduler.pending.values()], scheduler.cluster, { start: 0, sample: 64 });
    for (const { ask, nodeName } of placements) {
      scheduler.cluster.assume(ask, nodeName);
      scheduler.pending.delete(ask.key);
      const now = this.pods.get(ask.key);
      assert.ok(now !== undefined);
      if (now.spec.nodeName !== undefined) continue; // Conflict
      assert.equal(this.#bound.has(now.metadata.name), false, 'bound twice');
      this.#bound.set(now.metadata.name, nodeName);
      this.#write({ ...now, spec: { ...now.spec, nodeName } });
    }
    return placements.length > 0;
  }

  #agentHears(node: Node | undefined, pod: Pod): void {
    const taken = this.#taken.get(node?.metadata.name ?? '');
    if (node === undefined || taken === undefined || pod.spec.nodeName !== node.metadata.name || isTerminal(pod))
      return;
    const refusal = misfitOf(pod, node, taken);
    if (refusal === undefined) taken.push(pod);
    else {
      this.refusals += 1;
      this.#write({ ...pod, status: { ...pod.status, phase: 'Failed', reason: refusal.reason } });
      const { cpu = '', mine = '' } = pod.metadata.labels ?? {};
      this.#make(Number(cpu), Number(mine));
    }
    assert.ok(this.runningMilli(node) <= capacityOf(node).cpuMilli, 'over-committed');
    assert.ok(taken.length <= capacityOf(node).pods, 'too many pods run');
  }

  runningMilli(node: Node): number {
    return (this.#taken.get(node.metadata.name) ?? []).reduce((sum, { spec }) => sum + needsOf(spec).cpuMilli, 0);
  }

  /** Everybody hears everything and does what is left to do. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      assert.ok(rounds < 1_000, 'it does not come to rest');
      let busy = false;
      for (let choice = 0; choice < this.#unheard.length + 2; choice++) while (this.step(choice)) busy = true;
      if (!busy) return;
    }
  }
}

const races = fc.record({
  nodes: fc.array(fc.record({ cpu: fc.integer({ min: 1, max: 4 }), pods: fc.integer({ min: 1, max: 4 }) }), {
    minLength: 1,
    maxLength: 4,
  }),
  wishes: fc.array(fc.record({ cpu: fc.integer({ min: 1, max: 3 }), mine: fc.nat(1) }), {
    minLength: 1,
    maxLength: 12,
  }),
  steps: fc.array(fc.nat(20), { maxLength: 60 }),
});

describe('scheduler: two at one time', function () {
  this.timeout(120_000);
  it('bind no pod twice, over-commit no node, and in the end every pod that fits somewhere has its place', () => {
    let refusals = 0;
    fc.assert(
      fc.property(races, ({ nodes, wishes, steps }) => {
        const race = new Race(
          nodes.map(({ cpu, pods }, i) => aNode({ name: `n${i}`, cpu: String(cpu), pods: String(pods) })),
          wishes,
        );
        for (const choice of steps) race.step(choice);
        race.settle();
        refusals += race.refusals;
        const alive = [...race.pods.values()].filter((pod) => !isTerminal(pod));
        assert.equal(alive.length, wishes.length, 'each that was refused was made anew');
        const truth = new Cluster();
        for (const node of race.nodes) truth.setNode(node);
        for (const pod of race.pods.values()) truth.setPod(pod);
        const waiting = alive.filter(({ spec }) => spec.nodeName === undefined);
        for (const pod of waiting)
          assert.deepEqual(schedule([pod], truth, { start: 0, sample: 64 }).placements, [], 'one waits that would fit');
        for (const { used, capacity } of truth.nodes)
          assert.ok(used.cpuMilli <= capacity.cpuMilli && used.pods <= capacity.pods, 'over-committed in the end');
      }),
      { numRuns: 3_000 },
    );
    assert.ok(refusals > 100, `the race was none: ${refusals} refusals`);
  });
});
