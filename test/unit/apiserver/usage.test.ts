import assert from 'node:assert/strict';
import { hasReason } from '../../../lib/base/errors.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { ContainerStats, NodeStats, StatsQuestion } from '../../../lib/bus/node-stats.ts';
import { newRegistry, type RunningRegistry } from '../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { newUsage, type AskNode } from '../../../services/apiserver/usage/usage.ts';
import { RegistryClient } from '../../support/registry-client.ts';

const time = '2026-01-01T00:00:10.500Z';
const container = (name: string, nanoCores: number | undefined, workingSetBytes = 2 ** 20): ContainerStats => ({
  ...{ name, id: name, attempt: 0, time },
  cpu: { usageNanos: 1, ...(nanoCores === undefined ? {} : { nanoCores, windowMs: 5_100 }) },
  memory: { usageBytes: 1, workingSetBytes },
});

describe('apiserver/usage', () => {
  let store: MemoryStore;
  let registry: RunningRegistry;
  let client: RegistryClient;
  const asked = new Map<string, StatsQuestion>();
  /** What runs, by node. */
  let running: Map<string, NodeStats['pods']>;
  const ask: AskNode = async (node, question) => {
    asked.set(node, question);
    const pods = running.get(node);
    if (pods === undefined) throw new ApiError('ServiceUnavailable', `the agent of node "${node}" did not answer`);
    const machine = {
      time,
      cpu: { usageNanos: 9, nanoCores: 1_234_567_890, windowMs: 5_000 },
      memory: { totalBytes: 9, availableBytes: 1, workingSetBytes: 2 ** 30 },
    };
    return { node, machine, pods };
  };

  beforeEach(async () => {
    asked.clear();
    running = new Map();
    store = new MemoryStore();
    registry = await newRegistry({ store });
    client = new RegistryClient(registry);
  });
  afterEach(async () => {
    await registry.close();
    await store.close();
  });

  /** A pod of the registry; what it uses is told by its node. */
  async function pod(name: string, node: string, containers: readonly ContainerStats[], labels = {}): Promise<string> {
    const spec = { containers: [{ name: 'main', image: 'i' }], nodeName: node };
    const { metadata } = await client.create('pods', { metadata: { name, namespace: 'default', labels }, spec });
    const stats = { namespace: 'default', name, uid: metadata.uid, containers };
    running.set(node, [...(running.get(node) ?? []), stats]);
    return metadata.uid;
  }

  it('puts the figures of all nodes together, and names who is silent', async () => {
    const uid = await pod('a', 'n1', [container('main', 250_000_000), container('side', 500)], { app: 'web' });
    await pod('b', 'n2', [container('main', 1)]);
    await pod('c', 'n3', []);
    running.delete('n2');
    const { items, silent } = await newUsage(registry, ask).pods({});
    assert.deepEqual(
      items.map(({ metadata, ...rest }) => [metadata.name, metadata['labels'], rest]),
      [
        [
          'a',
          { app: 'web' },
          {
            timestamp: '2026-01-01T00:00:10Z',
            window: '5.1s',
            containers: [
              { name: 'main', usage: { cpu: '250m', memory: '1Mi' } },
              { name: 'side', usage: { cpu: '500n', memory: '1Mi' } },
            ],
          },
        ],
      ],
    );
    assert.deepEqual(silent, [{ node: 'n2', message: 'the agent of node "n2" did not answer' }]);
    assert.deepEqual(asked.get('n1'), { uids: [uid] });
  });

  it('asks only the nodes that the selection is on, and for their pods only', async () => {
    await pod('a', 'n1', [container('main', 5)], { app: 'web' });
    await pod('b', 'n2', [container('main', 5)], { app: 'db' });
    const names = async (question: object): Promise<unknown> =>
      (await newUsage(registry, ask).pods(question)).items.map(({ metadata }) => metadata.name);
    assert.deepEqual(await names({ namespace: 'default', labelSelector: 'app=web' }), ['a']);
    assert.deepEqual([...asked.keys()], ['n1']);
    assert.deepEqual(await names({ namespace: 'default', name: 'b' }), ['b']);
    assert.deepEqual(await names({ namespace: 'other' }), []);
    await assert.rejects(names({ namespace: 'default', name: 'x' }), (error) => hasReason(error, 'NotFound'));
  });

  it('leaves out a pod of which one container has no rate yet: a part is not the whole', async () => {
    await pod('a', 'n1', [container('main', 5), container('side', undefined)]);
    assert.deepEqual(await newUsage(registry, ask).pods({}), { items: [], silent: [] });
  });

  it('does not take a pod of the same name for the one that is known', async () => {
    await pod('a', 'n1', [container('main', 5)]);
    running.set('n1', [{ namespace: 'default', name: 'a', uid: 'of another', containers: [container('main', 5)] }]);
    assert.deepEqual((await newUsage(registry, ask).pods({})).items, []);
  });

  it('gives the past as rates', async () => {
    const history = {
      timeMs: [1_000, 6_000, 11_000, 16_000],
      cpuNanos: [0, 2.5e9, 2.5e9, NaN],
      workingSetBytes: [1, 2, 3, 4],
    };
    await pod('a', 'n1', [{ ...container('main', 5), history }]);
    const { items } = await newUsage(registry, ask).pods({ history: true });
    assert.deepEqual(items[0]?.containers[0]?.history, [
      { timeMs: 6_000, cpuNanoCores: 5e8, memoryBytes: 2 },
      { timeMs: 11_000, cpuNanoCores: 0, memoryBytes: 3 },
    ]);
    assert.equal(asked.get('n1')?.history, true);
  });

  it('tells what nodes use', async () => {
    for (const name of ['n1', 'n2']) await client.create('nodes', { metadata: { name } });
    running.set('n1', []);
    const { items, silent } = await newUsage(registry, ask).nodes({});
    assert.deepEqual(
      items.map(({ metadata, usage, window }) => [metadata.name, usage, window]),
      [['n1', { cpu: '1234567890n', memory: '1Gi' }, '5s']],
    );
    assert.deepEqual(
      silent.map(({ node }) => node),
      ['n2'],
    );
    assert.deepEqual(asked.get('n1'), { uids: [] });
  });

  it('says so when it has no bus to ask over', async () => {
    await assert.rejects(newUsage(registry, undefined).nodes({}), /without a bus/);
  });
});
