import assert from 'node:assert/strict';
import type { Endpoints, Service } from '../../../../lib/api/objects.ts';
import { silentLog } from '../../../../lib/base/log.ts';
import { ensureApiService, podAddress } from '../../../../services/apiserver/identity/api-service.ts';
import { Presence, subsetsOf } from '../../../../services/apiserver/identity/presence.ts';
import { newRegistry, type RunningRegistry } from '../../../../services/apiserver/registry/index.ts';
import { aRegistry, closeAll, type RegistryUnderTest } from '../registry/a-registry.ts';

describe('apiserver/identity: where pods find the API', () => {
  let subject: RegistryUnderTest;
  let second: RunningRegistry;

  beforeEach(async () => {
    subject = await aRegistry();
    second = await newRegistry({ store: subject.store, clock: subject.clock });
  });
  afterEach(async () => {
    await second.close();
    await closeAll();
  });

  const doorsAt = (address: string) => {
    const [host = '', port = ''] = address.split(':');
    return { host, ports: { grpc: Number(port), https: Number(port) + 1 } };
  };
  const presence = (address: string, options: { readonly registry?: RunningRegistry; readonly alone?: boolean } = {}) =>
    new Presence({
      ...{ registry: options.registry ?? subject.registry, doors: doorsAt(address), alone: options.alone ?? false },
      ...{ clock: subject.clock, log: silentLog },
    });
  const read = async <T>(resource: string): Promise<T> => {
    const found = (await subject.registry.get(resource, 'default/kubernetes')) ?? assert.fail(`no ${resource}`);
    return JSON.parse(found.json.toString('utf8')) as T;
  };
  const told = async (): Promise<readonly string[]> =>
    ((await read<Endpoints>('endpoints')).subsets ?? []).flatMap(({ addresses = [], ports = [] }) =>
      addresses.map(({ ip }) => `${ip}:${ports[0]?.port}`),
    );

  it('is a Service with the first address, made once; what is added to it stays', async () => {
    const { registry } = subject;
    await ensureApiService(registry);
    const { revision } = registry.cache;
    await ensureApiService(second);
    await ensureApiService(registry);
    assert.equal(registry.cache.revision, revision);
    await registry.patch('services', 'default/kubernetes', { metadata: { labels: { mine: 'yes' } } }, {});
    await registry.patch('services', 'default/kubernetes', { spec: { ports: [{ port: 1 }] } }, {});
    await ensureApiService(registry);
    const { metadata, spec } = await read<Service>('services');
    assert.equal(spec.clusterIP, '10.96.0.1');
    assert.deepEqual(spec.ports, [
      { name: 'https', port: 443, protocol: 'TCP', targetPort: 'https' },
      { name: 'grpc', port: 7400, protocol: 'TCP', targetPort: 'grpc' },
    ]);
    assert.equal(metadata.labels?.['mine'], 'yes');
  });

  it('is the address that was told, or that of the listener', async () => {
    assert.equal(await podAddress('0.0.0.0:7443', '10.1.2.3'), '10.1.2.3');
    assert.equal(await podAddress('10.9.9.9:8443', ''), '10.9.9.9');
    assert.match(await podAddress('0.0.0.0:7443', ''), /^\d+\.\d+\.\d+\.\d+$/);
  });

  it('lists every apiserver, written only when it changes', async () => {
    const [one, two] = [presence('10.0.0.1:7443'), presence('10.0.0.2:8443', { registry: second })];
    await one.round();
    await two.round();
    assert.deepEqual(await told(), ['10.0.0.1:7443', '10.0.0.2:8443']);
    const position = await subject.registry.position('endpoints');
    for (let i = 0; i < 10; i++) {
      await subject.clock.advance(2_000);
      await one.round();
      await two.round();
    }
    assert.equal(await subject.registry.position('endpoints'), position);
  });

  it('drops one that fell silent within seconds, whatever its wall clock said, and takes it back', async () => {
    const [one, two] = [presence('10.0.0.1:7443'), presence('10.0.0.2:7443', { registry: second })];
    await one.round();
    await two.round();
    await one.round();
    await subject.clock.advance(5_900);
    await one.round();
    assert.deepEqual(await told(), ['10.0.0.1:7443', '10.0.0.2:7443']);
    await subject.clock.advance(200);
    await one.round();
    assert.deepEqual(await told(), ['10.0.0.1:7443']);
    await two.round();
    assert.deepEqual(await told(), ['10.0.0.1:7443', '10.0.0.2:7443']);
  });

  it('loses one that leaves at once, but never the last', async () => {
    const [one, two] = [presence('10.0.0.1:7443'), presence('10.0.0.2:7443', { registry: second })];
    await one.round();
    await two.round();
    await two.leave();
    assert.deepEqual(await told(), ['10.0.0.1:7443']);
    await one.leave();
    assert.deepEqual(await told(), ['10.0.0.1:7443']);
  });

  it('is the own address alone where nobody else can have the store, on whatever port the former life served', async () => {
    const stop = new AbortController();
    await presence('10.0.0.1:7001').round();
    const { ended } = await presence('10.0.0.1:7002', { alone: true }).start(stop.signal);
    assert.deepEqual(await told(), ['10.0.0.1:7002']);
    await subject.registry.patch('endpoints', 'default/kubernetes', { subsets: [] }, {});
    for (let i = 0; i < 5; i++) await subject.clock.advance(500);
    while ((await told()).length === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(await told(), ['10.0.0.1:7002'], 'and mended within seconds');
    stop.abort();
    await ended;
  });

  it('compiles one list from the same servers in any order', () => {
    const ports = (grpc: number) => [
      { name: 'grpc', port: grpc, protocol: 'TCP' },
      { name: 'https', port: grpc + 1, protocol: 'TCP' },
    ];
    const want = [
      { addresses: [{ ip: '9.0.0.2' }, { ip: '10.0.0.1' }], ports: ports(1) },
      { addresses: [{ ip: '10.0.0.1' }], ports: ports(2) },
    ];
    assert.deepEqual(subsetsOf(['10.0.0.1:2', '10.0.0.1:1', '9.0.0.2:1'].map(doorsAt)), want);
    assert.deepEqual(subsetsOf(['9.0.0.2:1', '10.0.0.1:1', '10.0.0.1:2', '9.0.0.2:1'].map(doorsAt)), want);
  });
});
