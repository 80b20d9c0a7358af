import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import { canMakeNetworks, makeNetwork, type Netns, type TestNetwork } from '../support/netns.ts';
import { Peer } from '../support/netns-peer.ts';
import { until } from '../support/until.ts';

const masterIp = '10.244.0.11';
const replicaIps = ['10.244.0.12', '10.244.0.13'] as const;
const dist = process.env['TROUPE_DIST'] ?? 'dist';

/** The example on real parts: a master and two replicas of Redis behind one address that splits by what commands do. */
for (const mode of ['nftables', 'userspace'] as const) {
  describe(`e2e: Redis split into writes and reads, ${mode}`, function () {
    this.timeout(120_000);
    const folder = mkdtempSync(join(tmpdir(), 'troupe-redis-'));
    const servers = new Map<string, ChildProcess>();
    let network: TestNetwork;
    let client: Netns;
    let load: Peer;
    let api: Peer;
    let vip = '';

    /** What `redis-cli` prints for one command on a connection of its own. */
    const redis = async (ip: string, ...words: readonly string[]): Promise<string> =>
      (await client.run('redis-cli', '-h', ip, ...words)).trim();
    /** The commands that a server has carried out, of one kind. */
    const calls = async (ip: string, command: string): Promise<number> =>
      Number(new RegExp(`cmdstat_${command}:calls=([0-9]+)`).exec(await redis(ip, 'info', 'commandstats'))?.[1] ?? 0);
    const part = (name: string, ...args: readonly string[]): void => {
      const level = process.env['TROUPE_TEST_LOG'] ?? 'error';
      const child = network.node.spawn(process.execPath, [resolve(dist, `${name}.js`), '--log-level', level, ...args]);
      child.stdout?.on('data', (said: Buffer) => process.env['TROUPE_TEST_LOG'] && process.stderr.write(said));
    };

    before(async function () {
      if (!canMakeNetworks()) {
        process.stderr.write('      SKIPPED: Redis split needs root on Linux\n');
        return this.skip();
      }
      assert(existsSync(join(dist, 'proxy.js')), 'run npm run build first');
      const module = join(folder, 'redis-split.mjs');
      buildSync({
        entryPoints: ['examples/redis-split/policy.ts'],
        ...{ outfile: module, bundle: true, platform: 'node', format: 'esm', logLevel: 'error' },
      });
      network = await makeNetwork(`redis-${mode.slice(0, 3)}`);
      client = await network.addPod('10.244.0.10');
      for (const ip of [masterIp, ...replicaIps]) {
        const follow = ip === masterIp ? [] : ['--replicaof', masterIp, '6379'];
        const quiet = [
          '--save',
          '',
          '--repl-diskless-sync-delay',
          '0',
          '--protected-mode',
          'no',
          '--loglevel',
          'warning',
        ];
        const pod = await network.addPod(ip);
        servers.set(ip, pod.spawn('redis-server', ['--dir', mkdtempSync(join(folder, 'data-')), ...quiet, ...follow]));
      }
      network.node.spawn('nats-server', ['-a', '127.0.0.1', '-p', '4222', '-js', '-sd', join(folder, 'nats')], {
        stderr: 'ignore',
      });
      part('apiserver', '--data', join(folder, 'apiserver'));
      part('proxy', '--node-name', 'n1', '--mode', mode, '--policy-module', module, '--telemetry', '127.0.0.1:9002');
      api = await Peer.start(network.node, new URL('../support/api-peer.ts', import.meta.url));
      load = await Peer.start(client, new URL('../support/redis-load.ts', import.meta.url));
      const ports = [{ port: 6379 }];
      await until(() => api.ask('service', { name: 'redis-master', ports }), { what: 'the API', timeoutMs: 20_000 });
      await api.ask('service', { name: 'redis-replica', ports });
      const annotations = {
        'troupe.dev/proxy-policy': 'redis-split',
        'troupe.dev/proxy-policy-options': 'wait-ms=5000', // for a master, also on a machine that does much else
      };
      vip = await api.ask<string>('service', { name: 'redis', ports, annotations });
      await api.ask('endpoints', { name: 'redis-master', ips: [masterIp], port: 6379 });
      await api.ask('endpoints', { name: 'redis-replica', ips: replicaIps, port: 6379 });
      await api.ask('endpoints', { name: 'redis', ips: [masterIp, ...replicaIps], port: 6379 });
      for (const ip of replicaIps)
        await until(async () => (await redis(ip, 'info', 'replication')).includes('master_link_status:up'), {
          ...{ what: `${ip} follows the master`, timeoutMs: 20_000 },
        });
      await until(async () => (await redis(vip, 'ping')) === 'PONG', { what: 'the split address', timeoutMs: 20_000 });
    });
    after(async () => {
      await network?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    it('sends writes to the master and reads to the replicas', async () => {
      for (let i = 0; i < 10; i++) assert.equal(await redis(vip, 'set', `key${i}`, `value${i}`), 'OK');
      await until(
        async () => (await redis(replicaIps[0], 'dbsize')) === '10' && (await redis(replicaIps[1], 'dbsize')) === '10',
        {
          what: 'the replicas have it',
        },
      );
      for (let i = 0; i < 10; i++) assert.equal(await redis(vip, 'get', `key${i}`), `value${i}`);
      assert.equal(await calls(masterIp, 'set'), 10);
      assert.equal(await calls(masterIp, 'get'), 0);
      const reads = await Promise.all(replicaIps.map((ip) => calls(ip, 'get')));
      assert.equal(
        reads.reduce((sum, each) => sum + each, 0),
        10,
      );
    });

    it('answers commands sent ahead in their order, whoever is quicker', async () => {
      const words = Array.from({ length: 300 }, (_, i) =>
        i % 3 === 0 ? ['INCR', 'count'] : i % 3 === 1 ? ['GET', 'key1'] : ['ECHO', String(i)],
      );
      const replies = await load.ask<string[]>('pipeline', { ip: vip, commands: words });
      const wanted = words.map(([name], i) =>
        name === 'INCR' ? `:${i / 3 + 1}` : name === 'GET' ? 'value1' : String(i),
      );
      assert.deepEqual(replies, wanted);
    });

    it('keeps a transaction on the master, and what a connection is on both', async () => {
      const commands = [
        ...[
          ['SELECT', '3'],
          ['SET', 'a', '1'],
          ['MULTI'],
          ['GET', 'a'],
          ['INCR', 'a'],
          ['EXEC'],
          ['SELECT', '0'],
          ['GET', 'key2'],
        ],
        ...[['HELLO', '3'], ['HGETALL', 'nothing'], ['NOSUCH'], ['SUBSCRIBE', 'news']],
      ];
      const replies = await load.ask<string[]>('pipeline', { ip: vip, commands });
      assert.deepEqual(replies.slice(0, 8), ['+OK', '+OK', '+OK', '+QUEUED', '+QUEUED', '*2,1,:2', '+OK', 'value2']);
      assert.match(replies[8] ?? '', /^%.*server,redis/);
      assert.equal(replies[9], '%'); // an empty map of RESP 3: the replica was told, too
      assert.match(replies[10] ?? '', /^-ERR unknown command/);
      assert.equal(replies[11], '>subscribe,news,:1');
    });

    it('loses no read when a replica dies, and none when it leaves', async () => {
      const running = load.ask<{ done: number; failures: string[] }>('reads', { ip: vip, clients: 8 });
      await until(async () => (await calls(replicaIps[1], 'get')) > 100, { what: 'reads reach the replica' });
      servers.get(replicaIps[1])?.kill('SIGKILL');
      await until(async () => (await calls(replicaIps[0], 'get')) > 1_000, { what: 'reads go on' });
      await api.ask('endpoints', { name: 'redis-replica', ips: [], port: 6379 });
      await until(async () => (await calls(masterIp, 'get')) > 100, {
        what: 'the master answers when no replica is left',
      });
      await api.ask('endpoints', { name: 'redis-replica', ips: [replicaIps[0]], port: 6379 });
      await load.ask('stopReads');
      const { done, failures } = await running;
      assert.deepEqual(failures, []);
      assert(done > 1_000, `${done} reads`);
    });

    it('tells what it has carried', async () => {
      const metrics = await network.node.run('curl', '-s', 'http://127.0.0.1:9002/metrics');
      for (const outcome of ['read', 'write'])
        assert.match(metrics, new RegExp(`troupe_proxy_requests_total\\{[^}]*outcome="${outcome}"\\} [1-9]`), metrics);
    });

    it('waits for a master that is made anew, and refuses writes when none comes', async () => {
      await api.ask('endpoints', { name: 'redis-master', ips: [], port: 6379 });
      const waiting = redis(vip, 'set', 'late', '1');
      await new Promise((r) => setTimeout(r, 300)); // the wait is what is tested
      await api.ask('endpoints', { name: 'redis-master', ips: [masterIp], port: 6379 });
      assert.equal(await waiting, 'OK');
      await api.ask('endpoints', { name: 'redis-master', ips: [], port: 6379 });
      await until(async () => (await redis(vip, 'set', 'never', '1')).startsWith('ERR no master can be reached'), {
        ...{ what: 'a write is refused', timeoutMs: 40_000 },
      });
      assert.equal(await redis(vip, 'get', 'key3'), 'value3');
    });
  });
}
