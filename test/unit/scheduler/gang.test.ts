import assert from 'node:assert/strict';
import fc from 'fast-check';
import { gangAnnotation, gangOf, gangSizeAnnotation, hasGangPlace } from '../../../lib/api/gangs.ts';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Node, Pod } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import type { Client } from '../../../lib/client/client.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { scheduleGangs } from '../../../services/scheduler/gang.ts';
import { schedule, type Schedule } from '../../../services/scheduler/schedule.ts';
import { podIndexes, Scheduler, type Parts as SchedulerParts } from '../../../services/scheduler/scheduler.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod, type PodOptions } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

const inGang = (gang: string, size: number, options: PodOptions = {}): Pod =>
  aPod({ ...options, annotations: { [gangAnnotation]: gang, [gangSizeAnnotation]: String(size) } });
const clusterOf = (nodes: readonly Node[], pods: readonly Pod[] = []): Cluster => {
  const cluster = new Cluster();
  for (const node of nodes) cluster.setNode(node);
  for (const pod of pods) cluster.setPod(pod);
  return cluster;
};
const decide = (pods: readonly Pod[], cluster: Cluster, there: readonly Pod[] = []): Schedule =>
  scheduleGangs(pods, cluster, {
    start: 0,
    sample: 100,
    placedOf: (gang) => there.filter((pod) => gangOf(pod)?.key === gang && hasGangPlace(pod)).length,
  });
const placed = ({ placements }: Schedule): string[] => placements.map(({ ask }) => ask.pod.metadata.name).toSorted();
const messages = ({ refusals }: Schedule): string[] => [...new Set(refusals.map(({ message }) => message))];

describe('scheduler/gang', () => {
  const small = (name: string): Node => aNode({ name, cpu: '2' });
  const members = (gang: string, size: number, count: number, cpu = '1'): Pod[] =>
    Array.from({ length: count }, (_, i) => inGang(gang, size, { name: `${gang}${i}`, cpu }));

  it('places all that are needed, or none', () => {
    const nodes = [small('a'), small('b')];
    assert.deepEqual(placed(decide(members('g', 4, 4), clusterOf(nodes))), ['g0', 'g1', 'g2', 'g3']);
    const short = decide(members('g', 5, 5), clusterOf(nodes));
    assert.deepEqual(placed(short), []);
    assert.deepEqual(messages(short), [
      'the gang "g" needs places for 5 pods at one time, and there are 4; for the others 0/2 nodes are available: 2 insufficient cpu.',
    ]);
  });

  it('gives the room of a gang that does not fit to those behind it', () => {
    const plain = [aPod({ name: 'p', cpu: '1' })];
    const nodes = [small('a'), small('b')];
    const result = decide([...members('g', 5, 5), ...plain, ...members('h', 3, 3)], clusterOf(nodes));
    assert.deepEqual(placed(result), ['h0', 'h1', 'h2', 'p']);
  });

  it('waits for pods that are not there yet, and says how many', () => {
    assert.deepEqual(messages(decide(members('g', 3, 2), clusterOf([small('a'), small('b')]))), [
      'waits for the rest of the gang "g": 2 of 3 pods are there',
    ]);
  });

  it('places more than are needed as far as they fit', () => {
    const result = decide(members('g', 2, 5), clusterOf([small('a'), small('b')]));
    assert.equal(result.placements.length, 4);
    assert.deepEqual(messages(result), ['0/2 nodes are available: 2 insufficient cpu.']);
  });

  it('replaces one of a gang that has its places alone, also beside those that did their work', () => {
    const nodes = [small('a')];
    const there = [
      inGang('g', 3, { name: 'g0', nodeName: 'a', cpu: '1' }),
      inGang('g', 3, { name: 'g1', nodeName: 'a', cpu: '1', phase: 'Succeeded' }),
      inGang('g', 3, { name: 'g2', nodeName: 'a', cpu: '1', phase: 'Failed' }),
    ];
    const again = inGang('g', 3, { name: 'g3', cpu: '1' });
    assert.deepEqual(placed(decide([again], clusterOf(nodes, there), there)), ['g3']);
    const lost = there.filter(({ status }) => status.phase !== 'Succeeded');
    assert.deepEqual(placed(decide([again], clusterOf(nodes, lost), lost)), []);
  });

  it('begins with the largest, and takes the larger size where its pods disagree', () => {
    const mixed = [
      inGang('g', 2, { name: 'g0', cpu: '1' }),
      inGang('g', 3, { name: 'g1', cpu: '1' }),
      inGang('g', 2, { name: 'g2', cpu: '2' }),
    ];
    assert.deepEqual(placed(decide(mixed, clusterOf([small('a'), small('b')]))), ['g0', 'g1', 'g2']);
    assert.deepEqual(placed(decide(mixed, clusterOf([aNode({ name: 'a', cpu: '3' })]))), []);
  });

  it('keeps gangs of the same name in two namespaces apart', () => {
    const other = inGang('g', 2, { name: 'o', namespace: 'other' });
    const result = decide([inGang('g', 2, { name: 'g0' }), other], clusterOf([small('a')]));
    assert.equal(result.placements.length, 0);
  });

  const someGang = fc.record({
    gang: fc.constantFrom('g', 'h', 'k'),
    size: fc.integer({ min: 1, max: 6 }),
    count: fc.integer({ min: 1, max: 6 }),
    milli: fc.constantFrom(500, 1000, 1500),
    before: fc.nat(2),
  });
  it('is all or nothing, refuses none that fits, and leaves others as if refused ones were not there', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
        fc.uniqueArray(someGang, { selector: ({ gang }) => gang, maxLength: 3 }),
        fc.array(fc.constantFrom(500, 1000, 2000), { maxLength: 6 }),
        (halves, gangs, plain) => {
          const nodes = halves.map((half, i) => aNode({ name: `n${i}`, cpu: `${half * 500}m` }));
          const there = gangs.flatMap(({ gang, size, milli, before }) =>
            Array.from({ length: before }, (_, i) =>
              inGang(gang, size, { name: `${gang}-old${i}`, cpu: `${milli}m`, nodeName: `n${i % nodes.length}` }),
            ),
          );
          const pods = [
            ...gangs.flatMap(({ gang, size, count, milli }) => members(gang, size, count, `${milli}m`)),
            ...plain.map((milli, i) => aPod({ name: `p${i}`, cpu: `${milli}m` })),
          ];
          const cluster = clusterOf(nodes, there);
          const result = decide(pods, cluster, there);
          assert.deepEqual(decide(pods, cluster, there), result, 'the cluster is left as it was');
          assert.equal(result.placements.length + result.refusals.length, pods.length);

          const free = new Map(
            nodes.map(({ metadata: { name } }, i): [string, number] => [
              name,
              (halves[i] ?? 0) * 500 -
                there
                  .filter(({ spec }) => spec.nodeName === name)
                  .reduce((sum, pod) => sum + cluster.ask(pod).needs.cpuMilli, 0),
            ]),
          );
          const refusedGangs = new Set<string>();
          for (const { gang, size, count, milli, before } of gangs) {
            const mine = result.placements.filter(({ ask }) => gangOf(ask.pod)?.name === gang);
            const need = size - before;
            const room = [...free.values()].reduce((sum, left) => sum + Math.max(0, Math.floor(left / milli)), 0);
            assert.ok(mine.length === 0 || mine.length >= need, `${gang}: ${mine.length} of ${need}`);
            const fits = count >= need && room >= need;
            assert.equal(mine.length, fits ? Math.min(count, room) : 0, `${gang}: ${room} places for ${need}`);
            if (!fits) refusedGangs.add(gang);
            for (const { nodeName } of mine) free.set(nodeName, (free.get(nodeName) ?? 0) - milli);
          }
          for (const { ask, nodeName } of result.placements)
            if (gangOf(ask.pod) === undefined) free.set(nodeName, (free.get(nodeName) ?? 0) - ask.needs.cpuMilli);
          const placedOn = new Set(result.placements.map(({ nodeName }) => nodeName));
          for (const name of placedOn) assert.ok((free.get(name) ?? -1) >= 0, `${name} is over-committed`);

          const without = pods.filter((pod) => !refusedGangs.has(gangOf(pod)?.name ?? ''));
          const again = decide(without, clusterOf(nodes, there), there);
          const where = ({ placements }: Schedule) => placements.map(({ ask, nodeName }) => `${ask.key} ${nodeName}`);
          assert.deepEqual(where(again), where(result));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('decides a batch without gangs as ever', () => {
    const pods = [1, 2, 3, 4, 5].map((i) => aPod({ name: `p${i}`, cpu: '1' }));
    const nodes = [small('a'), small('b')];
    const options = { start: 1, sample: 2, placedOf: () => 0 };
    assert.deepEqual(scheduleGangs(pods, clusterOf(nodes), options), schedule(pods, clusterOf(nodes), options));
  });
});

describe('scheduler/gang on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
  });
  afterEach(() => api.stop());

  const start = (client: SchedulerParts['client'] = api.client): void => {
    const scheduler = new Scheduler({
      ...api,
      client: client,
      limits: { schedulerName: 'default-scheduler', batch: 2, inFlight: 4, sample: 64, bindForMs: 5_000 },
      nodes: api.view('nodes'),
      pods: api.view('pods', { indexes: podIndexes }),
      services: api.view('services'),
      budgets: api.view('poddisruptionbudgets'),
      namespaces: api.view('namespaces'),
      claims: api.view('persistentvolumeclaims'),
      volumes: api.view('persistentvolumes'),
      classes: api.view('storageclasses'),
    });
    api.runFree(scheduler);
  };
  const addNode = async (cpu: string): Promise<void> => {
    const node = aNode({ name: 'n1', cpu });
    await api.client.updateStatus('nodes', { ...(await api.put('nodes', node)), status: node.status });
  };
  const add = (gang: string, i: number, size = 3): Promise<Pod> =>
    api.put('pods', inGang(gang, size, { name: `${gang}${i}`, cpu: '1' }));
  const bound = async (gang: string): Promise<number> => {
    const { items } = await api.client.list('pods');
    return items.filter((pod) => gangOf(pod)?.name === gang && pod.spec.nodeName !== undefined).length;
  };
  const why = async (name: string): Promise<string | undefined> =>
    conditionOf((await api.client.get('pods', `default/${name}`))?.status ?? {}, 'PodScheduled')?.message;

  it('waits for all pods of a gang, and then binds them, also where they are more than a batch', async () => {
    start();
    await addNode('4');
    await add('g', 0);
    await add('g', 1);
    await until(async () => (await why('g1')) === 'waits for the rest of the gang "g": 2 of 3 pods are there', {
      what: 'the reason',
    });
    assert.equal(await bound('g'), 0);
    await add('g', 2);
    await until(async () => (await bound('g')) === 3, { what: 'all to be bound' });
  });

  it('gives two gangs that cannot both be there their places one after the other', async () => {
    start();
    for (const i of [0, 1, 2]) await Promise.all([add('g', i), add('h', i)]);
    await addNode('5');
    const both = async (): Promise<readonly number[]> => [await bound('g'), await bound('h')];
    await until(async () => (await both()).includes(3), { what: 'one of them to be bound' });
    const [first, second] = (await bound('g')) === 3 ? ['g', 'h'] : ['h', 'g'];
    await until(
      async () =>
        (await why(`${second}0`)) ===
        `the gang "${second}" needs places for 3 pods at one time, and there are 2; for the others 0/1 nodes are available: 1 insufficient cpu.`,
      { what: 'the reason' },
    );
    assert.equal(await bound(second), 0);
    for (const i of [0, 1, 2]) await api.client.delete('pods', `default/${first}${i}`, { gracePeriodSeconds: 0 });
    await until(async () => (await bound(second)) === 3, { what: 'the other to be bound' });
  });

  it('completes a gang of which one binding was refused', async () => {
    let calls = 0;
    const client = new Proxy(api.client, {
      get(target, name) {
        if (name !== 'bindMany') return Reflect.get(target, name, target) as unknown;
        const bindMany: Client['bindMany'] = async (bindings, call) => {
          if (calls++ > 0) return target.bindMany(bindings, call);
          const outcomes = await target.bindMany(bindings.slice(1), call);
          return [{ ok: false, reason: 'Internal', message: 'torn' } as never, ...outcomes];
        };
        return bindMany;
      },
    });
    start(client);
    await addNode('4');
    for (const i of [0, 1, 2]) await add('g', i);
    await until(async () => (await bound('g')) === 3, { what: 'all to be bound' });
    assert.ok(calls >= 2);
  });

  it('refuses at the door what is half said', async () => {
    const put = (annotations: Readonly<Record<string, string>>): Promise<Pod> =>
      api.put('pods', aPod({ name: 'x', annotations }));
    await assert.rejects(put({ [gangAnnotation]: 'g' }), /gang-size.*Required value/);
    await assert.rejects(put({ [gangSizeAnnotation]: '2' }), /troupe\.dev\/gang\].*Required value/);
    await assert.rejects(put({ [gangAnnotation]: 'g', [gangSizeAnnotation]: '0' }), /whole number from 1 to 1000/);
    await assert.rejects(put({ [gangAnnotation]: 'G!', [gangSizeAnnotation]: '2' }), /RFC 1123 label/);
  });

  it('knows a gang only where both are said', () => {
    assert.deepEqual(gangOf(inGang('g', 3)), { key: 'default/g', name: 'g', size: 3 });
    assert.equal(gangOf(aPod()), undefined);
    assert.equal(keyOf(inGang('g', 3, { name: 'x' })), 'default/x');
  });
});
