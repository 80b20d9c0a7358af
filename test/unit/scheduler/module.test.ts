import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import type { SchedulerModule } from '../../../services/scheduler/module/contract.ts';
import { DeadlineError, withinDeadline } from '../../../services/scheduler/module/deadline.ts';
import { loadModule } from '../../../services/scheduler/module/load.ts';
import { withModule } from '../../../services/scheduler/module/module-profile.ts';
import { pack, spread, type Profile } from '../../../lib/placing/profile.ts';
import { schedule, type Schedule } from '../../../services/scheduler/schedule.ts';
import { podIndexes, Scheduler } from '../../../services/scheduler/scheduler.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

const example = fileURLToPath(new URL('../../../examples/scheduling-rules/rules.mjs', import.meta.url));

/** What a module makes of a cluster, and which of its rules failed on the way. */
class World {
  readonly failures: string[] = [];
  readonly #nodes: ReadonlyMap<string, Node>;
  readonly profile: Profile;

  constructor(nodes: readonly Node[], module: SchedulerModule, { deadlineMs = 60_000, own = spread } = {}) {
    this.#nodes = new Map(nodes.map((node) => [node.metadata.name, node]));
    this.profile = withModule(own, module, {
      nodeOf: (name) => this.#nodes.get(name),
      deadlineMs,
      onFailure: (rule, message) => void this.failures.push(`${rule}: ${message}`),
    });
  }

  decide(pods: readonly Pod[]): Schedule {
    const cluster = new Cluster();
    for (const node of this.#nodes.values()) cluster.setNode(node);
    return schedule(pods, cluster, { start: 0, sample: 2, profile: this.profile });
  }

  placed = (...pods: readonly Pod[]): string[] => this.decide(pods).placements.map(({ nodeName }) => nodeName);
  refused = (...pods: readonly Pod[]): string[] => this.decide(pods).refusals.map(({ message }) => message);
}

const three = ['a', 'b', 'c'].map((name) => aNode({ name }));
const forever = (): never => {
  for (;;);
};

describe('scheduler/module', () => {
  it('runs the example: only where the data may be, and there where it is cheap', async () => {
    const nodes = [
      ['a', 'ch', '4'],
      ['b', 'ch', '1'],
      ['c', 'us', '0.1'],
    ].map(([name = '', jurisdiction = '', price = '']) =>
      aNode({
        name,
        annotations: { 'example.com/jurisdiction': jurisdiction, 'example.com/price-per-hour': price },
      }),
    );
    const world = new World(nodes, await loadModule(example));
    const bound = (where: string): Pod => aPod({ annotations: { 'example.com/jurisdictions': where } });
    assert.deepEqual(world.placed(aPod()), ['c']);
    assert.deepEqual(world.placed(bound('de, ch')), ['b']);
    assert.deepEqual(world.refused(bound('de')), ['0/3 nodes are available: 3 in another jurisdiction.']);
    assert.deepEqual(world.failures, []);
  });

  it('asks filters only of pods that they concern, and of nodes that would do otherwise', () => {
    const asked: string[] = [];
    const world = new World([...three, aNode({ name: 'd', ready: false })], {
      filters: [
        {
          name: 'odd',
          concerns: ({ metadata }) => metadata.labels?.['odd'] === 'yes',
          refuse(pod, { node }) {
            asked.push(`${pod.metadata.name} ${node.metadata.name}`);
            return node.metadata.name === 'a' ? 'even' : undefined;
          },
        },
      ],
    });
    assert.deepEqual(world.placed(aPod({ name: 'plain' })), ['a']);
    assert.equal(asked.length, 0);
    assert.deepEqual(world.placed(aPod({ name: 'x', labels: { odd: 'yes' } })), ['b']);
    assert.deepEqual(asked.slice(0, 2), ['x a', 'x b']);
    assert.equal(new Set(asked).has('x d'), false);
  });

  it('compares all nodes where there are scores; a weight counts as that of a preferred node affinity', () => {
    const likes = (weight: number, best: string) => ({
      name: `likes ${best}`,
      weight,
      score: (_: Pod, { node }: { node: Node }) => (node.metadata.name === best ? 100 : 0),
    });
    assert.deepEqual(new World(three, { scores: [likes(1, 'c')] }).placed(aPod()), ['c']);
    assert.deepEqual(new World(three, { scores: [likes(2, 'b'), likes(3, 'c')] }).placed(aPod()), ['c']);
    const preference = {
      matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In' as const, values: ['a'] }],
    };
    const wishes = (weight: number): Pod =>
      aPod({
        spec: {
          affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight, preference }] } },
        },
      });
    assert.deepEqual(new World(three, { scores: [likes(50, 'c')] }).placed(wishes(49)), ['c']);
    assert.deepEqual(new World(three, { scores: [likes(50, 'c')] }).placed(wishes(51)), ['a']);
    assert.deepEqual(new World(three, { scores: [likes(1, 'b')] }, { own: pack }).placed(aPod()), ['b']);
  });

  it('refuses where a filter fails, takes 0 where a score fails, and tells both', () => {
    const boom = (): never => {
      throw new Error('boom');
    };
    const filters = new World(three, { filters: [{ name: 'broken', refuse: boom }] });
    assert.deepEqual(filters.refused(aPod()), [
      '0/3 nodes are available: 3 where the rule "broken" of the module failed: boom.',
    ]);
    assert.ok(filters.failures.includes('broken: boom'));
    const nonsense = new World(three, { filters: [{ name: 'later', refuse: (async () => undefined) as never }] });
    assert.match(
      nonsense.refused(aPod())[0] ?? '',
      /3 where the rule "later" of the module failed: it answered neither/,
    );
    for (const score of [boom, () => Number.NaN, () => 101]) {
      const scores = new World(three, {
        scores: [{ name: 's', score: (pod, { node }) => (node.metadata.name === 'b' ? 1 : score()) }],
      });
      assert.deepEqual(scores.placed(aPod()), ['b']);
      assert.ok(scores.failures.length > 0);
    }
    const unsure = new World(three, { filters: [{ name: 'unsure', concerns: boom, refuse: () => 'guarded' }] });
    assert.match(unsure.refused(aPod())[0] ?? '', /3 guarded/);
  });

  it('ends a rule that never comes back; others are placed, and a batch full of such waits', () => {
    const world = new World(
      three,
      {
        filters: [{ name: 'stuck', concerns: ({ metadata }) => metadata.labels?.['stuck'] === 'yes', refuse: forever }],
      },
      { deadlineMs: 20 },
    );
    const stuck = (name: string): Pod => aPod({ name, labels: { stuck: 'yes' } });
    const one = world.decide([stuck('s1'), aPod({ name: 'p1' })]);
    assert.ok(
      one.refusals.some(({ pod, message }) => pod.metadata.name === 's1' && message.includes('took longer than 20 ms')),
    );
    const many = world.decide([...[1, 2, 3, 4, 5].map((i) => stuck(`s${i}`)), aPod({ name: 'p1' })]);
    assert.equal(many.refusals.length, 3);
    assert.deepEqual(
      many.postponed.map(({ metadata }) => metadata.name),
      ['s4', 's5', 'p1'],
    );
  });

  it('never goes where a filter refuses, in random clusters', () => {
    fc.assert(
      fc.property(
        fc.array(fc.nat(3), { minLength: 1, maxLength: 8 }),
        fc.array(fc.nat(3), { maxLength: 12 }),
        fc.constantFrom(spread, pack),
        (kinds, wanted, own) => {
          const nodes = kinds.map((kind, i) =>
            aNode({ name: `n${i}`, pods: '2', annotations: { kind: String(kind) } }),
          );
          const world = new World(
            nodes,
            {
              filters: [
                {
                  name: 'kind',
                  refuse: (pod, { node }) =>
                    pod.metadata.annotations?.['kind'] === node.metadata.annotations?.['kind']
                      ? undefined
                      : 'of another kind',
                },
              ],
            },
            { own },
          );
          const pods = wanted.map((kind, i) => aPod({ name: `p${i}`, annotations: { kind: String(kind) } }));
          const { placements, refusals } = world.decide(pods);
          for (const { ask, nodeName } of placements)
            assert.equal(String(kinds[Number(nodeName.slice(1))]), ask.pod.metadata.annotations?.['kind']);
          for (const kind of [0, 1, 2, 3]) {
            const room = 2 * kinds.filter((each) => each === kind).length;
            const asked = wanted.filter((each) => each === kind).length;
            const lost = refusals.filter(({ pod }) => pod.metadata.annotations?.['kind'] === String(kind)).length;
            assert.equal(lost, Math.max(0, asked - room));
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  describe('deadline', () => {
    it('hands results and errors through', () => {
      assert.equal(
        withinDeadline(60_000, () => 7),
        7,
      );
      const error = new TypeError('no');
      assert.throws(
        () =>
          withinDeadline(60_000, () => {
            throw error;
          }),
        (thrown) => thrown === error,
      );
    });
    it('ends what never comes back, also where it catches everything', () => {
      assert.throws(() => withinDeadline(20, forever), DeadlineError);
      const stubborn = (): void => {
        for (;;)
          try {
            forever();
          } catch {
            // on and on
          }
      };
      assert.throws(() => withinDeadline(20, stubborn), DeadlineError);
    });
  });

  describe('loading', () => {
    let folder: string;
    before(() => {
      folder = mkdtempSync(join(tmpdir(), 'troupe-rules-'));
    });
    after(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const rows = [
      ['export const filters = [', /cannot be loaded/],
      ['export const other = 1', /exports neither/],
      ['export const filters = {}', /`filters` that are no array/],
      ['export const scores = [{ name: "a" }]', /scores\[0\]\.score must be a function/],
      ['export const filters = [{ refuse() {} }]', /filters\[0\]\.name must be a text/],
      ['export const filters = [null]', /filters\[0\]\.name/],
      ['const r = { name: "a", refuse() {} }; export const filters = [r, r]', /there is a rule "a" already/],
      ['export const scores = [{ name: "a", weight: 0, score() {} }]', /weight must be a number from 1 to 100/],
      ['export const start = 1; export const scores = [{ name: "a", score() {} }]', /`start` that is no function/],
    ] as const;
    for (const [i, [text, message]] of rows.entries())
      it(`refuses ${text}`, async () => {
        const path = join(folder, `m${i}.mjs`);
        writeFileSync(path, text);
        await assert.rejects(loadModule(path), message);
        await assert.rejects(loadModule(path), { message: new RegExp(`^scheduling module ${path}`) });
      });
    it('says where it looked for one that is not there', () =>
      assert.rejects(loadModule(join(folder, 'none.mjs')), /scheduling module .*none\.mjs cannot be loaded/));
  });

  describe('on the real registry', () => {
    let api: ApiInProcess;
    let open = false;
    let scheduler: Scheduler;
    beforeEach(async () => {
      api = await ApiInProcess.start();
      const nodes = api.view('nodes');
      const module: SchedulerModule = {
        filters: [
          {
            name: 'gate',
            refuse: (_, { node }) => (open || node.metadata.annotations?.['gate'] === 'open' ? undefined : 'closed'),
          },
        ],
      };
      const rules = { nodeOf: (name: string) => nodes.get(name), deadlineMs: 60_000, onFailure: () => undefined };
      scheduler = new Scheduler({
        ...api,
        limits: { schedulerName: 'default-scheduler', batch: 500, inFlight: 4, sample: 64, bindForMs: 5_000 },
        profile: withModule(spread, module, rules),
        nodes,
        pods: api.view('pods', { indexes: podIndexes }),
        services: api.view('services'),
        budgets: api.view('poddisruptionbudgets'),
        namespaces: api.view('namespaces'),
        claims: api.view('persistentvolumeclaims'),
        volumes: api.view('persistentvolumes'),
        classes: api.view('storageclasses'),
      });
      api.runFree(scheduler);
      open = false;
      const node = aNode({ name: 'n1' });
      await api.client.updateStatus('nodes', { ...(await api.put('nodes', node)), status: node.status });
      await api.put('pods', aPod({ name: 'a' }));
      const why = async () => conditionOf((await api.client.get('pods', 'default/a'))?.status ?? {}, 'PodScheduled');
      await until(async () => (await why())?.message === '0/1 nodes are available: 1 closed.', { what: 'the refusal' });
    });
    afterEach(() => api.stop());
    const isBound = async (): Promise<boolean> =>
      (await api.client.get('pods', 'default/a'))?.spec.nodeName !== undefined;

    it('looks again when an annotation of a node changes', async () => {
      await api.client.patch('nodes', 'n1', { metadata: { annotations: { gate: 'open' } } });
      await until(isBound, { what: 'the binding' });
    });
    it('looks again when the module says so', async () => {
      open = true;
      scheduler.rulesChanged();
      await until(isBound, { what: 'the binding' });
    });
  });
});
