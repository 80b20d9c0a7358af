import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const groups = '/sys/fs/cgroup';
const why = whyNoDocker();
describe(`resources on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(172, { maxPodPids: 64 });
  });
  after(async () => {
    await node?.stop();
    for (const root of rootsOf(node)) assert.equal(existsSync(root), false, `${root} is left`);
  });
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty();
    for (const root of rootsOf(node)) assert.deepEqual(podsIn(root), [], 'no group is left');
  });

  const busy = 'while :; do :; done';
  const eat = (mib: number): string =>
    `[ -e /memory/full ] || dd if=/dev/zero of=/memory/full bs=1M count=${mib}; sleep 100000`;
  const memory = { name: 'memory', emptyDir: { medium: 'Memory' as const } };
  const inMemory = [{ name: 'memory', mountPath: '/memory' }];

  it('ends what takes more memory than its limit; its sibling never notices (F61)', async () => {
    await node.createPod('pair', {
      volumes: [memory],
      containers: [
        {
          name: 'greedy',
          command: ['sh', '-c', 'sleep 0.5; exec tail -c 200m /dev/zero'],
          resources: { limits: { memory: '32Mi' } },
        },
        { name: 'modest', command: ['sleep', '100000'], resources: { limits: { memory: '32Mi' } } },
      ],
    });
    const pod = await node.untilPod(
      'pair',
      'has lost one container',
      ({ status }) => status.containerStatuses?.[0]?.lastState?.terminated !== undefined,
    );
    const [greedy, modest] = pod.status.containerStatuses ?? [];
    assert.equal(greedy?.lastState?.terminated?.reason, 'OOMKilled');
    assert.equal(greedy?.lastState?.terminated?.exitCode, 137);
    assert.equal(modest?.restartCount, 0);
    assert.ok(modest?.state?.running);
  });

  it('tells when a process inside is ended for want of memory and the container goes on', async () => {
    await node.createPod('parent', {
      containers: [
        {
          name: 'main',
          command: ['sh', '-c', 'tail -c 200m /dev/zero; sleep 100000'],
          resources: { limits: { memory: '32Mi' } },
        },
      ],
    });
    await until(() => node.told.some(({ reason, about }) => reason === 'OOMKilling' && about.name === 'parent'), {
      what: 'the Event is told',
      timeoutMs: 15_000,
    });
    const pod = await node.client.get('pods', 'default/parent');
    assert.equal(pod?.status.containerStatuses?.[0]?.restartCount, 0);
  });

  it('counts a volume in memory against the pod that has it, also after its container is gone', async () => {
    const resources = { limits: { memory: '48Mi' } };
    await node.createPod('keeper', {
      volumes: [memory],
      containers: [{ name: 'main', command: ['sh', '-c', eat(24)], volumeMounts: inMemory, resources }],
    });
    const { metadata } = await node.untilReady('keeper');
    await until(() => usedBy(node, metadata.uid) > 20 * 2 ** 20, { what: 'the file counts', timeoutMs: 10_000 });
    await node.engine.docker.getContainer(await node.container('keeper', 'main')).kill();
    await node.untilPod('keeper', 'runs again', ({ status }) => status.containerStatuses?.[0]?.restartCount === 1);
    assert.ok(usedBy(node, metadata.uid) > 20 * 2 ** 20, 'the pages are still the pod’s');
  });

  it('holds a pod to its processor time: limits are hard, requests are shares', async () => {
    await node.createPod('capped', {
      containers: [{ name: 'main', command: ['sh', '-c', busy], resources: { limits: { cpu: '200m' } } }],
    });
    const { metadata } = await node.untilReady('capped');
    const shares: number[] = [];
    const measure = async (): Promise<boolean> => {
      const from = { usedMs: cpuMsOf(node, metadata.uid), atMs: performance.now() };
      await until(() => performance.now() - from.atMs > 1_500, { what: 'the time has passed', everyMs: 50 });
      const share = (cpuMsOf(node, metadata.uid) - from.usedMs) / (performance.now() - from.atMs);
      shares.push(share);
      return share > 0.12;
    };
    // Never more than its limit; less where others want the processors, too.
    await until(measure, { what: () => `it has nearly its limit: ${shares.join()}`, timeoutMs: 30_000 });
    assert.ok(Math.max(...shares) < 0.25, `used ${shares.join()} of a core, of at most 0.2`);
  });

  it('bounds the number of processes of a pod, so that one cannot take the machine’s', async () => {
    await node.createPod('bomb', {
      containers: [
        { name: 'other', command: ['sleep', '100000'] },
        {
          name: 'main',
          command: ['sh', '-c', '(for i in $(seq 200); do sleep 100000 & done); exec sleep 100000'],
        },
      ],
    });
    const { metadata } = await node.untilPod('bomb', 'was started', ({ status }) => status.phase === 'Running');
    const peak = (): number => {
      const file = filesOf(node, metadata.uid, 'pids', 'pids.current');
      return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
    };
    await until(() => peak() >= 60, { what: 'the limit is reached', timeoutMs: 10_000 });
    assert.ok(peak() <= 64);
    const pod = await node.client.get('pods', 'default/bomb');
    assert.ok(pod?.status.containerStatuses?.[0]?.state?.running, 'the container beside it runs on');
  });
});

const isV2 = existsSync(join(groups, 'cgroup.controllers'));
const ownerOf = (node: RealNode): string => `troupe/real.${node.nodeName}`;
const rootsOf = (node: RealNode | undefined): readonly string[] =>
  node === undefined
    ? []
    : isV2
      ? [join(groups, ownerOf(node))]
      : ['cpu', 'memory', 'pids'].map((name) => join(groups, name, ownerOf(node)));
const podsIn = (root: string): readonly string[] =>
  existsSync(root) ? readdirSync(root).filter((name) => name.startsWith('pod')) : [];

const filesOf = (node: RealNode, uid: string, controller: string, file: string): string =>
  join(groups, isV2 ? '' : controller, ownerOf(node), `pod${uid}`, file);
const usedBy = (node: RealNode, uid: string): number =>
  Number(readFileSync(filesOf(node, uid, 'memory', isV2 ? 'memory.current' : 'memory.usage_in_bytes'), 'utf8'));
function cpuMsOf(node: RealNode, uid: string): number {
  if (isV2)
    return Number(/usage_usec (\d+)/.exec(readFileSync(filesOf(node, uid, '', 'cpu.stat'), 'utf8'))?.[1]) / 1000;
  return Number(readFileSync(filesOf(node, uid, 'cpuacct', 'cpuacct.usage'), 'utf8')) / 1e6;
}
