import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Endpoints } from '../../../lib/api/objects.ts';
import { newEndpointsController, podIndexes } from '../../../services/endpoints-controller/controller.ts';
import { wakeOnChanges } from '../../../services/endpoints-controller/wake.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNamespace, anEndpoints, aPod, aService } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

describe('endpoints-controller on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    const [services, endpoints] = [api.view('services'), api.view('endpoints')];
    const pods = api.view('pods', { indexes: podIndexes });
    const views = { services, endpoints, pods, namespaces: api.view('namespaces') };
    api.run({
      controller: newEndpointsController({ ...views, client: api.client }),
      keys: () => [...services.list(), ...endpoints.list()].map(keyOf),
      wake: (queue) => void wakeOnChanges(queue, views),
    });
  });
  afterEach(() => api.stop());

  const endpoints = (name = 'web'): Promise<Endpoints | undefined> => api.client.get('endpoints', `default/${name}`);
  const ready = async (): Promise<string[]> =>
    ((await endpoints())?.subsets ?? []).flatMap(({ addresses = [] }) => addresses.map(({ ip }) => ip));
  const addPod = async (name: string, ip: string, isReady = true): Promise<void> => {
    const pod = aPod({ name, ip, labels: { app: 'web' }, ready: isReady });
    const stored = await api.put('pods', pod);
    await api.client.updateStatus('pods', { ...stored, status: pod.status });
  };
  const service = aService({ clusterIP: '', spec: { clusterIPs: [] } });

  it('follows the pods of a Service', async () => {
    await api.put('services', service);
    await addPod('a', '10.244.0.2');
    await addPod('b', '10.244.0.3', false);
    await until(async () => (await ready()).join() === '10.244.0.2', { what: 'one address' });
    const b = await api.client.get('pods', 'default/b');
    assert.ok(b);
    await api.client.updateStatus('pods', { ...b, status: aPod({ name: 'b', ip: '10.244.0.3' }).status });
    await until(async () => (await ready()).join() === '10.244.0.2,10.244.0.3', { what: 'two addresses' });
    await api.client.patch('pods', 'default/a', { metadata: { labels: { app: null } } });
    await until(async () => (await ready()).join() === '10.244.0.3', { what: 'the quarantined pod gone' });
    await api.client.delete('pods', 'default/b', { gracePeriodSeconds: 0 });
    await until(async () => (await ready()).length === 0, { what: 'none' });
  });

  it('tells who may connect, as labels of pods and namespaces change', async () => {
    const clients = async (): Promise<string | undefined> => {
      const { access } = (await endpoints()) ?? {};
      return access && (access.clients ?? []).join();
    };
    const shows = (want: string | undefined): Promise<unknown> =>
      until(async () => (await clients()) === want, { what: `clients ${want}` });
    const allowedClients = [
      { podSelector: { matchLabels: { app: 'shop' } } },
      { namespaceSelector: { matchLabels: { team: 'ops' } } },
    ];
    await api.put('services', { ...service, spec: { ...service.spec, allowedClients } });
    await shows('');
    await addPod('a', '10.244.0.2');
    await api.client.patch('pods', 'default/a', { metadata: { labels: { app: 'shop' } } });
    await shows('10.244.0.2');
    await api.put('namespaces', aNamespace({ name: 'tools' }));
    const tool = aPod({ name: 't', namespace: 'tools', ip: '10.244.0.7' });
    await api.client.updateStatus('pods', { ...(await api.put('pods', tool)), status: tool.status });
    await api.client.patch('namespaces', 'tools', { metadata: { labels: { team: 'ops' } } });
    await shows('10.244.0.2,10.244.0.7');
    await api.client.delete('pods', 'default/a', { gracePeriodSeconds: 0 });
    await shows('10.244.0.7');
    await api.client.patch('services', 'default/web', { spec: { allowedClients: null } });
    await shows(undefined);
  });

  it('puts right what others changed', async () => {
    await api.put('services', service);
    await addPod('a', '10.244.0.2');
    await until(async () => (await ready()).length === 1, { what: 'one address' });
    await api.client.patch('endpoints', 'default/web', { subsets: [] });
    await until(async () => (await ready()).length === 1, { what: 'one address again' });
  });

  it('leaves a Service without selector alone, and its Endpoints', async () => {
    await api.put('endpoints', anEndpoints({ name: 'external', ips: ['192.0.2.7'] }));
    await api.put('services', aService({ name: 'external', selector: null, clusterIP: '', spec: { clusterIPs: [] } }));
    await api.put('services', service);
    await until(async () => (await endpoints()) !== undefined, { what: 'the other Endpoints' });
    assert.equal((await endpoints('external'))?.subsets?.[0]?.addresses?.[0]?.ip, '192.0.2.7');
  });

  it('removes Endpoints of its own that were left behind', async () => {
    await api.put(
      'endpoints',
      anEndpoints({ name: 'lost', labels: { 'troupe.dev/managed-by': 'endpoints-controller' } }),
    );
    await api.put('endpoints', anEndpoints({ name: 'kept' }));
    await until(async () => (await endpoints('lost')) === undefined, { what: 'the leftover gone' });
    assert.notEqual(await endpoints('kept'), undefined);
  });
});
