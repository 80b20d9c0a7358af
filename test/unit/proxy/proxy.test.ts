import assert from 'node:assert/strict';
import { metrics, trace } from '@opentelemetry/api';
import { newLog } from '../../../lib/base/log.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { endpointsIndexes } from '../../../services/proxy/cuts.ts';
import { Proxy } from '../../../services/proxy/proxy.ts';
import type { TrafficRules } from '../../../services/proxy/rules.ts';
import type { TableChanges } from '../../../services/proxy/table/diff.ts';
import { emptyTable, type ProxyTable } from '../../../services/proxy/table/table.ts';
import { aService, anEndpoints } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { FakeView } from '../../support/fake-view.ts';
import { until } from '../../support/until.ts';

/** Rules that remember what they were told; a test can make the next call fail, or change what is in effect behind their back. */
class FakeRules implements TrafficRules {
  readonly name = 'fake';
  readonly calls: string[] = [];
  table: ProxyTable = emptyTable;
  failNext = false;
  drift: string[] = [];
  closed = false;

  async replaceAll(table: ProxyTable): Promise<void> {
    this.#fail();
    this.calls.push('replaceAll');
    this.drift = [];
    this.table = table;
  }
  async apply(before: ProxyTable, after: ProxyTable, _: TableChanges, dead?: ReadonlySet<string>): Promise<void> {
    this.#fail();
    assert.equal(before, this.table);
    this.calls.push('apply');
    this.dead = [...(dead ?? [])];
    this.table = after;
  }
  /** Who was said to be dead with the last change. */
  dead: readonly string[] = [];
  readonly cuts: string[] = [];
  async cut(ips: readonly string[]): Promise<void> {
    this.cuts.push(...ips);
  }
  async settled(): Promise<void> {}
  async differences(): Promise<readonly string[]> {
    return this.drift;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
  async cleanup(): Promise<void> {}

  #fail(): void {
    if (!this.failNext) return;
    this.failNext = false;
    throw new Error('refused by the test');
  }
}

describe('proxy/proxy', () => {
  let services: FakeView<Service>;
  let endpoints: FakeView<Endpoints>;
  let rules: FakeRules;
  let clock: FakeClock;
  let proxy: Proxy;
  const drift: (readonly string[])[] = [];

  beforeEach(() => {
    drift.length = 0;
    services = new FakeView();
    endpoints = new FakeView(endpointsIndexes);
    rules = new FakeRules();
    clock = new FakeClock();
    proxy = new Proxy({
      ...{ services, endpoints, rules, clock, nodeName: 'n1', checkMs: 30_000, random: () => 0.5 },
      onDrift: (differences) => drift.push(differences),
      log: newLog('proxy-test', { level: 'silent' }),
      meter: metrics.getMeter('test'),
      tracer: trace.getTracer('test'),
    });
    services.wrote(aService({ resourceVersion: '4' }));
    endpoints.wrote(anEndpoints({ ips: ['10.244.0.1'], resourceVersion: '5' }));
  });
  afterEach(() => proxy.stop());

  const backends = (): readonly string[] => rules.table.targets.get('default/web/tcp/80')?.backends ?? [];
  const calls = (count: number): Promise<unknown> =>
    until(() => rules.calls.length >= count, { what: `${count} calls, not ${rules.calls.join(' ')}` });

  it('writes everything once at the start, then only changes; many in one turn are one', async () => {
    assert.equal(proxy.notReady, 'the rules are not in effect yet');
    proxy.start();
    await calls(1);
    await until(() => proxy.notReady === undefined, { what: 'ready' });
    for (let i = 2; i < 12; i++)
      endpoints.wrote(anEndpoints({ ips: [`10.244.0.${i}`], resourceVersion: String(i + 10) }));
    await calls(2);
    assert.deepEqual(rules.calls, ['replaceAll', 'apply']);
    assert.deepEqual(backends(), ['10.244.0.11:80']);
    await until(() => proxy.programmed.endpoints === 21, { what: 'the revision is known to be in effect' });
    assert.deepEqual(proxy.programmed, { epoch: '', services: 4, endpoints: 21 });
  });

  describe('a pod that is told to be dead', () => {
    const both = ['u1', 'u2'];
    const having = (uids: readonly string[], resourceVersion: string): Endpoints => {
      const addresses = uids.map((uid) => ({ ip: `10.244.0.${uid.slice(1)}`, targetRef: { kind: 'Pod', uid } }));
      return anEndpoints({ subsets: [{ addresses, ports: [{ port: 80, protocol: 'TCP' }] }], resourceVersion });
    };
    beforeEach(async () => {
      endpoints.wrote(having(both, '30'));
      proxy.start();
      await until(() => backends().length === 2, { what: 'both serve' });
    });
    const served = (...want: readonly string[]): Promise<unknown> =>
      until(() => backends().join() === want.join(), { what: `${want.join()}, not ${backends().join()}` });

    it('gets no traffic from that moment on, and its connections end', async () => {
      proxy.cut([{ uid: 'u2', ip: '10.244.0.2' }]);
      await served('10.244.0.1:80');
      assert.deepEqual(rules.cuts, ['10.244.0.2']);
    });
    it('is told apart from those that leave otherwise, for whose last packets somebody waits', async () => {
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      assert.deepEqual(rules.dead, ['10.244.0.2:80']);
      endpoints.wrote(having([], '31'));
      await served();
      assert.deepEqual(rules.dead, []);
    });
    it('serves again once the Endpoints have dropped it and have it anew', async () => {
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      endpoints.wrote(having(['u1'], '31'));
      endpoints.wrote(having(both, '32'));
      await served('10.244.0.1:80', '10.244.0.2:80');
    });
    it('serves again once its node says that it is ready, though the Endpoints had it all the time', async () => {
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      proxy.serves(['u2', 'of-another']);
      await served('10.244.0.1:80', '10.244.0.2:80');
    });
    it('stays away while the Endpoints change otherwise', async () => {
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      endpoints.wrote(having(['u1', 'u2', 'u3'], '31'));
      await served('10.244.0.1:80', '10.244.0.3:80');
    });
    it('serves again at once though a service that wants unready pods has had it all the time', async () => {
      services.wrote(aService({ name: 'eager', clusterIP: '10.96.0.21', spec: { publishNotReadyAddresses: true } }));
      const all = having(both, '31');
      endpoints.wrote({ ...all, metadata: { ...all.metadata, name: 'eager' } });
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      const eager = (): readonly string[] => rules.table.targets.get('default/eager/tcp/80')?.backends ?? [];
      assert.deepEqual(eager(), ['10.244.0.1:80', '10.244.0.2:80']);
      endpoints.wrote(having(['u1'], '32'));
      endpoints.wrote(having(both, '33'));
      await served('10.244.0.1:80', '10.244.0.2:80');
    });
    it('serves again where the Endpoints still have it after three seconds', async () => {
      proxy.cut([{ uid: 'u2', ip: '' }]);
      await served('10.244.0.1:80');
      await clock.advance(3_100);
      await served('10.244.0.1:80', '10.244.0.2:80');
    });
    it('ends connections to one that had left before', async () => {
      endpoints.wrote(having(['u1'], '31'));
      await served('10.244.0.1:80');
      proxy.cut([{ uid: 'u2', ip: '10.244.0.2' }]);
      await until(() => rules.cuts.length === 1, { what: 'the cut' });
    });
  });

  it('tells what is in effect even where nothing had to change', async () => {
    proxy.start();
    await calls(1);
    endpoints.wrote(anEndpoints({ ips: ['10.244.0.1'], resourceVersion: '9' }));
    await until(() => proxy.programmed.endpoints === 9, { what: 'revision 9' });
    assert.deepEqual(rules.calls, ['replaceAll']);
  });

  it('writes everything anew after a failure', async () => {
    proxy.start();
    await calls(1);
    rules.failNext = true;
    endpoints.wrote(anEndpoints({ ips: ['10.244.0.2'] }));
    await until(() => proxy.notReady, { what: 'the failure' });
    await until(
      async () => {
        await clock.advance(50);
        return rules.calls.length === 2;
      },
      { what: 'another try' },
    );
    assert.deepEqual(rules.calls, ['replaceAll', 'replaceAll']);
    assert.deepEqual(backends(), ['10.244.0.2:80']);
  });

  it('finds within its interval that somebody else changed the rules, and writes them anew', async () => {
    proxy.start();
    await calls(1);
    await clock.advance(30_000);
    rules.drift = ['table is gone'];
    await until(
      async () => {
        await clock.advance(1_000);
        return rules.calls.length === 2;
      },
      { what: 'the rules are mended' },
    );
    assert.deepEqual(rules.calls, ['replaceAll', 'replaceAll']);
    assert.deepEqual(drift, [['table is gone']]);
    assert.equal(proxy.effect().drift, 1);
  });

  it('says what it has for a service, and that a change waits', async () => {
    proxy.start();
    await calls(1);
    await until(() => proxy.programmed.endpoints === 5, { what: 'in effect' });
    const ports = [{ frontends: ['10.96.0.20:80/TCP'], backends: ['10.244.0.1:80'], count: 1 }];
    const service = { serviceRevision: '4', endpointsRevision: '5', ports };
    assert.deepEqual(proxy.effect('default/web'), {
      ...{ part: 'proxy', node: 'n1', mode: 'fake', servicesRevision: 4, endpointsRevision: 5 },
      ...{ behindMs: 0, services: 1, drift: 0, service },
    });
    rules.failNext = true;
    endpoints.wrote(anEndpoints({ ips: ['10.244.0.2'], resourceVersion: '8' }));
    await until(() => proxy.notReady, { what: 'the failure' });
    await clock.advance(15);
    const stuck = proxy.effect('default/web');
    assert.deepEqual(stuck.service, service);
    assert.equal(stuck.behindMs, 15);
    assert.equal(proxy.effect('default/nothing').service, undefined);
  });

  it('leaves the rules to themselves when it stops', async () => {
    proxy.start();
    await calls(1);
    await proxy.stop();
    assert(rules.closed);
    endpoints.wrote(anEndpoints({ ips: ['10.244.0.2'] }));
    assert.deepEqual(rules.calls, ['replaceAll']);
  });
});
