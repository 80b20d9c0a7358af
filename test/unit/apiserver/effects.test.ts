import assert from 'node:assert/strict';
import type { EffectState } from '../../../lib/api/effects.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import { newEffects } from '../../../services/apiserver/effects/effects.ts';
import { newRegistry, type RunningRegistry } from '../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../services/apiserver/store/memory.ts';
import { RegistryClient } from '../../support/registry-client.ts';

const state = (part: string, node: string): EffectState => ({
  ...{ part, node, instance: node, mode: 'nftables', servicesRevision: 1, endpointsRevision: 2 },
  ...{ behindMs: 0, services: 3, drift: 0 },
});

describe('apiserver/effects', () => {
  let store: MemoryStore;
  let registry: RunningRegistry;
  let client: RegistryClient;
  beforeEach(async () => {
    store = new MemoryStore();
    registry = await newRegistry({ store });
    client = new RegistryClient(registry);
    for (const name of ['n1', 'n2', 'n3']) await client.create('nodes', { metadata: { name } });
  });
  afterEach(async () => {
    await registry.close();
    await store.close();
  });

  it('names the nodes whose proxy did not answer, and the revisions that all should have', async () => {
    const metadata = { name: 'web', namespace: 'default' };
    const service = await client.create('services', { metadata, spec: { ports: [{ port: 80 }] } });
    const asked: unknown[] = [];
    const effects = newEffects(registry, async (...question) => {
      asked.push(question);
      return [state('dns', 'n3'), state('proxy', 'n2'), state('proxy', 'n1')];
    });
    const reply = await effects({ service: metadata, timeoutMs: 60_000 });
    assert.deepEqual(asked, [['default/web', new Set(['n1', 'n2', 'n3']), 5_000]]);
    assert.equal(reply.serviceRevision, service.metadata.resourceVersion);
    assert.equal(reply.endpointsRevision, '');
    assert.deepEqual(
      reply.states?.map(({ part, node }) => `${part} ${node}`),
      ['proxy n1', 'proxy n2', 'dns n3'],
    );
    assert.deepEqual(reply.silent, [
      { node: 'n3', message: 'no answer of a proxy within 5000 ms; node is not ready (it never was)' },
    ]);
  });

  it('asks about all without a name', async () => {
    const effects = newEffects(registry, async (service) => {
      assert.equal(service, undefined);
      return [];
    });
    const reply = await effects({});
    assert.equal(reply.serviceRevision, undefined);
    assert.equal(reply.silent?.length, 3);
  });

  it('refuses what is not there, and to ask without a bus', async () => {
    const effects = newEffects(registry, async () => []);
    const service = { namespace: 'default', name: 'nothing' };
    await assert.rejects(effects({ service }), (error) => hasReason(error, 'NotFound'));
    await assert.rejects(newEffects(registry, undefined)({}), (error) => hasReason(error, 'ServiceUnavailable'));
  });
});
