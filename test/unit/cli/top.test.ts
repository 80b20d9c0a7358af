import assert from 'node:assert/strict';
import type { NodeMetrics, PodMetrics } from '../../../lib/api/usage.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { podRows, sorted, sparkline } from '../../../cli/top/rows.ts';
import { newScreen } from '../../../cli/top/screen.ts';
import { aNode } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe } from './run.ts';

const podOf = (name: string, ...containers: readonly [string, string, string][]): PodMetrics => ({
  metadata: { name, namespace: 'default' },
  timestamp: '2026-01-01T00:00:00Z',
  window: '5s',
  containers: containers.map(([container, cpu, memory]) => ({ name: container, usage: { cpu, memory } })),
});
const web = podOf('web', ['main', '120m', '64Mi'], ['side', '500u', '1023Ki']);
const db = podOf('db', ['main', '2', '1Gi']);
const nodeOf = (name: string): NodeMetrics => ({
  metadata: { name },
  timestamp: '2026-01-01T00:00:00Z',
  window: '5s',
  usage: { cpu: '1', memory: '2Gi' },
});

describe('cli: top', () => {
  let client: FakeClient;
  const asked: unknown[] = [];
  beforeEach(() => {
    client = new FakeClient();
    asked.length = 0;
    client.answers.set('troupe.v1.Metrics/ListPods', (request) => {
      asked.push(request);
      return { items: [web, db] };
    });
    client.answers.set('troupe.v1.Metrics/ListNodes', () => ({
      items: [nodeOf('n1')],
      silent: [{ node: 'n2', message: 'did not answer' }],
    }));
  });

  it('shows what pods use, a line a pod', async () => {
    const { code, out } = await troupe(client, 'top pods');
    assert.equal(code, 0);
    assert.deepEqual(out.trimEnd().split('\n'), [
      'NAME   CPU(cores)   MEMORY(bytes)',
      'db     2000m        1024Mi',
      'web    121m         64Mi',
    ]);
    assert.deepEqual(asked, [{ selection: { namespace: 'default', label_selector: '' }, name: '', history: false }]);
  });

  it('shows containers, namespaces and the largest first', async () => {
    const { out } = await troupe(client, 'top pods -A --containers --sort-by memory -l app=web');
    assert.deepEqual(out.trimEnd().split('\n'), [
      'NAMESPACE   POD   NAME   CPU(cores)   MEMORY(bytes)',
      'default     db    main   2000m        1024Mi',
      'default     web   main   120m         64Mi',
      'default     web   side   1m           0Mi',
    ]);
    assert.deepEqual(asked, [{ selection: { namespace: '', label_selector: 'app=web' }, name: '', history: false }]);
  });

  it('never takes a silent node for an idle one', async () => {
    client.put('nodes', { ...aNode({ name: 'n1' }), status: { allocatable: { cpu: '4', memory: '4Gi' } } });
    const { code, out, err } = await troupe(client, 'top nodes');
    assert.equal(code, 0);
    assert.deepEqual(out.trimEnd().split('\n'), [
      'NAME   CPU(cores)   CPU(%)      MEMORY(bytes)   MEMORY(%)',
      'n1     1000m        25%         2048Mi          50%',
      'n2     <unknown>    <unknown>   <unknown>       <unknown>',
    ]);
    assert.match(err, /warning: no figures of node n2: did not answer/);
  });

  it('gives the figures as they are with -o json', async () => {
    const { out } = await troupe(client, 'top pod web -o json');
    const { apiVersion, kind, containers } = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual([apiVersion, kind, containers], ['metrics.k8s.io/v1beta1', 'PodMetrics', web.containers]);
  });

  it('says that there is nothing', async () => {
    client.answers.set('troupe.v1.Metrics/ListPods', () => ({}));
    const { code, out, err } = await troupe(client, 'top pods');
    assert.deepEqual([code, out], [0, '']);
    assert.match(err, /No figures of pods in default namespace\./);
  });

  const mistakes: readonly [line: string, what: RegExp][] = [
    ['top services', /use top pods or top nodes/],
    ['top pods --sort-by size', /use cpu or memory/],
    ['top pods web -l a=b', /a name or a selector/],
    ['top nodes --containers', /--containers is for top pods/],
    ['top pods -w -o json', /leave out -o json/],
  ];
  for (const [line, what] of mistakes) {
    it(`refuses ${line}`, async () => {
      const { code, err } = await troupe(client, line);
      assert.equal(code, 2);
      assert.match(err, what);
    });
  }

  it('watches until Ctrl-C, also while the server is away', async () => {
    let answers = 0;
    client.answers.set('troupe.v1.Metrics/ListPods', () => {
      if (answers++ === 0) throw new ApiError('ServiceUnavailable', 'the server is away');
      return { items: [db] };
    });
    const running = start(client, 'top pods --watch', { isTerminal: true });
    await until(() => running.out().includes('2000m'), { what: 'the figures', timeoutMs: 5_000 });
    running.interrupt();
    assert.equal((await running.said).code, 0);
    assert.match(running.out(), /the server is away/);
  });
});

describe('cli: rows and screen of top', () => {
  it('adds up the past of containers by their newest moments', () => {
    const sample = (cpuNanoCores: number) => ({ timeMs: 0, cpuNanoCores, memoryBytes: 1 });
    const usage = { cpu: '1m', memory: '1' };
    const pod: PodMetrics = {
      ...podOf('web'),
      containers: [
        { name: 'old', usage, history: [1e6, 2e6, 3e6].map(sample) },
        { name: 'young', usage, history: [10e6].map(sample) },
      ],
    };
    assert.deepEqual(podRows([pod], false)[0]?.past, [1, 2, 13]);
  });

  it('puts what has no figures last, and equals in the order of their names', () => {
    const row = (name: string, cpuMilli: number | undefined) => ({
      namespace: '',
      name,
      cpuMilli,
      memoryBytes: 0,
      past: [],
    });
    const rows = [row('c', undefined), row('b', 1), row('a', 1), row('d', 5)];
    assert.deepEqual(
      sorted(rows, 'cpu').map(({ name }) => name),
      ['d', 'a', 'b', 'c'],
    );
    assert.deepEqual(
      sorted(rows, 'name').map(({ name }) => name),
      ['a', 'b', 'c', 'd'],
    );
  });

  it('draws the past', () => {
    assert.equal(sparkline([0, 1, 4, 8, 9], 8, 10), '▁▂▅██');
    assert.equal(sparkline([1, 2, 3], 3, 2), '▆█');
    assert.equal(sparkline([0, 0], 0, 5), '▁▁');
  });

  it('writes over what it showed before, wrapped lines counted', () => {
    let out = '';
    const screen = newScreen({ isTerminal: true, columns: 10, write: (text) => void (out += text) });
    screen.show(['x'.repeat(25), 'b']);
    screen.show(['c']);
    assert.ok(out.endsWith('\x1b[4A\r\x1b[Kc\n\x1b[J'), JSON.stringify(out));
  });
});
