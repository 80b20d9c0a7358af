import assert from 'node:assert/strict';
import type { ContainerStatus, Pod, PodStatus } from '../../lib/api/objects.ts';
import { conditionOf } from '../../lib/api/pods.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const image = 'troupe-test/busybox:1';
const sh = (script: string): readonly string[] => ['sh', '-c', script];
const sleeps = ['sleep', '100000'];

/** Each waiting and terminated reason of API spec 3.3 as a person meets it, with the words that help. */
const why = whyNoDocker();
describe(`the reasons of pods on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(170);
  });
  after(() => node?.stop());
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty();
  });

  const main = ({ status }: Pod): ContainerStatus | undefined =>
    status.containerStatuses?.find(({ name }) => name === 'main');
  const waiting = (pod: Pod): string | undefined => main(pod)?.state?.waiting?.reason;
  const untilWaiting = async (name: string, reason: string, message: RegExp): Promise<Pod> => {
    const pod = await node.untilPod(
      name,
      `waits: ${reason}, with ${String(message)}`,
      (each) => waiting(each) === reason && message.test(main(each)?.state?.waiting?.message ?? ''),
    );
    assert.deepEqual([main(pod)?.ready, conditionOf(pod.status, 'Ready')?.reason], [false, 'ContainersNotReady']);
    return pod;
  };
  const untilMain = (name: string, what: string, check: (status: ContainerStatus) => boolean): Promise<Pod> =>
    node.untilPod(name, what, (pod) => {
      const status = main(pod);
      return status !== undefined && check(status);
    });
  const untilOver = (name: string, phase: PodStatus['phase']): Promise<Pod> =>
    node.untilPod(name, `is ${phase}`, (pod) => pod.status.phase === phase);
  const toldOf = (name: string): readonly string[] =>
    node.told.filter(({ about }) => about.name === name).map(({ reason }) => reason);

  describe('waiting', () => {
    it('ContainerCreating, with what is missing, until it is there', async () => {
      await node.createPod('volume', { volumes: [{ name: 'v', configMap: { name: 'later' } }] });
      const pod = await untilWaiting('volume', 'ContainerCreating', /configmap "later" not found/);
      assert.equal(pod.status.phase, 'Pending');
      await until(() => toldOf('volume').includes('FailedMount'), { what: 'the Event' });
      await node.client.create('configmaps', { metadata: { name: 'later', namespace: 'default' }, data: {} });
      await node.untilReady('volume');
    });

    it('PodInitializing, while an init container works', async () => {
      const initContainers = [{ name: 'first', image, command: sleeps }];
      await node.createPod('init', { initContainers });
      const pod = await node.untilPod(
        'init',
        'initializes',
        ({ status }) => status.initContainerStatuses?.[0]?.state?.running !== undefined,
      );
      assert.equal(waiting(pod), 'PodInitializing');
      assert.equal(conditionOf(pod.status, 'Initialized')?.reason, 'ContainersNotInitialized');
      assert.deepEqual([pod.status.phase, pod.status.initContainerStatuses?.[0]?.ready], ['Pending', false]);
    });

    it('ErrImagePull, then ImagePullBackOff, with the words of the registry', async () => {
      await node.createPod('pull', { containers: [{ name: 'main', image: 'localhost:1/absent:1', command: sleeps }] });
      await untilWaiting('pull', 'ErrImagePull', /Failed to pull image "localhost:1\/absent:1": .*refused/);
      await untilWaiting('pull', 'ImagePullBackOff', /localhost:1\/absent:1/);
      for (const reason of ['Pulling', 'Failed', 'BackOff']) assert.ok(toldOf('pull').includes(reason), reason);
      // Another image does not wait for the old one's turn.
      const pod = await node.client.get('pods', 'default/pull');
      assert.ok(pod !== undefined);
      const containers = pod.spec.containers.map((container) => ({ ...container, image }));
      await node.client.update('pods', { ...pod, spec: { ...pod.spec, containers } });
      await node.untilReady('pull', 8_000);
    });

    it('ErrImageNeverPull', async () => {
      const container = { name: 'main', image: 'example.com/absent:1', imagePullPolicy: 'Never' };
      await node.createPod('never', { containers: [container] });
      await untilWaiting('never', 'ErrImageNeverPull', /"example.com\/absent:1" is not on this node/);
    });

    for (const imagePullPolicy of ['Always', 'IfNotPresent'] as const) {
      it(`InvalidImageName with pull policy ${imagePullPolicy}`, async () => {
        await node.createPod('odd', { containers: [{ name: 'main', image: 'Not/Lower:1', imagePullPolicy }] });
        await untilWaiting('odd', 'InvalidImageName', /Not\/Lower:1|invalid reference format/);
      });
    }

    it('CreateContainerConfigError for a missing Secret, until it is there', async () => {
      const env = [{ name: 'KEY', valueFrom: { secretKeyRef: { name: 'key', key: 'k' } } }];
      await node.createPod('config', { containers: [{ name: 'main', command: sleeps, env }] });
      await untilWaiting('config', 'CreateContainerConfigError', /^secret "key" not found$/);
      await node.client.create('secrets', { metadata: { name: 'key', namespace: 'default' }, data: { k: 'djE=' } });
      await node.untilReady('config');
      assert.equal(await node.exec('config', 'main', 'echo $KEY'), 'v1\n');
    });

    it('CreateContainerConfigError for root where runAsNonRoot is set', async () => {
      const container = { name: 'main', command: sleeps };
      await node.createPod('root', { securityContext: { runAsNonRoot: true }, containers: [container] });
      await untilWaiting('root', 'CreateContainerConfigError', /has runAsNonRoot and image will run as root/);
      await node.createPod('user', {
        securityContext: { runAsNonRoot: true, runAsUser: 1000 },
        containers: [container],
      });
      await node.untilReady('user');
      assert.equal(await node.exec('user', 'main', 'id -u'), '1000\n');
    });

    it('CreateContainerError, with the words of the engine', async () => {
      const securityContext = { capabilities: { add: ['FLY'] } };
      await node.createPod('create', { containers: [{ name: 'main', command: sleeps, securityContext }] });
      await untilWaiting('create', 'CreateContainerError', /capability.*FLY|FLY.*capability/i);
      assert.ok(toldOf('create').includes('Failed'));
    });

    it('RunContainerError, then CrashLoopBackOff, both with the cause', async () => {
      await node.createPod('run', { containers: [{ name: 'main', command: ['/no/such/program'] }] });
      await untilWaiting('run', 'RunContainerError', /\/no\/such\/program/);
      const pod = await untilWaiting('run', 'CrashLoopBackOff', /back-off 10s restarting .*\/no\/such\/program/);
      const last = main(pod)?.lastState?.terminated;
      assert.deepEqual([last?.reason, last?.exitCode === 0], ['ContainerCannotRun', false]);
      assert.match(last?.message ?? '', /no such file/);
      assert.equal(pod.status.phase, 'Pending');
    });

    it('CrashLoopBackOff, with pauses that the pod may choose', async () => {
      const annotations = {
        'troupe.dev/restart-backoff-initial': '300ms',
        'troupe.dev/restart-backoff-max': '600ms',
      };
      const container = { name: 'main', image, command: sh('exit 3') };
      await node.client.create('pods', {
        metadata: { name: 'crash', namespace: 'default', annotations },
        spec: { nodeName: node.nodeName, containers: [container] },
      });
      const seen: string[] = [];
      const pod = await node.untilPod('crash', 'has crashed five times', (each) => {
        const { message = '' } = main(each)?.state?.waiting ?? {};
        const pause = /back-off ([\d.]+s)/.exec(message)?.[1];
        if (pause !== undefined && seen.at(-1) !== pause) seen.push(pause);
        return (main(each)?.restartCount ?? 0) >= 4;
      });
      assert.deepEqual(seen, ['0.3s', '0.6s']);
      assert.deepEqual([pod.status.phase, main(pod)?.lastState?.terminated?.exitCode], ['Running', 3]);
      assert.ok(toldOf('crash').includes('BackOff'));
    });
  });

  describe('terminated', () => {
    it('Completed, and the pod has succeeded', async () => {
      await node.createPod('done', { restartPolicy: 'Never', containers: [{ name: 'main', command: sh('exit 0') }] });
      const pod = await untilOver('done', 'Succeeded');
      const { reason, exitCode, containerID, startedAt, finishedAt } = main(pod)?.state?.terminated ?? {};
      assert.deepEqual([reason, exitCode, main(pod)?.ready, main(pod)?.started], ['Completed', 0, false, false]);
      assert.ok(containerID === main(pod)?.containerID && (startedAt ?? '') <= (finishedAt ?? ''));
      assert.equal(conditionOf(pod.status, 'Ready')?.reason, 'PodCompleted');
      assert.equal(conditionOf(pod.status, 'Initialized')?.status, 'True');
    });

    it('Error, with exit code or signal, and what it left as a message: at most 4096 bytes of its file', async () => {
      const message = { name: 'main', command: sh('printf %5000s x > /dev/termination-log; exit 7') };
      await node.createPod('failed', { restartPolicy: 'Never', containers: [message] });
      await node.createPod('killed', {
        restartPolicy: 'Never',
        containers: [{ name: 'main', command: sh('kill -9 $$; sleep 9') }],
      });
      const end = main(await untilOver('failed', 'Failed'))?.state?.terminated;
      assert.deepEqual([end?.reason, end?.exitCode, end?.message?.length], ['Error', 7, 4096]);
      const own = { name: 'main', command: sh('sleep 0.2 & wait; exec sh -c "kill -TERM 1; exit 143"') };
      await node.createPod('signalled', { restartPolicy: 'Never', containers: [own] });
      const signalled = main(await untilOver('signalled', 'Failed'))?.state?.terminated;
      assert.deepEqual([signalled?.exitCode, signalled?.signal], [143, 15]);
    });

    it('reads the message at the path that the container names', async () => {
      const own = { terminationMessagePath: '/tmp/last-words', command: sh('echo farewell > /tmp/last-words; exit 4') };
      await node.createPod('own-path', { restartPolicy: 'Never', containers: [{ name: 'main', ...own }] });
      const end = main(await untilOver('own-path', 'Failed'))?.state?.terminated;
      assert.deepEqual([end?.exitCode, end?.message], [4, 'farewell\n']);
    });

    it('falls back to the last lines of the log, of init containers too: at most 2048 bytes', async () => {
      const terminationMessagePolicy = 'FallbackToLogsOnError';
      const main_ = {
        name: 'main',
        command: sh('yes 0123456789 | head -n 1000; echo the end; exit 1'),
        terminationMessagePolicy,
      };
      await node.createPod('logs', { restartPolicy: 'Never', containers: [main_] });
      const first = { name: 'first', image, command: sh('echo cannot begin; exit 1'), terminationMessagePolicy };
      await node.createPod('init-logs', { restartPolicy: 'Never', initContainers: [first] });
      const end = main(await untilOver('logs', 'Failed'))?.state?.terminated?.message ?? '';
      assert.match(end, /0123456789\nthe end\n$/);
      assert.ok(end.length <= 2048 && end.split('\n').length <= 81, `${end.length} bytes`);
      const pod = await untilOver('init-logs', 'Failed');
      assert.equal(pod.status.initContainerStatuses?.[0]?.state?.terminated?.message, 'cannot begin\n');
      assert.equal(waiting(pod), 'PodInitializing');
    });

    it('OOMKilled, and the container beside it runs on (F61)', async () => {
      const resources = { limits: { memory: '16Mi' } };
      const containers = [
        { name: 'main', command: ['tail', '/dev/zero'], resources },
        { name: 'other', command: sleeps },
      ];
      await node.createPod('greedy', { restartPolicy: 'Never', containers });
      const pod = await untilMain('greedy', 'was ended', ({ state }) => state?.terminated !== undefined);
      const end = main(pod)?.state?.terminated;
      assert.deepEqual([end?.reason, end?.exitCode, end?.signal], ['OOMKilled', 137, 9]);
      const [, other] = pod.status.containerStatuses ?? [];
      assert.deepEqual([pod.status.phase, other?.ready, other?.restartCount], ['Running', true, 0]);
    });

    it('ContainerCannotRun, where it may not be tried again', async () => {
      const container = { name: 'main', command: ['/no/such/program'] };
      await node.createPod('cannot', { restartPolicy: 'Never', containers: [container] });
      const end = main(await untilOver('cannot', 'Failed'))?.state?.terminated;
      assert.equal(end?.reason, 'ContainerCannotRun');
      assert.match(end.message ?? '', /no such file/);
    });

    it('DeadlineExceeded, of the pod and of what ran until then', async () => {
      await node.createPod('late', { activeDeadlineSeconds: 1, containers: [{ name: 'main', command: sleeps }] });
      const pod = await untilOver('late', 'Failed');
      assert.equal(pod.status.reason, 'DeadlineExceeded');
      assert.match(pod.status.message ?? '', /longer than the specified deadline/);
      assert.deepEqual([main(pod)?.state?.terminated?.reason, main(pod)?.ready], ['DeadlineExceeded', false]);
      const tookMs =
        Date.parse(main(pod)?.state?.terminated?.finishedAt ?? '') - Date.parse(pod.status.startTime ?? '');
      assert.ok(tookMs >= 1_000 && tookMs < 10_000, `${tookMs} ms`);
    });

    it('ContainerStatusUnknown, where somebody removed it behind our back: never run twice, or started again', async () => {
      await node.createPod('once', { restartPolicy: 'Never' });
      await node.createPod('again', {});
      await Promise.all([node.untilReady('once'), node.untilReady('again')]);
      const ids = [await node.container('once', 'main'), await node.container('again', 'main')];
      node.stopAgent(); // while it looks, it sees them die
      for (const id of ids) await node.engine.docker.getContainer(id).remove({ force: true });
      await node.startAgent();
      const end = main(await untilOver('once', 'Failed'))?.state?.terminated;
      assert.deepEqual([end?.reason, end?.exitCode], ['ContainerStatusUnknown', 137]);
      assert.match(end?.message ?? '', /no trace of the container/);
      const pod = await node.untilPod(
        'again',
        'runs again',
        (each) => main(each)?.restartCount === 1 && main(each)?.ready === true,
      );
      assert.equal(main(pod)?.lastState?.terminated?.reason, 'ContainerStatusUnknown');
    });
  });

  describe('of the pod', () => {
    it('SysctlForbidden: the node does not run it', async () => {
      const sysctls = [{ name: 'net.core.somaxconn', value: '1024' }];
      await node.createPod('unsafe', { securityContext: { sysctls } });
      const pod = await untilOver('unsafe', 'Failed');
      assert.equal(pod.status.reason, 'SysctlForbidden');
      assert.match(pod.status.message ?? '', /"net.core.somaxconn" is not among those that this node allows/);
    });

    it('ReadinessGatesNotReady, until somebody opens the gate', async () => {
      await node.createPod('gate', { readinessGates: [{ conditionType: 'example.com/traffic' }] });
      const closed = await node.untilPod(
        'gate',
        'waits at its gate',
        ({ status }) => conditionOf(status, 'ContainersReady')?.status === 'True',
      );
      const ready = conditionOf(closed.status, 'Ready');
      assert.deepEqual([ready?.status, ready?.reason], ['False', 'ReadinessGatesNotReady']);
      assert.match(ready?.message ?? '', /gate "example.com\/traffic" does not exist/);
      const conditions = [
        ...(closed.status.conditions ?? []),
        { type: 'example.com/traffic', status: 'True' as const },
      ];
      await node.client.updateStatus('pods', { ...closed, status: { ...closed.status, conditions } });
      await node.untilReady('gate');
    });

    it('tells where and since when it runs, and how well it is protected', async () => {
      const resources = { limits: { cpu: '100m', memory: '32Mi' } };
      await node.createPod('whole', { containers: [{ name: 'main', command: sleeps, resources }] });
      const { status } = await node.untilReady('whole');
      assert.deepEqual(
        [status.qosClass, status.phase, status.hostIP, status.hostIPs, status.podIPs],
        ['Guaranteed', 'Running', node.hostIp, [{ ip: node.hostIp }], [{ ip: status.podIP }]],
      );
      assert.ok(Date.parse(status.startTime ?? '') > 0);
      const [container] = status.containerStatuses ?? [];
      assert.deepEqual([container?.started, container?.restartCount, container?.image], [true, 0, image]);
      assert.match(container?.containerID ?? '', /^docker:\/\/[0-9a-f]{64}$/);
      const types = ['PodReadyToStartContainers', 'Initialized', 'ContainersReady', 'Ready', 'PodScheduled'];
      for (const type of types) assert.equal(conditionOf(status, type)?.status, 'True', type);
    });
  });
});
