import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { selectorOf } from '../../../lib/api/labels.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import type { PodMetrics } from '../../../lib/api/usage.ts';
import { MemoryBroker, MemoryBus } from '../../../lib/bus/memory-bus.ts';
import { serveTraffic, type ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import { readMetric } from '../../../services/autoscaler/sources/exposition.ts';
import { pathAnnotation, portAnnotation, scrape } from '../../../services/autoscaler/sources/pod-metrics.ts';
import { Rates } from '../../../services/autoscaler/sources/rates.ts';
import { Traffic, type TrafficMetric } from '../../../services/autoscaler/sources/traffic.ts';
import { figuresOf, requestOf } from '../../../services/autoscaler/sources/usage.ts';
import { aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('what pods say', () => {
  const text = [
    '# HELP queue_length How long it is.',
    '# TYPE queue_length gauge',
    'queue_length{queue="mail",kind="a\\"b"} 3 1700000000000',
    'queue_length{queue="print"} 4.5',
    'queue_length_max 900',
    '# TYPE jobs counter',
    'jobs 12',
    'done_total{} 1e3',
    'broken{x="1" 7',
    'odd NaN',
  ].join('\n');
  const rows: readonly [string, Readonly<Record<string, string>>, ReturnType<typeof readMetric>][] = [
    ['queue_length', {}, { value: 7.5, counter: false }],
    ['queue_length', { queue: 'mail' }, { value: 3, counter: false }],
    ['queue_length', { queue: 'none' }, undefined],
    ['queue_length_max', {}, { value: 900, counter: false }],
    ['jobs', {}, { value: 12, counter: true }],
    ['done_total', {}, { value: 1000, counter: true }],
    ['broken', {}, undefined],
    ['odd', {}, undefined],
    ['absent', {}, undefined],
  ];
  for (const [name, labels, told] of rows)
    it(`${name} ${JSON.stringify(labels)}`, () => assert.deepEqual(readMetric(text, name, selectorOf(labels)), told));
});

describe('rates', () => {
  it('are means over the window, of counters that may begin anew', () => {
    const rates = new Rates(10_000);
    assert.equal(rates.rate('a', 0), undefined);
    rates.read('a', 100, 0);
    assert.equal(rates.rate('a', 0), undefined);
    rates.read('a', 150, 5_000);
    assert.equal(rates.rate('a', 5_000), 10);
    rates.read('a', 150, 10_000);
    rates.read('a', 150, 15_000);
    assert.equal(rates.rate('a', 15_000), 0);
    rates.read('a', 20, 16_000); // its process was started again
    assert.equal(rates.rate('a', 16_000), undefined);
    rates.read('a', 40, 18_000);
    assert.equal(rates.rate('a', 18_000), 10);
    rates.forget(1_000_000);
    assert.equal(rates.size, 0);
  });

  it('tell nothing by two readings in one moment', () => {
    const rates = new Rates(10_000);
    rates.read('a', 1, 0);
    rates.read('a', 900, 3);
    assert.equal(rates.rate('a', 3), undefined);
  });
});

describe('metrics of pods over HTTP', () => {
  const clock = new FakeClock(1_000_000);
  const podAt = (name: string, annotations: Readonly<Record<string, string>>, ip = '127.0.0.1'): Pod => {
    const pod = aPod({ name, annotations });
    return {
      ...pod,
      metadata: { ...pod.metadata, uid: name },
      status: { ...pod.status, phase: 'Running', podIP: ip },
    };
  };

  it('asks where each says, bounded in time and bytes, and says why one has none', async () => {
    const server = createServer((request, response) => {
      if (request.url === '/metrics') response.end('queue 5\n');
      else if (request.url === '/long') response.end('x'.repeat(2 << 20));
      else if (request.url === '/away') response.writeHead(302, { location: '/metrics' }).end();
      // /never: no answer
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const port = String((server.address() as AddressInfo).port);
    const ask = async (name: string, annotations: Readonly<Record<string, string>>) =>
      scrape([podAt(name, annotations)], { name: 'queue' }, { clock, rates: new Rates(10_000), timeoutMs: 300 });
    try {
      const good = await scrape(
        [podAt('a', { [portAnnotation]: port })],
        { name: 'queue' },
        { clock, rates: new Rates(10_000), timeoutMs: 10_000 },
      );
      assert.deepEqual([good.figures.get('a')?.value, good.why], [5, undefined]);
      for (const [annotations, why] of [
        [{}, /does not say/],
        [{ [portAnnotation]: 'http' }, /no port/],
        [{ [portAnnotation]: port, [pathAnnotation]: 'x' }, /does not begin with/],
        [{ [portAnnotation]: port, [pathAnnotation]: '/long' }, /more than|whole answer/],
        [{ [portAnnotation]: port, [pathAnnotation]: '/never' }, /no whole answer within 300 ms/],
        [{ [portAnnotation]: port, [pathAnnotation]: '/away' }, /answers 302|whole answer/],
      ] as const) {
        const { figures, why: told } = await ask('b', annotations);
        assert.equal(figures.size, 0);
        assert.match(told ?? '', why);
      }
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('takes counters for rates', async () => {
    const rates = new Rates(10_000);
    const own = new FakeClock(1_000_000);
    let total = 0;
    const ask = () =>
      scrape(
        [podAt('a', { [portAnnotation]: '80' })],
        { name: 'done_total' },
        {
          ...{ clock: own, rates, timeoutMs: 100 },
          fetchText: async () => `done_total ${total}`,
        },
      );
    assert.match((await ask()).why ?? '', /read once/);
    total = 50;
    await own.advance(5_000);
    assert.equal((await ask()).figures.get('a')?.value, 10);
  });
});

describe('what pods use', () => {
  const item = (uid: string): PodMetrics => ({
    metadata: { name: uid, uid },
    timestamp: '2026-01-01T00:00:00Z',
    window: '5.1s',
    containers: [
      { name: 'app', usage: { cpu: '250m', memory: '64Mi' } },
      { name: 'side', usage: { cpu: '50m', memory: '8Mi' } },
    ],
  });
  it('is the sum of its containers, or one of them', () => {
    const used = { items: [item('a')], silent: '' };
    assert.equal(figuresOf(used, 'cpu', undefined).get('a')?.value, 300);
    assert.equal(figuresOf(used, 'memory', 'side').get('a')?.value, 8 << 20);
    assert.equal(figuresOf(used, 'cpu', 'other').size, 0);
    assert.equal(figuresOf(used, 'cpu', undefined).get('a')?.windowMs, 5_100);
  });
  it('is held against what it requests, which must be said', () => {
    const pod = aPod({ name: 'p' });
    assert.match(String(requestOf(pod, 'cpu', undefined)), /missing request for cpu in container/);
    assert.match(String(requestOf(pod, 'cpu', 'none')), /container none is not in pod p/);
  });
});

describe('the traffic of Services', () => {
  const services = ['default/web'];

  /** Proxies that answer on a bus of their own, and a reader. */
  function bed(nodes: readonly string[]) {
    const clock = new FakeClock(1_000_000);
    const broker = new MemoryBroker();
    const told = new Map(nodes.map((node) => [node, { requests: 0, connections: 0, active: 0, silent: false }]));
    const stop = new AbortController();
    const running = new Map<string, AbortController>();
    const start = (node: string, instance: string): void => {
      const one = new AbortController();
      running.set(node, one);
      serveTraffic(
        new MemoryBus(broker),
        { cluster: 'c', node, instance, signal: AbortSignal.any([stop.signal, one.signal]) },
        (asked) => {
          const { silent, ...counts } = told.get(node) ?? { silent: true, requests: 0, connections: 0, active: 0 };
          return silent ? [] : [...asked].map((service): ServiceTraffic => ({ service, ...counts }));
        },
      );
    };
    for (const node of nodes) start(node, `${node}-1`);
    /** Another process, which has counted nothing yet. */
    const restart = (node: string): void => {
      running.get(node)?.abort();
      Object.assign(told.get(node) ?? {}, { requests: 0 });
      start(node, `${node}-2`);
    };
    const traffic = new Traffic({
      ...{ bus: new MemoryBus(broker), cluster: 'c', clock, timeoutMs: 500, windowMs: 10_000 },
      nodes: () => new Set(nodes),
    });
    const read = async (metric: TrafficMetric = 'requests-per-second') => {
      const reading = traffic.read(services, metric);
      for (let i = 0; i < 30; i++) await clock.advance(25);
      return (await reading).get('default/web');
    };
    return { clock, told, read, stop, restart };
  }

  it('is the sum over proxies, as a rate', async () => {
    const { clock, told, read, stop } = bed(['n1', 'n2']);
    const first = await read();
    assert.ok(first !== undefined && 'why' in first && /read once/.test(first.why));
    await clock.advance(4_250); // with what a question takes, five seconds
    for (const each of told.values()) Object.assign(each, { requests: 100, active: 2 });
    const second = await read();
    assert.ok(second !== undefined && 'value' in second);
    assert.ok(Math.abs(second.value - 40) < 4, String(second.value));
    assert.deepEqual(await read('active-connections'), { value: 4 });
    stop.abort();
  });

  it('does not take a proxy that misses one question for idle; one that stays silent is', async () => {
    const { clock, told, read, stop } = bed(['n1', 'n2']);
    await read();
    await clock.advance(4_250);
    for (const each of told.values()) Object.assign(each, { requests: 100 });
    await read();
    Object.assign(told.get('n2') ?? {}, { silent: true });
    const lost = await read();
    assert.ok(lost !== undefined && 'value' in lost && lost.value > 30, JSON.stringify(lost));
    await clock.advance(11_000);
    await read();
    await clock.advance(11_000);
    const silent = await read();
    assert.ok(silent !== undefined && 'value' in silent && silent.value < 20, JSON.stringify(silent));
    stop.abort();
  });

  it('goes on through a restart of a proxy, whose counters begin anew: neither less nor twice as much', async () => {
    const { clock, told, read, stop, restart } = bed(['n1', 'n2']);
    await read();
    for (let pass = 1; pass <= 8; pass++) {
      await clock.advance(3_250); // four seconds with the question
      for (const each of told.values()) each.requests += 40;
      if (pass === 4) restart('n1');
      const reading = await read();
      assert.ok(reading !== undefined && 'value' in reading, JSON.stringify(reading));
      assert.ok(reading.value > 15 && reading.value < 25, `pass ${pass}: ${reading.value}`);
    }
    stop.abort();
  });

  it('tells connections where the kernel carries them, and why it can tell no more', async () => {
    const { clock, told, read, stop } = bed(['n1']);
    Object.assign(told.get('n1') ?? {}, { kernel: true });
    await read('connections-per-second');
    await clock.advance(4_250);
    Object.assign(told.get('n1') ?? {}, { connections: 50 });
    const connections = await read('connections-per-second');
    assert.ok(connections !== undefined && 'value' in connections && connections.value > 8);
    for (const metric of ['requests-per-second', 'active-connections'] as const) {
      const reading = await read(metric);
      assert.ok(reading !== undefined && 'why' in reading && /counts connections alone/.test(reading.why));
    }
    stop.abort();
  });

  it('says so where nobody counts', async () => {
    const { read, stop } = bed([]);
    const reading = await read();
    assert.ok(reading !== undefined && 'why' in reading && /no proxy counts/.test(reading.why));
    stop.abort();
  });
});
