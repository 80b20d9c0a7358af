import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pod } from '../../lib/api/objects.ts';
import { importPerl, whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const image = 'troupe-test/busybox:1';
const sh = (script: string): readonly string[] => ['sh', '-c', script];
const sleeps = ['sleep', '100000'];

const why = whyNoDocker();
describe(`containers of a pod on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-containers-'));
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(168, {
      dns: {
        clusterDns: '10.96.0.10',
        clusterDomain: 'cluster.local',
        nodeResolvConf: 'nameserver 192.0.2.53\nsearch node.example\n',
        nodeHosts: '127.0.0.1 localhost\n192.0.2.1 the-node\n',
        nodeHostname: hostname(),
      },
    });
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty();
    assert.deepEqual(node.leftovers(), { routes: '', mounts: [] });
    rmSync(join(folder, 'log'), { force: true });
  });

  /** A folder of the machine that containers write their story into. */
  const volumes = [{ name: 'host', hostPath: { path: folder } }];
  const volumeMounts = [{ name: 'host', mountPath: '/host' }];
  const story = (): readonly string[] => readFileSync(join(folder, 'log'), 'utf8').trimEnd().split('\n');
  /** Says when it starts and when it is asked to end, and ends then. */
  const talker = (name: string): readonly string[] =>
    sh(
      `trap "echo ${name} ends >> /host/log; exit 0" TERM; echo ${name} begins >> /host/log; while :; do sleep 0.02; done`,
    );
  const over = (pod: Pod): boolean => pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed';
  const toldOf = (name: string): readonly string[] =>
    node.told.filter(({ about }) => about.name === name).map(({ reason, message }) => `${reason}: ${message}`);

  describe('in order', () => {
    const sidecar = (name: string, more: object = {}): object => ({
      ...{ name, image, restartPolicy: 'Always', command: talker(name), volumeMounts },
      ...more,
    });

    it('runs init containers one after another, starts sidecars before and ends them after the others, the last first', async () => {
      await node.createPod('ordered', {
        volumes,
        terminationGracePeriodSeconds: 10,
        initContainers: [
          { name: 'one', image, command: sh('sleep 0.2; echo one >> /host/log'), volumeMounts },
          sidecar('proxy', { startupProbe: { exec: { command: sh('grep -q "proxy begins" /host/log') } } }),
          { name: 'two', image, command: sh('echo two >> /host/log'), volumeMounts },
          sidecar('logger'),
        ],
        containers: [{ name: 'main', command: talker('main'), volumeMounts }],
      });
      const pod = await node.untilReady('ordered');
      assert.deepEqual(
        pod.status.initContainerStatuses?.map(({ name, ready, started, state }) => [
          ...[name, ready, started, Object.keys(state ?? {})[0]],
        ]),
        [
          ['one', true, false, 'terminated'],
          ['proxy', true, true, 'running'],
          ['two', true, false, 'terminated'],
          ['logger', true, true, 'running'],
        ],
      );
      await until(() => story().includes('main begins'), { what: 'all have begun' });
      assert.deepEqual(
        story().filter((line) => !line.startsWith('logger')),
        ['one', 'proxy begins', 'two', 'main begins'],
      );
      await node.client.delete('pods', 'default/ordered');
      await node.untilGone('ordered');
      assert.deepEqual(story().slice(-3), ['main ends', 'logger ends', 'proxy ends']);
    });

    it('ends the sidecars of a pod that is through, and says only then that it has succeeded', async () => {
      const phases = new Set<string>();
      await node.createPod('job', {
        volumes,
        restartPolicy: 'Never',
        initContainers: [sidecar('proxy')],
        containers: [{ name: 'main', command: sh('sleep 0.3; echo main is through >> /host/log'), volumeMounts }],
      });
      const pod = await node.untilPod('job', 'is over', (each) => {
        phases.add(each.status.phase ?? '');
        return over(each);
      });
      assert.equal(pod.status.phase, 'Succeeded');
      assert.deepEqual([...phases].at(-2), 'Running');
      assert.deepEqual(story(), ['proxy begins', 'main is through', 'proxy ends']);
      assert.equal(pod.status.initContainerStatuses?.[0]?.state?.terminated?.reason, 'Completed');
    });

    it('starts a sidecar again that ends, also where nothing else is restarted', async () => {
      await node.createPod('again', { restartPolicy: 'Never', volumes, initContainers: [sidecar('proxy')] });
      await node.untilReady('again');
      await node.engine.docker.getContainer(await node.container('again', 'proxy')).kill();
      const pod = await node.untilPod('again', 'has its sidecar back', ({ status }) => {
        const [proxy] = status.initContainerStatuses ?? [];
        return proxy?.restartCount === 1 && proxy.ready;
      });
      assert.deepEqual([pod.status.phase, pod.status.containerStatuses?.[0]?.restartCount], ['Running', 0]);
    });

    it('runs a failing init container again, or fails the pod where it may not', async () => {
      const tried = {
        name: 'first',
        image,
        command: sh('test -e /host/log || { echo tried > /host/log; exit 1; }'),
        volumeMounts,
      };
      await node.createPod('retry', { volumes, initContainers: [tried] });
      const pod = await node.untilReady('retry');
      assert.equal(pod.status.initContainerStatuses?.[0]?.restartCount, 1);
      const initContainers = [{ name: 'first', image, command: sh('exit 4') }];
      await node.createPod('fail', { restartPolicy: 'Never', initContainers });
      const failed = await node.untilPod('fail', 'is over', over);
      assert.equal(failed.status.phase, 'Failed');
      assert.equal(failed.status.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 4);
    });
  });

  describe('together', () => {
    it('share System V memory and /dev/shm in a pod, and with no other pod (F46)', async () => {
      const perl = await importPerl(node.engine.docker);
      const give = 'my $id = shmget(4711, 64, 0666|01000); shmwrite($id, "from one", 0, 64); sleep 100000';
      const take = '$id = shmget(4711, 64, 0); defined $id or exit 1; shmread($id, $x, 0, 8); print $x';
      await node.createPod('pair', {
        containers: [
          { name: 'one', image: perl, command: ['/usr/bin/perl', '-e', give] },
          { name: 'two', image: perl, command: sleeps },
        ],
      });
      await node.createPod('other', { containers: [{ name: 'two', image: perl, command: sleeps }] });
      await Promise.all([node.untilReady('pair'), node.untilReady('other')]);
      await until(async () => (await node.exec('pair', 'two', `perl -e '${take}'`)) === 'from one', {
        what: 'the second container reads what the first one wrote',
      });
      await assert.rejects(node.exec('other', 'two', `perl -e '${take}'`), /exit code 1/);
      await node.exec('pair', 'one', 'echo here > /dev/shm/note');
      assert.equal(await node.exec('pair', 'two', 'cat /dev/shm/note'), 'here\n');
      await assert.rejects(node.exec('other', 'two', 'cat /dev/shm/note'));
    });

    it("see and end each other's processes where they share them, with none left as a zombie (F47)", async () => {
      const orphan = 'sh -c "sleep 0.1 & exec sleep 0.01" & wait; exec sleep 100000';
      await node.createPod('shared', {
        shareProcessNamespace: true,
        containers: [
          { name: 'main', command: sh(orphan) },
          { name: 'side', command: sleeps },
        ],
      });
      await node.createPod('apart', {
        containers: [
          { name: 'main', command: sleeps },
          { name: 'side', command: ['sleep', '4711'] },
        ],
      });
      await Promise.all([node.untilReady('shared'), node.untilReady('apart')]);
      assert.equal(await node.exec('shared', 'side', 'cat /proc/1/comm'), 'infra\n');
      await until(
        async () => !/sleep 0\.|\bZ\b|defunct/.test(await node.exec('shared', 'side', 'ps -o pid,stat,args')),
        {
          what: 'the orphan is reaped',
        },
      );
      const pid = /(\d+) .*sleep 100000/.exec(
        await node.exec('shared', 'side', 'ps -o pid,args | grep "[s]leep 100000" | head -n 1'),
      )?.[1];
      assert.ok(pid !== undefined);
      assert.doesNotMatch(await node.exec('apart', 'main', 'ps -o args'), /4711/);
      await node.exec(
        'shared',
        'side',
        'kill $(ps -o pid,args | grep "[s]leep 100000" | head -n 1 | awk "{ print \\$1 }")',
      );
      await node.untilPod('shared', 'was restarted', ({ status }) =>
        (status.containerStatuses ?? []).some(({ restartCount }) => restartCount === 1),
      );
    });

    it('have the namespaces of the host where they ask for them', async () => {
      const spec = {
        hostNetwork: true,
        hostPID: true,
        hostIPC: true,
        hostAliases: [{ ip: '192.0.2.7', hostnames: ['away'] }],
      };
      await node.createPod('host', spec);
      const pod = await node.untilReady('host');
      assert.deepEqual([pod.status.podIP, pod.status.podIPs], [node.hostIp, [{ ip: node.hostIp }]]);
      assert.equal(await node.exec('host', 'main', 'hostname'), `${hostname()}\n`);
      assert.equal(
        await node.exec('host', 'main', 'cat /etc/hosts'),
        '127.0.0.1 localhost\n192.0.2.1 the-node\n192.0.2.7\taway\n',
      );
      assert.match(await node.exec('host', 'main', 'ps -o args'), new RegExp(`mocha|dockerd`));
      const kinds = ['net', 'ipc', 'pid'];
      const theirs = await node.exec('host', 'main', `for n in ${kinds.join(' ')}; do readlink /proc/self/ns/$n; done`);
      assert.deepEqual(
        theirs.trim().split('\n'),
        kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)),
      );
      assert.equal(
        await node.exec('host', 'main', 'cat /etc/resolv.conf'),
        'nameserver 192.0.2.53\nsearch node.example\n',
      );
    });
  });

  describe('names', () => {
    it("have the pod's name, or the one they ask for, short or whole", async () => {
      await node.createPod('plain', {});
      await node.createPod('named', {
        hostname: 'db-0',
        subdomain: 'db',
        containers: [{ name: 'main', command: sleeps }],
      });
      await node.createPod('whole', { hostname: 'db-1', subdomain: 'db', setHostnameAsFQDN: true });
      await node.createPod('long', { hostname: 'd'.repeat(50), subdomain: 'db', setHostnameAsFQDN: true });
      const [, named] = await Promise.all(['plain', 'named', 'whole'].map((name) => node.untilReady(name)));
      assert.equal(await node.exec('plain', 'main', 'hostname; cat /etc/hostname'), 'plain\nplain\n');
      assert.equal(await node.exec('named', 'main', 'hostname'), 'db-0\n');
      assert.match(
        await node.exec('named', 'main', 'cat /etc/hosts'),
        new RegExp(`${named?.status.podIP}\\tdb-0\\.db\\.default\\.svc\\.cluster\\.local db-0\n`),
      );
      assert.equal(await node.exec('whole', 'main', 'hostname'), 'db-1.db.default.svc.cluster.local\n');
      await node.untilPod('long', 'says why it does not start', ({ status }) =>
        /has \d+ characters, and a host name may have 64/.test(
          status.containerStatuses?.[0]?.state?.waiting?.message ?? '',
        ),
      );
    });

    it('find names by the policy they choose', async () => {
      const own = { nameservers: ['192.0.2.99'], searches: ['own.example'], options: [{ name: 'ndots', value: '2' }] };
      await node.createPod('cluster', {});
      await node.createPod('default', { dnsPolicy: 'Default' });
      await node.createPod('none', { dnsPolicy: 'None', dnsConfig: own });
      await node.createPod('both', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet', dnsConfig: own });
      const names = ['cluster', 'default', 'none', 'both'];
      await Promise.all(names.map((name) => node.untilReady(name)));
      const search = 'search default.svc.cluster.local svc.cluster.local cluster.local node.example';
      const want = [
        `nameserver 10.96.0.10\n${search}\noptions ndots:5\n`,
        'nameserver 192.0.2.53\nsearch node.example\n',
        'nameserver 192.0.2.99\nsearch own.example\noptions ndots:2\n',
        `nameserver 10.96.0.10\nnameserver 192.0.2.99\n${search} own.example\noptions ndots:2\n`,
      ];
      for (const [index, name] of names.entries())
        assert.equal(await node.exec(name, 'main', 'cat /etc/resolv.conf'), want[index], name);
    });
  });

  describe('life', () => {
    it('run hooks after the start and before the end: the next container waits, and the pod is not ready before', async () => {
      await node.createPod('hooked', {
        volumes,
        terminationGracePeriodSeconds: 10,
        containers: [
          {
            ...{ name: 'main', command: talker('main'), volumeMounts },
            lifecycle: {
              postStart: { exec: { command: sh('sleep 0.4; echo hook is through >> /host/log') } },
              preStop: { sleep: { seconds: 1 } },
            },
          },
          { name: 'next', command: talker('next'), volumeMounts },
        ],
      });
      await node.untilReady('hooked');
      await until(() => story().length === 3, { what: 'both have begun' });
      assert.deepEqual(story(), ['main begins', 'hook is through', 'next begins']);
      const from = performance.now();
      await node.client.delete('pods', 'default/hooked');
      await node.untilGone('hooked');
      assert.ok(performance.now() - from >= 1_000, 'the pre-stop hook sleeps');
      assert.deepEqual(story().slice(-2).toSorted(), ['main ends', 'next ends']);
    });

    it('ask by HTTP and TCP before they end, and are ended where the post-start hook fails', async () => {
      const serve = sh('mkdir /tmp/w; echo hi > /tmp/w/bye; httpd -f -p 80 -h /tmp/w -vv 2> /host/log');
      const ports = [{ name: 'http', containerPort: 80 }];
      const preStop = { httpGet: { path: '/bye', port: 'http' } };
      const readinessProbe = { tcpSocket: { port: 'http' } };
      const lifecycle = { preStop };
      await node.createPod('asked', {
        volumes,
        containers: [{ name: 'main', command: serve, ports, readinessProbe, lifecycle, volumeMounts }],
      });
      await node.untilReady('asked');
      await node.client.delete('pods', 'default/asked', { gracePeriodSeconds: 2 });
      await node.untilGone('asked');
      assert.match(story().join('\n'), /url:\/bye/);

      const own = sh(
        'trap "echo asked by USR1 >> /host/log; exit 0" USR1; echo listens >> /host/log; while :; do sleep 0.02; done',
      );
      await node.createPod('own-signal', {
        volumes,
        terminationGracePeriodSeconds: 10,
        containers: [{ name: 'main', command: own, volumeMounts, lifecycle: { stopSignal: 'SIGUSR1' } }],
      });
      await node.untilReady('own-signal');
      await until(() => story().includes('listens'), { what: 'it listens to signals' });
      await node.client.delete('pods', 'default/own-signal');
      await node.untilGone('own-signal', 9_000);
      assert.equal(story().at(-1), 'asked by USR1');

      const failing = { postStart: { exec: { command: sh('echo cannot register; exit 5') } } };
      const closed = { postStart: { tcpSocket: { port: 9 } } };
      await node.createPod('bad-hook', { containers: [{ name: 'main', command: talkless, lifecycle: failing }] });
      await node.createPod('closed', { containers: [{ name: 'main', command: talkless, lifecycle: closed }] });
      for (const name of ['bad-hook', 'closed'])
        await node.untilPod(
          name,
          'is restarted',
          ({ status }) => (status.containerStatuses?.[0]?.restartCount ?? 0) > 0,
        );
      assert.ok(
        toldOf('bad-hook').some((line) => /^FailedPostStartHook: .*cannot register/.test(line)),
        toldOf('bad-hook').join('\n'),
      );
      assert.ok(
        toldOf('closed').some((line) => /^FailedPostStartHook: .*ECONNREFUSED/.test(line)),
        toldOf('closed').join('\n'),
      );
    });
    const talkless = sh('trap "exit 0" TERM; while :; do sleep 0.02; done');

    it('start with another image in place, whatever the restart policy says', async () => {
      await node.engine.docker.getImage(image).tag({ repo: 'troupe-test/busybox', tag: '2' });
      await node.createPod('renewed', { restartPolicy: 'Never', containers: [{ name: 'main', command: talkless }] });
      const pod = await node.untilReady('renewed');
      const containers = pod.spec.containers.map((container) => ({ ...container, image: 'troupe-test/busybox:2' }));
      await node.client.update('pods', { ...pod, spec: { ...pod.spec, containers } });
      const after = await node.untilPod('renewed', 'runs the other image', ({ status }) => {
        const [main] = status.containerStatuses ?? [];
        return main?.image === 'troupe-test/busybox:2' && main.ready && main.restartCount === 1;
      });
      assert.deepEqual([after.status.podIP, after.metadata.uid], [pod.status.podIP, pod.metadata.uid]);
    });

    it('have a terminal, an input, a folder to work in, and their arguments with variables in them', async () => {
      await node.createPod('terminal', {
        containers: [
          { name: 'main', command: ['sh'], stdin: true, tty: true },
          {
            ...{ name: 'args', workingDir: '/etc', env: [{ name: 'WHO', value: 'world' }] },
            ...{ command: ['sh', '-c'], args: ["echo $(WHO) '$$(WHO)' $(pwd) > /tmp/said; exec sleep 100000"] },
          },
        ],
      });
      await node.untilReady('terminal');
      assert.match(await node.exec('terminal', 'main', 'readlink /proc/1/fd/0'), /^\/dev\/pts\/|^\/0/);
      await until(async () => (await node.exec('terminal', 'args', 'cat /tmp/said')) === 'world $(WHO) /etc\n', {
        what: 'it said what it was told',
      }).catch(async (error: unknown) =>
        assert.fail(`${String(error)}: ${await node.exec('terminal', 'args', 'cat /tmp/said')}`),
      );
    });

    it('hear of maintenance before it begins, in a file', async () => {
      const volume = {
        name: 'about',
        downwardAPI: { items: [{ path: 'notes', fieldRef: { fieldPath: 'metadata.annotations' } }] },
      };
      await node.createPod('warned', {
        volumes: [volume],
        containers: [{ name: 'main', command: sleeps, volumeMounts: [{ name: 'about', mountPath: '/about' }] }],
      });
      await node.untilReady('warned');
      const annotations = { 'troupe.dev/maintenance-at': '2030-01-01T00:00:00Z' };
      await node.client.patch('nodes', node.nodeName, { metadata: { annotations } });
      await until(
        async () => (await node.exec('warned', 'main', 'cat /about/notes')).includes('maintenance-at="2030-'),
        {
          what: 'the notice is in the file',
          timeoutMs: 15_000,
        },
      );
      const words = /NodeMaintenance: node real-168 goes into maintenance at 2030/;
      await until(() => words.test(toldOf('warned').join('\n')), { what: 'the Event' });
      await node.client.patch('nodes', node.nodeName, {
        metadata: { annotations: { 'troupe.dev/maintenance-at': null } },
      });
    });

    it('wait for a host port that another pod has', async () => {
      const ports = [{ containerPort: 80, hostPort: 18168 }];
      await node.createPod('first', { containers: [{ name: 'main', command: sleeps, ports }] });
      await node.untilReady('first');
      await node.createPod('second', { containers: [{ name: 'main', command: sleeps, ports }] });
      await node.untilPod('second', 'says what it waits for', ({ status }) =>
        /host port 18168\/TCP is taken by another pod/.test(
          status.containerStatuses?.[0]?.state?.waiting?.message ?? '',
        ),
      );
      await node.client.delete('pods', 'default/first');
      await node.untilReady('second');
    });

    it('lead a port of the node in on the one address that they name (hostIP)', async () => {
      const port = 18_132;
      const other = '198.51.100.132';
      const serve = `mkdir /www; echo here > /www/index.html; exec httpd -f -p 80 -h /www`;
      const ports = [{ containerPort: 80, hostPort: port, hostIP: node.hostIp }];
      await node.createPod('lead', { containers: [{ name: 'main', command: sh(serve), ports }] });
      await node.untilReady('lead');
      const get = async (host: string): Promise<string> =>
        (await fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(3_000) })).text();
      execFileSync('ip', ['address', 'add', `${other}/32`, 'dev', 'lo']);
      try {
        await until(async () => (await get(node.hostIp)) === 'here\n', { what: 'it answers', timeoutMs: 10_000 });
        await assert.rejects(get(other));
      } finally {
        execFileSync('ip', ['address', 'del', `${other}/32`, 'dev', 'lo']);
      }
    });
  });
});
