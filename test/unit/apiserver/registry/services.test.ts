import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseCidr } from '../../../../lib/api/net.ts';
import { newRegistry, type RunningRegistry } from '../../../../services/apiserver/registry/index.ts';
import { LmdbStore } from '../../../../services/apiserver/store/lmdb.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import {
  aRegistry,
  closeAll,
  objectOf,
  rejects,
  serviceDraft,
  type Seen,
  type RegistryUnderTest,
} from './a-registry.ts';

const small = { serviceCidr: parseCidr('10.0.0.0/28') ?? assert.fail(), nodePorts: { first: 30_000, last: 30_002 } };

describe('apiserver/registry services', () => {
  afterEach(closeAll);

  const create = async (
    { registry }: RegistryUnderTest,
    name: string,
    spec: object = {},
    namespace = 'default',
  ): Promise<Seen> => objectOf(await registry.create('services', namespace, serviceDraft({ name }, spec), {}));

  it('get an address of the range, each its own', async () => {
    const subject = await aRegistry(small);
    const addresses = new Set<string>();
    for (let i = 0; i < 12; i++) {
      const { spec } = await create(subject, `s${i}`);
      assert.deepEqual(spec.clusterIPs, [spec.clusterIP]);
      addresses.add(spec.clusterIP);
    }
    const all = Array.from({ length: 16 }, (_, i) => `10.0.0.${i}`);
    const kept = ['10.0.0.0', '10.0.0.1', '10.0.0.10', '10.0.0.15'];
    assert.deepEqual(
      addresses,
      new Set(all.filter((address) => !kept.includes(address)).filter((a) => addresses.has(a))),
    );
    assert.equal(addresses.size, 12);
    await rejects(create(subject, 'one-more'), 'ServiceUnavailable', /no address of 10.0.0.0\/28 is free/);
  });

  it('get different addresses when made at the same time', async () => {
    const subject = await aRegistry(small);
    const made = await Promise.all(Array.from({ length: 12 }, (_, i) => create(subject, `s${i}`)));
    assert.equal(new Set(made.map(({ spec }) => spec.clusterIP)).size, 12);
  });

  it('may ask for an address in the range that is free', async () => {
    const subject = await aRegistry(small);
    assert.equal((await create(subject, 'a', { clusterIP: '10.0.0.5' })).spec.clusterIP, '10.0.0.5');
    await rejects(
      create(subject, 'b', { clusterIP: '10.0.0.5' }),
      'Invalid',
      /provided IP is already allocated \(to default\/a\)/,
    );
    await rejects(
      create(subject, 'b', { clusterIP: '10.1.0.5' }),
      'Invalid',
      /not in the valid range. The range of valid IPs is 10.0.0.0\/28/,
    );
    await rejects(create(subject, 'b', { clusterIP: '10.0.0.15' }), 'Invalid', /not in the valid range/);
  });

  it('leave the first address to the API and the tenth to the DNS', async () => {
    const subject = await aRegistry(small);
    await rejects(
      create(subject, 'b', { clusterIP: '10.0.0.1' }),
      'Invalid',
      /kept for the Service default\/kubernetes/,
    );
    await rejects(create(subject, 'b', { clusterIP: '10.0.0.10' }), 'Invalid', /kept for the DNS/);
    assert.equal((await create(subject, 'kubernetes')).spec.clusterIP, '10.0.0.1');
    assert.equal((await create(subject, 'dns', { clusterIP: '10.0.0.10' }, 'kube-system')).spec.clusterIP, '10.0.0.10');
  });

  it('have none when headless or a mere name', async () => {
    const subject = await aRegistry(small);
    assert.equal((await create(subject, 'headless', { clusterIP: 'None' })).spec.clusterIP, 'None');
    const external = await create(subject, 'ext', { type: 'ExternalName', externalName: 'example.com', ports: [] });
    assert.equal(external.spec.clusterIP, undefined);
  });

  it('keep address and node ports when an update leaves them out; they cannot change', async () => {
    const subject = await aRegistry(small);
    const before = await create(subject, 'a', { type: 'NodePort' });
    const { registry } = subject;
    const next = objectOf(
      await registry.update(
        'services',
        'default/a',
        serviceDraft({ name: 'a' }, { type: 'NodePort', selector: { x: 'y' } }),
        {},
      ),
    );
    assert.equal(next.spec.clusterIP, before.spec.clusterIP);
    assert.equal(next.spec.ports[0].nodePort, before.spec.ports[0].nodePort);
    assert.deepEqual(next.spec.selector, { x: 'y' });
    const other = before.spec.clusterIP === '10.0.0.9' ? '10.0.0.8' : '10.0.0.9';
    await rejects(
      registry.patch('services', 'default/a', { spec: { clusterIP: other, clusterIPs: [other] } }, {}),
      'Invalid',
      /immutable/,
    );
  });

  it('give back an address when they become a mere name, and get one when they no longer are', async () => {
    const subject = await aRegistry(small);
    const { registry } = subject;
    const before = await create(subject, 'a');
    await registry.update(
      'services',
      'default/a',
      serviceDraft({ name: 'a' }, { type: 'ExternalName', externalName: 'example.com', selector: null }),
      {},
    );
    await create(subject, 'b', { clusterIP: before.spec.clusterIP });
    const back = objectOf(await registry.update('services', 'default/a', serviceDraft({ name: 'a' }), {}));
    assert.match(back.spec.clusterIP, /^10\.0\.0\./);
    assert.notEqual(back.spec.clusterIP, before.spec.clusterIP);
  });

  it('give up by themselves what only their old type had', async () => {
    const subject = await aRegistry(small);
    const { registry } = subject;
    const before = await create(subject, 'a', { type: 'NodePort' });
    const type = async (spec: object): Promise<Seen> =>
      objectOf(await registry.patch('services', 'default/a', { spec }, {}));
    const inside = await type({ type: 'ClusterIP' });
    assert.equal(inside.spec.clusterIP, before.spec.clusterIP);
    assert.equal(inside.spec.ports[0].nodePort, undefined);
    await create(subject, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: before.spec.ports[0].nodePort }] });
    const name = await type({ type: 'ExternalName', externalName: 'example.com' });
    assert.equal(name.spec.clusterIP, undefined);
    assert.match((await type({ type: 'LoadBalancer', externalName: null })).spec.clusterIP, /^10\.0\.0\./);
  });

  describe('switch their type', () => {
    const balanced = { type: 'LoadBalancer', loadBalancerIP: '192.0.2.7', loadBalancerSourceRanges: ['192.0.2.0/24'] };
    const local = { ...balanced, externalTrafficPolicy: 'Local', loadBalancerClass: 'example.com/fast' };
    const name = { type: 'ExternalName', externalName: 'db.example.com', selector: null };
    const inside = [
      ...['clusterIP', 'clusterIPs', 'internalTrafficPolicy', 'ipFamilies', 'ipFamilyPolicy'],
      ...['ports', 'selector', 'sessionAffinity', 'type'],
    ];
    const cases = [
      { from: {}, to: { type: 'NodePort' }, gets: ['externalTrafficPolicy', 'nodePort'], keeps: true },
      { from: { type: 'NodePort' }, to: { type: 'ClusterIP' }, gets: [], keeps: true },
      {
        from: { type: 'NodePort' },
        to: { type: 'LoadBalancer' },
        gets: ['externalTrafficPolicy', 'allocateLoadBalancerNodePorts', 'nodePort'],
        keeps: true,
        keepsPort: true,
      },
      { from: local, to: { type: 'ClusterIP' }, gets: [], keeps: true },
      {
        from: local,
        to: { externalTrafficPolicy: 'Cluster' },
        gets: [
          ...['allocateLoadBalancerNodePorts', 'externalTrafficPolicy', 'loadBalancerClass', 'loadBalancerIP'],
          ...['loadBalancerSourceRanges', 'nodePort'],
        ],
        keeps: true,
        keepsPort: true,
      },
      {
        from: local,
        to: { type: 'NodePort' },
        gets: ['externalTrafficPolicy', 'nodePort'],
        keeps: true,
        keepsPort: true,
      },
      { from: name, to: { type: 'ClusterIP' }, gets: [], keeps: false },
    ];
    for (const { from, to, gets, keeps, keepsPort } of cases) {
      it(`from ${JSON.stringify(from)} with ${JSON.stringify(to)}`, async () => {
        const subject = await aRegistry();
        const before = await create(subject, 'a', { selector: { app: 'web' }, ...from });
        const next = objectOf(await subject.registry.patch('services', 'default/a', { spec: to }, {}));
        const spec = next.spec as unknown as Record<string, unknown>;
        const has = [...Object.keys(spec), ...(next.spec.ports[0].nodePort === undefined ? [] : ['nodePort'])];
        const want = new Set([...inside, ...gets]);
        if (from === name) want.delete('selector');
        assert.deepEqual(has.sort(), [...want].sort());
        if (keeps) assert.equal(next.spec.clusterIP, before.spec.clusterIP);
        if (keepsPort === true) assert.equal(next.spec.ports[0].nodePort, before.spec.ports[0].nodePort);
      });
    }

    it('and what the balancer had given is told no longer', async () => {
      const subject = await aRegistry();
      await create(subject, 'a', { type: 'LoadBalancer' });
      const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } };
      await subject.registry.patch('services', 'default/a', { status }, { subresource: 'status' });
      const kept = objectOf(
        await subject.registry.patch('services', 'default/a', { spec: { selector: { b: 'c' } } }, {}),
      );
      assert.deepEqual(kept.status, { loadBalancer: { ingress: [{ ip: '192.0.2.1', ipMode: 'VIP' }] } });
      const next = objectOf(await subject.registry.patch('services', 'default/a', { spec: { type: 'ClusterIP' } }, {}));
      assert.deepEqual(next.status, { loadBalancer: {} });
    });

    it('and a balancer that asks for no node ports loses those it leaves out', async () => {
      const subject = await aRegistry(small);
      const before = await create(subject, 'a', { type: 'LoadBalancer' });
      const without = { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false };
      const next = objectOf(
        await subject.registry.update('services', 'default/a', serviceDraft({ name: 'a' }, without), {}),
      );
      assert.equal(next.spec.ports[0].nodePort, undefined);
      const ports = [{ port: 80, nodePort: before.spec.ports[0].nodePort }];
      await create(subject, 'b', { type: 'NodePort', ports });
    });
  });

  it('get a port for health checks when balancers are to find the nodes with endpoints, and give it back', async () => {
    const subject = await aRegistry(small);
    const spec = { type: 'LoadBalancer', externalTrafficPolicy: 'Local' };
    const made = await create(subject, 'a', spec);
    const { healthCheckNodePort } = made.spec as unknown as { readonly healthCheckNodePort: number };
    assert.ok(healthCheckNodePort >= 30_000 && healthCheckNodePort <= 30_002);
    assert.notEqual(healthCheckNodePort, made.spec.ports[0].nodePort);
    const kept = objectOf(
      await subject.registry.update('services', 'default/a', serviceDraft({ name: 'a' }, spec), {}),
    );
    assert.deepEqual(kept.spec, made.spec);
    const ports = [{ port: 80, nodePort: healthCheckNodePort }];
    await rejects(create(subject, 'b', { type: 'NodePort', ports }), 'Invalid', /already allocated \(to default\/a\)/);
    await rejects(
      create(subject, 'c', { ...spec, healthCheckNodePort: 80 }),
      'Invalid',
      /spec.healthCheckNodePort.*not in the valid range/,
    );
    await subject.registry.delete('services', 'default/a', {});
    await create(subject, 'b', { type: 'NodePort', ports });
  });

  it('may ask for a load balancer as it was once spelled', async () => {
    const subject = await aRegistry();
    for (const [field, type] of [
      [{ createExternalLoadBalancer: true }, 'LoadBalancer'],
      [{ CreateExternalLoadBalancer: true }, 'LoadBalancer'],
      [{ createExternalLoadBalancer: false }, 'ClusterIP'],
    ] as const) {
      for (const draft of [{ ...serviceDraft(), ...field }, serviceDraft({ name: 'web' }, field)]) {
        const made = await subject.registry.create('services', 'default', draft, {
          dryRun: true,
          fieldValidation: 'Strict',
        });
        assert.equal((objectOf(made).spec as unknown as { readonly type: string }).type, type);
        assert.match(made.warnings?.[0] ?? '', /xternalLoadBalancer is a former spelling/);
      }
    }
  });

  it('do not hand on a released address for ten minutes, unless it is asked for or nothing else is left', async () => {
    const picks: number[] = [];
    const subject = await aRegistry({ ...small, random: () => picks[0] ?? 0.3 });
    const { registry, clock } = subject;
    const { clusterIP } = (await create(subject, 'a')).spec;
    await registry.delete('services', 'default/a', {});
    assert.notEqual((await create(subject, 'b')).spec.clusterIP, clusterIP);
    assert.equal((await create(subject, 'c', { clusterIP })).spec.clusterIP, clusterIP, 'by name');
    await registry.delete('services', 'default/c', {});
    await clock.advance(9 * 60_000);
    assert.notEqual((await create(subject, 'd')).spec.clusterIP, clusterIP);
    await clock.advance(60_000);
    assert.equal((await create(subject, 'e')).spec.clusterIP, clusterIP, 'after ten minutes');
    await registry.delete('services', 'default/e', {});
    for (let i = 0; i < 9; i++) await create(subject, `f${i}`);
    assert.equal((await create(subject, 'last')).spec.clusterIP, clusterIP, 'rather than none');
  });

  it('keep their claims over a restart of the apiserver', async () => {
    const subject = await aRegistry(small);
    const { clusterIP } = (await create(subject, 'a')).spec;
    await subject.registry.close();
    const registry = await newRegistry({ store: subject.store, clock: subject.clock, ...small });
    try {
      await rejects(
        registry.create('services', 'default', serviceDraft({ name: 'b' }, { clusterIP }), {}),
        'Invalid',
        /already allocated/,
      );
    } finally {
      await registry.close();
    }
  });

  it('keep address and quarantine over restarts of apiserver and store', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'troupe-claims-'));
    const clock = new FakeClock();
    const tiny = { ...small, serviceCidr: parseCidr('10.0.0.0/29') ?? assert.fail() };
    const open = async (): Promise<{ readonly registry: RunningRegistry; close(): Promise<void> }> => {
      const store = new LmdbStore({ folder, clock });
      const registry = await newRegistry({ store, clock, ...tiny });
      return {
        registry,
        async close() {
          await registry.close();
          await store.close();
        },
      };
    };
    const made = async (registry: RunningRegistry, name: string, clusterIP?: string): Promise<string> =>
      objectOf(await registry.create('services', 'default', serviceDraft({ name }, clusterIP ? { clusterIP } : {}), {}))
        .spec.clusterIP;
    try {
      const first = await open();
      const [kept, gone] = [await made(first.registry, 'kept'), await made(first.registry, 'gone')];
      await first.registry.delete('services', 'default/gone', {});
      await first.close();

      const second = await open();
      await rejects(made(second.registry, 'thief', kept), 'Invalid', /already allocated \(to default\/kept\)/);
      const still = await second.registry.get('services', 'default/kept');
      assert.equal(objectOf({ served: still ?? assert.fail() }).spec.clusterIP, kept);
      await clock.advance(9 * 60_000 + 59_000);
      const others = [
        await made(second.registry, 'b'),
        await made(second.registry, 'c'),
        await made(second.registry, 'd'),
      ];
      assert.ok(!others.includes(gone), 'in quarantine, though made before the restart');
      await second.close();

      const third = await open();
      await clock.advance(1_000);
      assert.equal(await made(third.registry, 'e'), gone, 'the last one, ten minutes after');
      await third.close();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it('claim nothing when they are refused, or only tried', async () => {
    const subject = await aRegistry(small);
    const { registry, store } = subject;
    await create(subject, 'a', { clusterIP: '10.0.0.5' });
    const revision = await store.revision();
    await rejects(create(subject, 'a', { clusterIP: '10.0.0.6' }), 'AlreadyExists');
    await registry.create('services', 'default', serviceDraft({ name: 'b' }), { dryRun: true });
    assert.equal(await store.revision(), revision);
    assert.equal((await store.list('claims/')).entries.length, 1);
  });

  describe('node ports', () => {
    it('are given from the range, by port, and released', async () => {
      const subject = await aRegistry(small);
      const ports = [
        { name: 'a', port: 80 },
        { name: 'b', port: 81 },
      ];
      const { spec } = await create(subject, 'a', { type: 'NodePort', ports });
      const given = spec.ports.map((port) => port.nodePort);
      assert.equal(new Set(given).size, 2);
      assert.ok(given.every((port: number) => port >= 30_000 && port <= 30_002));
      await rejects(
        create(subject, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: given[0] }] }),
        'Invalid',
        /provided port is already allocated \(to default\/a\)/,
      );
      await rejects(
        create(subject, 'b', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] }),
        'Invalid',
        /The range of valid ports is 30000-30002/,
      );
      await create(subject, 'b', { type: 'NodePort' });
      await rejects(create(subject, 'c', { type: 'NodePort' }), 'ServiceUnavailable', /no node port of 30000-30002/);
      await subject.registry.delete('services', 'default/a', {});
      await create(subject, 'c', { type: 'NodePort', ports: [{ port: 80, nodePort: given[0] }] });
    });

    it('may be one number for two protocols of a Service', async () => {
      const subject = await aRegistry(small);
      const ports = [
        { name: 'u', port: 53, protocol: 'UDP', nodePort: 30_000 },
        { name: 't', port: 53, protocol: 'TCP', nodePort: 30_000 },
      ];
      await create(subject, 'dns', { type: 'NodePort', ports });
    });
  });

  it('take their Endpoints with them', async () => {
    const subject = await aRegistry(small);
    const { registry } = subject;
    await create(subject, 'a');
    const subsets = [{ addresses: [{ ip: '10.244.0.2' }], ports: [{ port: 80 }] }];
    await registry.create('endpoints', 'default', { metadata: { name: 'a' }, subsets }, {});
    const { served } = await registry.delete('services', 'default/a', {});
    assert.equal(await registry.get('endpoints', 'default/a'), undefined);
    assert.equal(await registry.position('endpoints'), served.revision, 'in the same commit');
  });
});
