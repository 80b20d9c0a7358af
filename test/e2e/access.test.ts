import assert from 'node:assert/strict';
import { dnsImage } from '../../examples/dns-as-a-pod/images/dns.ts';
import { engineAt, ensureImage } from '../../examples/images/engine.ts';
import type { Client } from '../../lib/client/client.ts';
import { run, TestCluster } from '../support/cluster.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();

/** A Service that says who may reach it, with real pods on both sides. */
describe(`e2e: access by declaration${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(120_000);
  let cluster: TestCluster;
  let client: Client;
  let vip: string;
  let podIp: string;

  const addPod = async (name: string, labels: Record<string, string>, script: string): Promise<void> => {
    const container = {
      ...{ name: 'main', image: 'troupe/dns-as-a-pod:1', imagePullPolicy: 'Never' as const },
      command: ['/usr/local/bin/node', '-e', script],
    };
    await client.create('pods', {
      metadata: { name, namespace: 'default', labels },
      spec: { containers: [container], terminationGracePeriodSeconds: 0 },
    });
  };

  /** What a pod gets that connects: the greeting or the code of the error. */
  const connect = async (from: string, ip: string): Promise<{ readonly said: string }> => {
    const script = `
      const say = (said) => (console.log(JSON.stringify({ said })), process.exit(0));
      const socket = require('node:net').connect(8080, '${ip}');
      socket.setTimeout(5000, () => say('ETIMEDOUT'));
      socket.on('data', (data) => say(String(data)));
      socket.on('error', (error) => say(error.code));`;
    const command = ['exec', from, '--server', cluster.server, '--', '/usr/local/bin/node', '-e', script];
    const { code, stdout, stderr } = await run(process.execPath, ['bin/troupe.js', ...command], { NO_COLOR: '1' });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as { said: string };
  };

  before(async function () {
    if (why !== undefined) return this.skip();
    cluster = await TestCluster.start(140);
    client = cluster.client();
    await ensureImage(engineAt(cluster.dockerSocket), await dnsImage());
    await addPod('db', { app: 'db' }, `require('node:net').createServer((s) => s.end('db')).listen(8080)`);
    for (const name of ['shop', 'stranger'])
      await addPod(name, name === 'shop' ? { app: 'shop' } : {}, 'setInterval(() => {}, 1e9)');
    const service = await client.create('services', {
      metadata: { name: 'db', namespace: 'default' },
      spec: {
        ...{ type: 'ClusterIP', sessionAffinity: 'None', selector: { app: 'db' } },
        ports: [{ port: 8080, targetPort: 8080, protocol: 'TCP' }],
        allowedClients: [{ podSelector: { matchLabels: { app: 'shop' } } }],
      },
    });
    vip = service.spec.clusterIP ?? '';
    const clients = async (): Promise<boolean> => {
      const endpoints = await client.get('endpoints', 'default/db');
      return endpoints?.subsets?.[0]?.addresses?.length === 1 && endpoints.access?.clients?.length === 1;
    };
    await until(clients, { what: 'the endpoint and the client of the Service', timeoutMs: 60_000 });
    podIp = (await client.get('pods', 'default/db'))?.status.podIP ?? '';
    const running = async (): Promise<boolean> =>
      (await client.get('pods', 'default/stranger'))?.status.phase === 'Running';
    await until(running, { what: 'the stranger runs', timeoutMs: 60_000 });
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
  });

  it('lets in the pods that are named and refuses others at once, at the Service and at the pod', async () => {
    await until(async () => (await connect('shop', vip)).said === 'db', { what: 'the shop is served' });
    assert.equal((await connect('shop', podIp)).said, 'db');
    for (const ip of [vip, podIp]) {
      // A refusal: what is dropped would end in ETIMEDOUT.
      assert.equal((await connect('stranger', ip)).said, 'ECONNREFUSED');
    }
  });

  it('lets a pod in within moments of its label, keeps it out again without, and tells who is admitted', async () => {
    const label = (app: string | null): Promise<unknown> =>
      client.patch('pods', 'default/stranger', { metadata: { labels: { app } } });
    await label('shop');
    await until(async () => (await connect('stranger', vip)).said === 'db', { what: 'the stranger is let in' });
    const shown = await cluster.troupe('describe', 'service', 'db');
    const address = (await client.get('pods', 'default/stranger'))?.status.podIP ?? '';
    assert.match(shown.stdout, new RegExp(`Admitted now[^]*${address.replaceAll('.', '\\.')}`));
    assert.match(shown.stdout, /Allowed clients: +pods app=shop/);
    await label(null);
    await until(async () => (await connect('stranger', podIp)).said === 'ECONNREFUSED', { what: 'it is kept out' });
    assert.equal((await connect('stranger', vip)).said, 'ECONNREFUSED');
  });
});
