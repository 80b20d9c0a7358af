import assert from 'node:assert/strict';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ContainerStatus, Pod } from '../../lib/api/objects.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const image = 'troupe-test/busybox:1';
const sh = (script: string): readonly string[] => ['sh', '-c', script];
const sleeps = ['sleep', '100000'];

const why = whyNoDocker();
describe(`the health of pods on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-health-'));
  const servers: ChildProcess[] = [];
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(169);
  });
  after(async () => {
    await node?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    if (why !== undefined) return;
    for (const server of servers.splice(0)) server.kill('SIGKILL');
    await node.empty();
  });

  const main = ({ status }: Pod): ContainerStatus | undefined =>
    status.containerStatuses?.find(({ name }) => name === 'main');
  const untilMain = (name: string, what: string, check: (status: ContainerStatus) => boolean): Promise<Pod> =>
    node.untilPod(name, what, (pod) => {
      const status = main(pod);
      return status !== undefined && check(status);
    });
  const toldOf = (name: string, reason: string): readonly string[] =>
    node.told.filter((each) => each.about.name === name && each.reason === reason).map(({ message }) => message);
  /** Serves the files of /tmp/w on port 80. */
  const web = (before = ''): readonly string[] => sh(`mkdir /tmp/w; ${before} exec httpd -f -p 80 -h /tmp/w`);
  const ports = [{ name: 'http', containerPort: 80 }];

  describe('readiness', () => {
    it('is asked for at once and often until it is so: the pod is ready as soon as its container is', async () => {
      const readinessProbe = { httpGet: { path: '/ok', port: 'http' }, periodSeconds: 10 };
      await node.createPod('web', { containers: [{ name: 'main', command: web(), ports, readinessProbe }] });
      await untilMain('web', 'runs, and is not ready', ({ state, ready }) => state?.running !== undefined && !ready);
      await node.exec('web', 'main', 'mkdir -p /tmp/w; echo yes > /tmp/w/ok');
      const from = performance.now();
      await node.untilReady('web');
      const tookMs = performance.now() - from;
      assert.ok(tookMs < 8_000, `sooner than its period: ${tookMs} ms`);
      assert.deepEqual(toldOf('web', 'Unhealthy'), [], 'a program that has yet to begin is not sick');
    });

    it('takes the pod out and back in by its thresholds, and restarts nothing (F79)', async () => {
      const readinessProbe = {
        httpGet: { path: '/ok', port: 80 },
        periodSeconds: 1,
        failureThreshold: 2,
        successThreshold: 2,
      };
      await node.createPod('web', {
        containers: [{ name: 'main', command: web('echo > /tmp/w/ok;'), ports, readinessProbe }],
      });
      await node.untilReady('web');
      await node.exec('web', 'main', 'mv /tmp/w/ok /tmp/w/no');
      const out = await untilMain('web', 'is out', ({ ready }) => !ready);
      assert.equal(out.status.conditions?.find(({ type }) => type === 'Ready')?.reason, 'ContainersNotReady');
      await until(() => toldOf('web', 'Unhealthy').length >= 2, { what: 'both failures are told' });
      assert.match(
        toldOf('web', 'Unhealthy')[0] ?? '',
        /^Readiness probe failed: HTTP probe failed with statuscode: 404/,
      );
      const from = performance.now();
      await node.exec('web', 'main', 'mv /tmp/w/no /tmp/w/ok');
      assert.equal(main(await node.untilReady('web'))?.restartCount, 0);
      assert.ok(performance.now() - from > 900, 'it takes two successes');
    });

    it('of a sidecar is that of the pod', async () => {
      const readinessProbe = { exec: { command: ['test', '-e', '/tmp/ok'] }, periodSeconds: 1 };
      const sidecar = { name: 'side', image, restartPolicy: 'Always', command: sleeps, readinessProbe };
      await node.createPod('pair', { initContainers: [sidecar] });
      const pod = await untilMain('pair', 'has its container running', ({ ready }) => ready);
      const unready = pod.status.conditions?.find(({ type }) => type === 'Ready');
      assert.deepEqual([unready?.status, unready?.message], ['False', 'containers with unready status: [side]']);
      await node.exec('pair', 'side', 'touch /tmp/ok');
      await node.untilReady('pair');
      node.stopAgent();
      await node.startAgent(); // it takes the sidecar's readiness over, too
      const after = await node.client.get('pods', 'default/pair');
      assert.equal(after?.status.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
      assert.equal(after.status.initContainerStatuses?.[0]?.ready, true);
    });
  });

  describe('liveness', () => {
    it('lets a program take its time to listen, without a word', async () => {
      const livenessProbe = { httpGet: { path: '/ok', port: 80 }, periodSeconds: 1, failureThreshold: 1 };
      const command = web('echo > /tmp/w/ok; sleep 0.5;');
      await node.createPod('slow', { containers: [{ name: 'main', command, ports, livenessProbe }] });
      await until(async () => (await fetch(`http://${(await node.untilReady('slow')).status.podIP}/ok`)).ok, {
        what: 'it serves',
      });
      await new Promise((resolve) => setTimeout(resolve, 2_500)); // what must not happen can only be waited for
      const pod = await node.untilReady('slow');
      assert.deepEqual([main(pod)?.restartCount, toldOf('slow', 'Unhealthy')], [0, []]);
    });

    it('restarts that container in place within its own grace, and no other (F54, F78)', async () => {
      const livenessProbe = {
        ...{ exec: { command: ['test', '-e', '/tmp/alive'] }, periodSeconds: 1, failureThreshold: 2 },
        terminationGracePeriodSeconds: 1,
      };
      const deaf = sh('touch /tmp/alive; trap "" TERM; while :; do sleep 0.05; done');
      await node.createPod('sick', {
        terminationGracePeriodSeconds: 30,
        containers: [
          { name: 'main', command: deaf, livenessProbe },
          { name: 'other', command: sleeps },
        ],
      });
      const before = await node.untilReady('sick');
      const from = performance.now();
      await node.exec('sick', 'main', 'rm /tmp/alive');
      const after = await untilMain('sick', 'runs again', ({ restartCount, ready }) => restartCount === 1 && ready);
      const tookMs = performance.now() - from;
      assert.ok(tookMs > 1_500 && tookMs < 20_000, `${tookMs} ms`);
      assert.deepEqual([after.status.podIP, after.metadata.uid], [before.status.podIP, before.metadata.uid]);
      assert.equal(main(after)?.lastState?.terminated?.exitCode, 137);
      assert.deepEqual(after.status.containerStatuses?.[1], before.status.containerStatuses?.[1]);
      assert.deepEqual(toldOf('sick', 'Unhealthy').slice(0, 2), [
        'Liveness probe failed: exit code 1',
        'Liveness probe failed: exit code 1',
      ]);
      assert.deepEqual(toldOf('sick', 'Killing'), ['Container main failed liveness probe, will be restarted']);
      await node.client.delete('pods', 'default/sick', { gracePeriodSeconds: 0 });
    });

    it('restarts also what answers its end with exit code 0 where only failures are restarted', async () => {
      const livenessProbe = { tcpSocket: { port: 9 }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1 };
      const polite = sh('trap "exit 0" TERM; while :; do sleep 0.05; done');
      await node.createPod('polite', {
        restartPolicy: 'OnFailure',
        containers: [{ name: 'main', command: polite, livenessProbe }],
      });
      const pod = await untilMain(
        'polite',
        'was restarted',
        ({ restartCount, state }) => restartCount >= 1 && state?.running !== undefined,
      );
      assert.deepEqual([pod.status.phase, main(pod)?.lastState?.terminated?.exitCode], ['Running', 0]);
      assert.match(toldOf('polite', 'Unhealthy')[0] ?? '', /^Liveness probe failed: connect ECONNREFUSED/);
    });
  });

  describe('startup', () => {
    it('holds the liveness probe back until it has passed, and ends what never starts', async () => {
      const startupProbe = { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, failureThreshold: 15 };
      const livenessProbe = { ...startupProbe, failureThreshold: 1 };
      const slow = sh('sleep 2; touch /tmp/up; exec sleep 100000');
      await node.createPod('slow', { containers: [{ name: 'main', command: slow, startupProbe, livenessProbe }] });
      const early = await untilMain('slow', 'runs', ({ state }) => state?.running !== undefined);
      assert.deepEqual([main(early)?.started, main(early)?.ready], [false, false]);
      const pod = await node.untilReady('slow');
      assert.deepEqual([main(pod)?.started, main(pod)?.restartCount], [true, 0]);

      const never = { ...startupProbe, failureThreshold: 1, terminationGracePeriodSeconds: 1 };
      const deaf = sh('trap "" TERM; while :; do sleep 0.05; done');
      await node.createPod('never', {
        terminationGracePeriodSeconds: 30,
        containers: [{ name: 'main', command: deaf, startupProbe: never }],
      });
      await untilMain('never', 'was restarted', ({ restartCount }) => restartCount >= 1);
      assert.equal(toldOf('never', 'Killing')[0], 'Container main failed startup probe, will be restarted');
    });
  });

  describe('over the network', () => {
    /** Runs the health server in the pod's network; what it was asked is in `asked`. */
    async function serveIn(pod: string): Promise<{ readonly asked: string[]; say(line: string): void }> {
      const [key, certificate] = [join(folder, 'key.pem'), join(folder, 'certificate.pem')];
      const self = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=nobody.invalid'];
      execFileSync('openssl', [...self, '-keyout', key, '-out', certificate], { stdio: 'ignore' });
      const pid = (await node.runtime.inspect(await node.container(pod, 'main')))?.pid ?? 0;
      const program = new URL('../support/health-server.ts', import.meta.url).pathname;
      const inPod = [`--net=/proc/${pid}/ns/net`, process.execPath, '--import=tsx', program, key, certificate];
      const server = spawn('nsenter', inPod, { stdio: ['pipe', 'pipe', 'inherit'] });
      servers.push(server);
      const asked: string[] = [];
      createInterface({ input: server.stdout }).on('line', (line) => asked.push(line));
      await until(() => asked.includes('ready'), { what: 'the server in the pod listens', timeoutMs: 20_000 });
      return { asked, say: (line) => server.stdin.write(`${line}\n`) };
    }
    const probed = (readinessProbe: object): object => ({
      name: 'main',
      command: sleeps,
      readinessProbe: { periodSeconds: 1, ...readinessProbe },
    });

    it('asks gRPC health: SERVING is ready, all else is not', async () => {
      await node.createPod('grpc', { containers: [probed({ grpc: { port: 9090 }, timeoutSeconds: 2 })] });
      await untilMain('grpc', 'is not ready', ({ state, ready }) => state?.running !== undefined && !ready);
      await until(() => toldOf('grpc', 'Unhealthy').some((line) => /no gRPC server at .*:9090/.test(line)), {
        what: 'it is told that nobody answers',
        timeoutMs: 10_000,
      });
      const server = await serveIn('grpc');
      await node.untilReady('grpc');
      server.say('grpc 2');
      await untilMain('grpc', 'does not serve', ({ ready }) => !ready);
      await until(() => toldOf('grpc', 'Unhealthy').some((line) => /answers NOT_SERVING$/.test(line)), {
        what: 'it is told that it does not serve',
        timeoutMs: 10_000,
      });
    });

    it('asks HTTPS without a look at the certificate, with headers, over redirects of the same host', async () => {
      const httpHeaders = [{ name: 'X-Check', value: 'yes' }];
      const httpGet = { path: '/moved', port: 8443, scheme: 'HTTPS', httpHeaders };
      await node.createPod('https', { containers: [probed({ httpGet })] });
      await untilMain('https', 'runs', ({ state }) => state?.running !== undefined);
      const server = await serveIn('https');
      await node.untilReady('https');
      assert.deepEqual(server.asked.slice(1, 3), ['asked /moved yes', 'asked /healthz yes']);
      server.say('http 503');
      await untilMain('https', 'is not ready', ({ ready }) => !ready);
      await until(() => toldOf('https', 'Unhealthy').some((line) => line.endsWith('statuscode: 503: it is 503')), {
        what: 'it is told what was answered',
      });
      server.say('http 399');
      await node.untilReady('https');
    });

    it('counts a redirect to another host as an answer, and asks another host where that is named', async () => {
      await node.createPod('away', { containers: [probed({ httpGet: { path: '/elsewhere', port: 8080 } })] });
      await untilMain('away', 'runs', ({ state }) => state?.running !== undefined);
      await serveIn('away');
      const pod = await node.untilReady('away');
      const host = pod.status.podIP;
      await node.createPod('other', { containers: [probed({ httpGet: { path: '/healthz', port: 8080, host } })] });
      await node.createPod('tcp', { containers: [probed({ tcpSocket: { port: 9090, host } })] });
      await Promise.all([node.untilReady('other'), node.untilReady('tcp')]);
    });
  });
});
