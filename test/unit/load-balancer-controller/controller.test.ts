import assert from 'node:assert/strict';
import { parseCidr } from '../../../lib/api/net.ts';
import { conflict } from '../../../lib/base/errors.ts';
import { silentLog } from '../../../lib/base/log.ts';
import type { Lease, Service, ServiceSpec } from '../../../lib/api/objects.ts';
import { LoadBalancerController } from '../../../services/load-balancer-controller/controller.ts';
import { yieldToOthers } from '../../../services/load-balancer-controller/machine.ts';
import { AddressPool } from '../../../services/load-balancer-controller/pool.ts';
import { aService, anEndpoints } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeView } from '../../support/fake-view.ts';
import { MemoryBalancers } from '../../support/memory-balancers.ts';

function aController() {
  const services = new FakeView<Service>();
  const endpoints = new FakeView<ReturnType<typeof anEndpoints>>();
  const pool = new AddressPool([parseCidr('192.0.2.0/29') ?? assert.fail()], () => []);
  const [first, second] = [new MemoryBalancers(pool, 'a/first'), new MemoryBalancers(pool, 'a/second')];
  const events: string[] = [];
  const written: Service[] = [];
  let fails = false;
  const controller = new LoadBalancerController({
    ...{ services, endpoints, pool, providers: [first, second], byDefault: first },
    recorder: { event: (_about, type, reason) => void events.push(`${type} ${reason}`) },
    client: {
      updateStatus: (_resource, object) => {
        if (fails) return Promise.reject(conflict('services', 'web', 'changed'));
        written.push(object as unknown as Service);
        return Promise.resolve(object);
      },
    },
  });
  const put = (spec: Partial<ServiceSpec> = {}, status: Service['status'] = {}): void =>
    services.wrote({ ...aService({ name: 'web', spec: { type: 'LoadBalancer', ...spec } }), status });
  const sync = () => controller.sync('default/web');
  const told = (): string | undefined => services.get('default/web')?.status.loadBalancer?.ingress?.[0]?.ip;
  return {
    services,
    endpoints,
    first,
    second,
    events,
    written,
    put,
    sync,
    told,
    failing: (is: boolean) => (fails = is),
  };
}

describe('load-balancer-controller/controller', () => {
  it('gives an address, writes it once and says so', async () => {
    const { put, sync, told, events, written, first, endpoints } = aController();
    put();
    endpoints.wrote(anEndpoints({ name: 'web', ips: ['10.244.0.2'], ports: [{ port: 80, protocol: 'TCP' }] }));
    await sync();
    await sync();
    assert.equal(told(), '192.0.2.1');
    assert.deepEqual([events, written.length], [['Normal AddressGiven'], 1]);
    assert.deepEqual(first.balancers.get('default/web')?.balancer.ports[0]?.backends, ['10.244.0.2:80']);
  });

  it('leaves Services of other types and of classes that it does not know alone', async () => {
    for (const spec of [{ type: 'NodePort' }, { loadBalancerClass: 'x/unknown' }] as const) {
      const { put, sync, first, second, written } = aController();
      put(spec);
      await sync();
      assert.deepEqual([first.list(), second.list(), written], [[], [], []]);
    }
  });

  it('serves a class by its provider, and moves a Service to another one', async () => {
    const { put, sync, first, second, told } = aController();
    put({ loadBalancerClass: 'a/second' });
    await sync();
    assert.deepEqual([first.list(), second.list()], [[], ['default/web']]);
    put();
    await sync();
    assert.deepEqual([first.list(), second.list()], [['default/web'], []]);
    assert.match(told() ?? '', /^192\.0\.2\./);
  });

  it('ends the balancer of a Service that is gone, going, or of another type', async () => {
    for (const end of ['gone', 'type'] as const) {
      const { put, sync, first, services } = aController();
      put();
      await sync();
      if (end === 'gone') services.wroteDeletion(services.get('default/web') ?? assert.fail());
      else put({ type: 'ClusterIP' });
      await sync();
      assert.deepEqual(first.list(), []);
    }
  });

  it('says why it refuses, tells no address any more, and tries again later', async () => {
    const { put, sync, events, first, told } = aController();
    put();
    await sync();
    put({ loadBalancerIP: '203.0.113.1' }, { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } });
    assert.deepEqual(await sync(), { requeueAfterMs: 30_000 });
    assert.deepEqual([events.at(-1), first.list(), told()], ['Warning AddressNotInPool', [], undefined]);
    put({ allowedClients: [{ podSelector: { matchLabels: { app: 'x' } } }] });
    await sync();
    assert.equal(events.at(-1), 'Warning AccessDeclared');
  });

  it('lets a conflict go up, so that it is called again', async () => {
    const { put, sync, failing, told } = aController();
    put();
    failing(true);
    await assert.rejects(sync());
    failing(false);
    await sync();
    assert.equal(told(), '192.0.2.1');
  });
});

describe('load-balancer-controller/machine', () => {
  const lease = (holder: string, version: string): Lease =>
    ({
      ...{ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' },
      metadata: { name: 'load-balancer-controller', resourceVersion: version },
      spec: { holderIdentity: holder },
    }) as Lease;

  const cases: readonly {
    readonly it: string;
    readonly seen: readonly (Lease | undefined)[];
    readonly released: number;
  }[] = [
    {
      it: 'keeps all while it leads itself',
      seen: [lease('me', '1'), lease('me', '2'), lease('me', '3')],
      released: 0,
    },
    { it: 'keeps all while nobody can be asked', seen: [undefined, undefined, undefined], released: 0 },
    {
      it: 'keeps all while the other one may be dead',
      seen: [lease('it', '1'), lease('it', '1'), lease('it', '1')],
      released: 0,
    },
    {
      it: 'lets go when another leads and lives, once',
      seen: [lease('it', '1'), lease('it', '2'), lease('it', '3')],
      released: 1,
    },
    {
      it: 'lets go again after it led',
      seen: [lease('it', '1'), lease('it', '2'), lease('me', '3'), lease('it', '4'), lease('it', '5')],
      released: 2,
    },
  ];
  for (const { it: what, seen, released } of cases) {
    it(what, async () => {
      const clock = new FakeClock();
      const stop = new AbortController();
      let [asked, count] = [0, 0];
      const done = yieldToOthers({
        ...{ identity: 'me', everyMs: 1_000, clock, log: silentLog, signal: stop.signal },
        client: {
          get: () => {
            const next = seen[asked++];
            return next === undefined ? Promise.reject(new Error('away')) : (Promise.resolve(next) as never);
          },
        },
        release: () => {
          count++;
          return Promise.resolve();
        },
      });
      for (let i = 0; i < seen.length; i++) await clock.advance(1_000);
      stop.abort();
      await done;
      assert.deepEqual([asked, count], [seen.length, released]);
    });
  }
});
