import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStream } from '../../lib/bus/streams/open.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();
describe(`node-agent on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let node: RealNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(231);
  });
  after(() => node?.stop());
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty(1);
    assert.deepEqual(node.leftovers(), { routes: '', mounts: [] });
  });

  const server = (text: string): readonly string[] => [
    'sh',
    '-c',
    `mkdir -p /tmp/w && echo '${text}' > /tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w`,
  ];
  const get = async (url: string): Promise<string> => (await fetch(url, { signal: AbortSignal.timeout(2_000) })).text();

  it('runs pods that the node and other pods reach at their own addresses, without translation (F49, F50, F51)', async () => {
    const readinessProbe = { httpGet: { path: '/', port: 'http' } };
    const ports = [{ name: 'http', containerPort: 80 }];
    for (const name of ['one', 'two']) {
      await node.createPod(name, { containers: [{ name: 'main', command: server(name), ports, readinessProbe }] });
    }
    const [one, two] = await Promise.all([node.untilReady('one'), node.untilReady('two')]);
    assert.match(one.status.podIP ?? '', /^10\.231\.1\./);
    assert.equal(await get(`http://${one.status.podIP}/`), 'one\n');
    assert.equal(await node.exec('one', 'main', `wget -q -O - http://${two.status.podIP}/`), 'two\n');
    assert.match(await node.exec('one', 'main', 'hostname'), /^one\n$/);
    // The server's side of a connection that a client holds open shows the client's own address.
    const held = `nc -l -p 81 -e true & sleep 0.2; (sleep 1 | nc ${two.status.podIP} 81) & sleep 0.2; netstat -tn`;
    await until(async () => (await node.exec('two', 'main', held)).includes(':81'), { what: 'a connection is seen' });
    const asked = node.exec('one', 'main', `(sleep 1; echo) | nc ${two.status.podIP} 80`);
    await until(async () => (await node.exec('two', 'main', 'netstat -tn')).includes(`${one.status.podIP}:`), {
      what: "the client's own address is seen",
    });
    await asked;
  });

  it('gives the containers of a pod one network, one IPC and shared volumes (F45, F46, F174)', async () => {
    await node.client.create('configmaps', {
      metadata: { name: 'theme', namespace: 'default' },
      data: { colour: 'blue' },
    });
    await node.client.create('secrets', {
      metadata: { name: 'key', namespace: 'default' },
      data: { token: Buffer.from('s3cret').toString('base64') },
    });
    const volumes = [
      { name: 'disk', emptyDir: {} },
      { name: 'memory', emptyDir: { medium: 'Memory' as const, sizeLimit: '8Mi' } },
      { name: 'theme', configMap: { name: 'theme' } },
      { name: 'key', secret: { secretName: 'key', defaultMode: 0o400 } },
      { name: 'about', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.name' } }] } },
    ];
    const volumeMounts = [
      { name: 'disk', mountPath: '/disk' },
      { name: 'memory', mountPath: '/memory' },
    ];
    await node.createPod('pair', {
      volumes,
      hostAliases: [{ ip: '192.0.2.7', hostnames: ['elsewhere'] }],
      containers: [
        { name: 'web', command: server('here'), volumeMounts },
        {
          name: 'side',
          command: ['sleep', '100000'],
          volumeMounts: [
            ...volumeMounts,
            { name: 'theme', mountPath: '/theme' },
            { name: 'key', mountPath: '/key', readOnly: true },
            { name: 'about', mountPath: '/about' },
          ],
          env: [
            { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
            { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'theme', key: 'colour' } } },
            { name: 'BOTH', value: '$(COLOUR) at $(IP), $$(IP)' },
          ],
        },
      ],
    });
    const pod = await node.untilReady('pair');
    await until(async () => (await node.exec('pair', 'side', 'wget -q -O - http://localhost/')) === 'here\n', {
      what: 'the container beside it serves',
    });
    await node.exec('pair', 'web', 'echo shared > /disk/file; echo quick > /memory/file');
    assert.equal(await node.exec('pair', 'side', 'cat /disk/file /memory/file'), 'shared\nquick\n');
    assert.match(await node.exec('pair', 'side', 'mount | grep /memory'), /tmpfs.*size=8192k/);
    assert.equal(await node.exec('pair', 'side', 'cat /theme/colour /key/token /about/labels'), 'blues3cretpair');
    assert.match(await node.exec('pair', 'side', 'ls -lL /key/token'), /^-r--------/);
    assert.equal(await node.exec('pair', 'side', 'echo "$BOTH"'), `blue at ${pod.status.podIP}, $(IP)\n`);
    assert.match(
      await node.exec('pair', 'side', 'cat /etc/resolv.conf'),
      /^nameserver 10\.96\.0\.10\nsearch default\.svc\.cluster\.local svc\.cluster\.local cluster\.local\noptions ndots:5\n$/,
    );
    assert.match(
      await node.exec('pair', 'side', 'cat /etc/hosts'),
      new RegExp(`${pod.status.podIP}\\s+pair\n192\\.0\\.2\\.7\\s+elsewhere\n`),
    );
    const ipc = 'readlink /proc/1/ns/ipc; readlink /proc/1/ns/net';
    assert.equal(await node.exec('pair', 'web', ipc), await node.exec('pair', 'side', ipc));
  });

  it('restarts a killed container within a moment, at the same address (F54)', async () => {
    await node.createPod('web', { containers: [{ name: 'main', command: server('again') }] });
    const before = await node.untilReady('web');
    const id = await node.container('web', 'main');
    await node.engine.docker.getContainer(id).kill();
    const after = await node.untilPod(
      'web',
      'runs again',
      (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1 && pod.status.containerStatuses[0].ready,
    );
    assert.equal(after.status.podIP, before.status.podIP);
    assert.equal(after.status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 137);
    await until(async () => (await get(`http://${after.status.podIP}/`)) === 'again\n', { what: 'it serves again' });
  });

  it('ends gracefully: pre-stop hook, SIGTERM, then nothing is left', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-host-'));
    try {
      await node.createPod('polite', {
        terminationGracePeriodSeconds: 10,
        volumes: [{ name: 'host', hostPath: { path: folder } }],
        containers: [
          {
            name: 'main',
            command: [
              'sh',
              '-c',
              'trap "echo term >> /host/log; exit 0" TERM; : > /host/up; while :; do sleep 0.05; done',
            ],
            volumeMounts: [{ name: 'host', mountPath: '/host' }],
            lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo hook >> /host/log'] } } },
          },
        ],
      });
      await node.untilReady('polite');
      await until(() => existsSync(join(folder, 'up')), { what: 'it listens to signals' });
      await node.client.delete('pods', 'default/polite');
      await node.untilGone('polite', 9_000);
      assert.equal(readFileSync(join(folder, 'log'), 'utf8'), 'hook\nterm\n');
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it('leaves everything running over its own restart (F-D4), and the network goes on', async () => {
    await node.createPod('web', {
      containers: [{ name: 'main', command: server('still'), readinessProbe: { tcpSocket: { port: 80 } } }],
    });
    const before = await node.untilReady('web');
    const id = await node.container('web', 'main');
    node.stopAgent();
    try {
      assert.equal(await get(`http://${before.status.podIP}/`), 'still\n');
      execFileSync('ip', ['route', 'delete', `${before.status.podIP}/32`]); // as if the agent had died half-way
    } finally {
      await node.startAgent();
    }
    await until(async () => (await get(`http://${before.status.podIP}/`)) === 'still\n', { what: 'its route is back' });
    assert.equal(await node.container('web', 'main'), id);
    assert.deepEqual((await node.untilReady('web')).status, before.status);
    await node.createPod('next', {});
    assert.notEqual((await node.untilReady('next')).status.podIP, before.status.podIP);
  });

  it('leads host ports into pods, and runs pods on the host network', async () => {
    await node.createPod('behind', {
      containers: [{ name: 'main', command: server('behind'), ports: [{ containerPort: 80, hostPort: 18231 }] }],
    });
    await node.createPod('on-host', { hostNetwork: true });
    await node.untilReady('behind');
    await until(async () => (await get(`http://${node.hostIp}:18231/`)) === 'behind\n', { what: 'it serves' });
    assert.equal(await node.exec('behind', 'main', `wget -q -O - http://${node.hostIp}:18231/`), 'behind\n');
    const onHost = await node.untilReady('on-host');
    assert.equal(onHost.status.podIP, node.hostIp);
    assert.match(await node.exec('on-host', 'main', 'ls /sys/class/net'), /eth0/);
  });

  it('tells OOM kills, messages and refusals in the words that people know', async () => {
    await node.createPod('greedy', {
      restartPolicy: 'Never',
      containers: [
        { name: 'main', command: ['sh', '-c', 'tail /dev/zero'], resources: { limits: { memory: '16Mi' } } },
      ],
    });
    await node.createPod('message', {
      restartPolicy: 'Never',
      containers: [{ name: 'main', command: ['sh', '-c', 'echo "no such table" > /dev/termination-log; exit 3'] }],
    });
    await node.createPod('nothing', {
      restartPolicy: 'Never',
      containers: [{ name: 'main', command: ['/no/such/program'] }],
    });
    await node.createPod('absent', { containers: [{ name: 'main', image: 'localhost:1/absent:1' }] });
    const last = (name: string) =>
      node
        .untilPod(name, 'failed', (pod) => pod.status.phase === 'Failed')
        .then((pod) => pod.status.containerStatuses?.[0]?.state?.terminated);
    assert.equal((await last('greedy'))?.reason, 'OOMKilled');
    const message = await last('message');
    assert.deepEqual([message?.exitCode, message?.reason, message?.message], [3, 'Error', 'no such table\n']);
    const nothing = await last('nothing');
    assert.equal(nothing?.reason, 'ContainerCannotRun');
    assert.match(nothing.message ?? '', /no such file/);
    await node.untilPod('absent', 'cannot be pulled', (pod) =>
      /^(ErrImagePull|ImagePullBackOff)$/.test(pod.status.containerStatuses?.[0]?.state?.waiting?.reason ?? ''),
    );
  });

  it('streams logs', async () => {
    await node.createPod('talker', {
      containers: [
        { name: 'main', command: ['sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.1; done; exec sleep 100000'] },
      ],
    });
    await node.untilReady('talker');
    const stop = new AbortController();
    let text = '';
    const stream = await openStream(
      { bus: node.bus, cluster: 'real', node: node.nodeName },
      { verb: 'logs', namespace: 'default', pod: 'talker', follow: true },
      stop.signal,
    );
    for await (const { channel, data } of stream) {
      if (channel === 'stdout') text += Buffer.from(data ?? '').toString();
      if (text.includes('line 3')) break;
    }
    stop.abort();
    assert.equal(text, 'line 1\nline 2\nline 3\n');
  });
});
