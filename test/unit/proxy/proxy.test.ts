import assert from 'node:assert/strict';
import { metrics, trace } from '@opentelemetry/api';
import { newLog } from '../../../lib/base/log.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { Proxy } from '../../../services/proxy/proxy.ts';
import type { TrafficRules } from '../../../services/proxy/rules.ts';
import { emptyTable, type ProxyTable } from '../../../services/proxy/table.ts';
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
  async apply(before: ProxyTable, after: ProxyTable): Promise<void> {
    this.#fail();
    assert.equal(before, this.table);
    this.calls.push('apply');
    this.table = after;
  }
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

  beforeEach(() => {
    services = new FakeView();
    endpoints = new FakeView();
    rules = new FakeRules();
    clock = new FakeClock();
    proxy = new Proxy({
      ...{ services, endpoints, rules, clock, nodeName: 'n1', checkMs: 30_000, random: () => 0.5 },
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
    assert.deepEqual(proxy.programmed, { services: 4, endpoints: 21 });
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
