import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { ask } from '../../../services/load-balancer-controller/haproxy/socket.ts';
import { readStatistics } from '../../../services/load-balancer-controller/haproxy/statistics.ts';
import { HaproxyHost, whyNoHaproxy } from '../../support/haproxy-host.ts';
import { until } from '../../support/until.ts';
import { aBalancer, poolOf } from './provider.contract.ts';

/** What the contract of providers does not say: how HAProxy is changed while it carries connections, and what when it dies. */
describe('load-balancer provider: Haproxy under way', function () {
  this.timeout(60_000);
  let host: HaproxyHost;
  let [a, b, c] = ['', '', ''];

  before(function () {
    const why = whyNoHaproxy();
    if (why === undefined) return;
    console.warn(`skipped: ${why}`);
    this.skip();
  });
  beforeEach(async () => {
    host = await HaproxyHost.start(poolOf());
    [a = '', b = '', c = ''] = host.backends;
    await host.provider.open();
  });
  afterEach(() => host?.stop());

  const ensure = async (key: string, backends: readonly string[], more: object = {}): Promise<string> =>
    (await host.provider.ensure(aBalancer(key, backends, more)))[0]?.ip ?? '';
  const echoes = async (socket: Socket, text: string): Promise<void> => {
    socket.write(text);
    const [said] = (await once(socket, 'data')) as [Buffer];
    assert.equal(said.toString(), text);
  };

  it('changes endpoints without a new process, and keeps connections to those that left', async () => {
    const address = await ensure('default/web', [a]);
    const pids = await host.pids();
    const { line, socket } = await host.hold(address, 8000);
    assert.equal(line, a);
    await ensure('default/web', [b, c]);
    assert.notEqual(await host.connect(address, 8000), a);
    await echoes(socket, 'still here');
    assert.deepEqual(await host.pids(), pids);
    assert.deepEqual(host.done, ['start', 'change']);
    await ensure('default/web', [a]);
    assert.equal(await host.connect(address, 8000), a, 'one that comes back is opened again');
    await echoes(socket, 'and still');
    socket.destroy();
    await ensure('default/web', [b]);
    const servers = async (): Promise<string> =>
      ask(`${host.folder}/haproxy.sock`, ['show servers state default:web:8000']);
    await until(
      async () => {
        await ensure('default/web', [b]);
        return !(await servers()).includes(a);
      },
      { what: 'what left and is idle to be deleted' },
    );
  });

  it('keeps connections, and who is bound to whom, while it reads its configuration again', async () => {
    const affinity = { affinitySeconds: 60 };
    const address = await ensure('default/web', [a, b, c], affinity);
    const { line, socket } = await host.hold(address, 8000);
    for (let i = 0; i < 3; i++) await ensure(`default/more-${i}`, [c]);
    assert.deepEqual(host.done, ['start', 'reload', 'reload', 'reload']);
    await echoes(socket, 'still here');
    for (let i = 0; i < 6; i++) assert.equal(await host.connect(address, 8000), line);
    socket.destroy();
  });

  it('loses no connection while endpoints and configuration change', async () => {
    const address = await ensure('default/web', [a, b, c]);
    let over = false;
    const failures: unknown[] = [];
    let served = 0;
    const clients = Array.from({ length: 4 }, async () => {
      while (!over) {
        try {
          const { socket } = await host.hold(address, 8000);
          await echoes(socket, 'x');
          socket.destroy();
          served++;
        } catch (error) {
          failures.push(error);
        }
      }
    });
    for (let i = 0; i < 10; i++) {
      await ensure('default/web', [[a], [b, c], [a, b, c]][i % 3] ?? []);
      if (i % 2 === 0) await ensure(`default/other-${i % 4}`, [c], { sourceRanges: [`10.0.${i}.0/24`] });
    }
    await until(() => served > 50 || failures.length > 0, { what: '50 connections are served', timeoutMs: 30_000 });
    over = true;
    await Promise.all(clients);
    assert.deepEqual(failures, []);
  });

  it('makes one change of configuration of what is asked at one time', async () => {
    await ensure('default/first', [a]);
    // Programs that put addresses on a device end when they end, and not at one time.
    for (let i = 1; i <= 6; i++) await host.addresses.add(`10.160.255.${i}`);
    await Promise.all([1, 2, 3, 4, 5].map((i) => ensure(`default/s${i}`, [a])));
    assert.ok(host.done.length <= 3, host.done.join());
  });

  for (const who of ['master', 'worker'] as const) {
    it(`is started again at once when its ${who} is killed`, async () => {
      const address = await ensure('default/web', [a, b]);
      process.kill((await host.pids())[who], 'SIGKILL');
      await until(() => host.done.length === 2, { what: 'HAProxy to be started again', timeoutMs: 30_000 });
      assert.deepEqual(host.done, ['start', 'start']);
      for (let i = 0; i < 4; i++) assert.ok([a, b].includes(await host.connect(address, 8000)));
      await ensure('default/web', [c]);
      assert.equal(await host.connect(address, 8000), c);
    });
  }

  it('goes on with the same process after the controller was killed', async () => {
    const address = await ensure('default/web', [a], { sourceRanges: ['127.0.0.0/8'] });
    const gone = await ensure('default/gone', [b]);
    const pids = await host.pids();
    const { socket } = await host.hold(address, 8000, '127.0.0.1');
    await host.reopen();
    assert.deepEqual([...host.provider.list()].sort(), ['default/gone', 'default/web']);
    assert.equal(await host.connect(gone, 8000), b, 'nothing is taken away before it is known to be gone');
    assert.equal(await ensure('default/web', [a], { sourceRanges: ['127.0.0.0/8'], held: address }), address);
    assert.deepEqual(host.done, ['start', 'reload'], 'what is so already is left alone');
    assert.deepEqual(await host.pids(), pids);
    await host.provider.remove('default/gone');
    await echoes(socket, 'still here');
    assert.deepEqual(await host.addresses.list(), [address]);
    socket.destroy();
  });

  it('leaves out a port that another program has, and says which', async () => {
    const address = await ensure('default/web', [a]);
    const squatter = createServer();
    await new Promise<void>((resolve) => squatter.listen(0, '0.0.0.0', resolve));
    const other = (squatter.address() as AddressInfo).port;
    const ports = [8000, other].map((port) => ({ port, protocol: 'TCP', backends: [b] }) as const);
    const twoPorts = aBalancer('default/web', [], { ports });
    assert.deepEqual(await host.provider.ensure(twoPorts), [
      { ip: address, ipMode: 'Proxy', ports: [{ port: other, protocol: 'TCP', error: 'PortInUse' }] },
    ]);
    assert.equal(await host.connect(address, 8000), b);
    await new Promise((resolve) => squatter.close(resolve));
    assert.deepEqual(await host.provider.ensure(twoPorts), [{ ip: address, ipMode: 'Proxy' }]);
    assert.equal(await host.connect(address, other), b);
  });

  it('counts what it carries, by Service', async () => {
    const address = await ensure('default/web', [a, b], { sourceRanges: ['127.0.0.1/32'] });
    for (let i = 0; i < 4; i++) await host.connect(address, 8000, '127.0.0.1');
    await assert.rejects(host.connect(address, 8000, '127.0.0.9'));
    const rows = readStatistics((await host.provider.statistics()) ?? '');
    const labels = { namespace: 'default', service: 'web', port: '8000' };
    const row = (kind: string) => rows.find((each) => each.kind === kind) ?? assert.fail(kind);
    assert.deepEqual(row('FRONTEND').labels, labels);
    assert.deepEqual([row('FRONTEND').connections, row('FRONTEND').refused], [5, 1]);
    assert.equal(row('BACKEND').active, 2);
    assert.deepEqual([row(a).sessions, row(b).sessions], [2, 2]);
  });
});
