import assert from 'node:assert/strict';
import { readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { conditionOf } from '../../lib/api/pods.ts';
import { importBusybox, whyNoDocker } from '../support/docker-engine.ts';
import { ImageRegistry, whyNoRegistry } from '../support/image-registry.ts';
import { SteadfastNode } from '../support/steadfast-node.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker() ?? whyNoRegistry();

/** What a flag promises, kept by the process that was started with it. The limits are such that this machine is beyond them now. */
describe(`flags of the node-agent's process${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let node: SteadfastNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await SteadfastNode.start(
      200,
      ['--warm-sandboxes', '0', '--eviction-pressure-transition-period', '1'],
      true,
    );
  });
  after(() => node?.stop());

  const sleeps = { name: 'main', command: ['sleep', '100000'] };
  const lastOf = (name: string) => node.seen(name).pods.at(-1);
  const tags = async (): Promise<readonly string[]> =>
    (await node.engine.docker.listImages()).flatMap((image) => image.RepoTags ?? []);

  it('--eviction-hard memory.available: the node is short, says so, and ends the pod that asked for nothing', async () => {
    await node.createPod('greedy', { containers: [sleeps] });
    await node.untilReady('greedy');
    await node.restartAgent(['--eviction-hard', 'memory.available<100%']);
    await until(() => lastOf('greedy')?.status.phase === 'Failed', { what: 'the pod is evicted', timeoutMs: 30_000 });
    assert.equal(lastOf('greedy')?.status.reason, 'Evicted');
    assert.match(lastOf('greedy')?.status.message ?? '', /memory/);
    const pressure = async () =>
      conditionOf((await node.client.get('nodes', node.nodeName))?.status ?? {}, 'MemoryPressure');
    await until(async () => (await pressure())?.status === 'True', { what: 'the node says so', timeoutMs: 20_000 });

    await node.createPod('late', { containers: [sleeps] });
    await until(() => lastOf('late')?.status.phase === 'Failed', { what: 'no such pod is taken', timeoutMs: 20_000 });
    await node.restartAgent([]);
    await until(async () => (await pressure())?.status === 'False', { what: 'it is over', timeoutMs: 20_000 });
    for (const name of ['greedy', 'late']) {
      await node.client.delete('pods', `default/${name}`);
      await node.untilGone(name);
    }
  });

  it('--resources: the node declares them, a container reads its own, and a start without takes them back', async () => {
    const gpus = async () => (await node.client.get('nodes', node.nodeName))?.status.allocatable?.['example.com/gpu'];
    await node.restartAgent(['--resources', 'example.com/gpu=2']);
    await until(async () => (await gpus()) === '2', { what: 'the node declares them', timeoutMs: 20_000 });
    const limits = { 'example.com/gpu': '1' };
    const env = [{ name: 'GPUS', valueFrom: { resourceFieldRef: { resource: 'limits.example.com/gpu' } } }];
    const command = ['sh', '-c', 'test "$GPUS" = 1 && exec sleep 100000'];
    await node.createPod('sums', { containers: [{ ...sleeps, command, env, resources: { limits } }] });
    await node.untilReady('sums');
    const images = async () => (await node.client.get('nodes', node.nodeName))?.status.images ?? [];
    const [tag = ''] = await tags();
    await until(async () => (await images()).some(({ names }) => names?.includes(tag)), {
      what: 'the node says what images it holds',
      timeoutMs: 20_000,
    });
    await node.restartAgent([]);
    await until(async () => (await gpus()) === undefined, { what: 'they are taken back', timeoutMs: 20_000 });
    await node.client.delete('pods', 'default/sums');
    await node.untilGone('sums');
  });

  it('--eviction-hard nodefs.available: the same for the disk', async () => {
    await node.createPod('writer', { containers: [sleeps] });
    await node.untilReady('writer');
    await node.restartAgent(['--eviction-hard', 'nodefs.available<100%']);
    await until(() => lastOf('writer')?.status.reason === 'Evicted', { what: 'the pod is evicted', timeoutMs: 30_000 });
    const pressure = async () =>
      conditionOf((await node.client.get('nodes', node.nodeName))?.status ?? {}, 'DiskPressure');
    await until(async () => (await pressure())?.status === 'True', { what: 'the node says so', timeoutMs: 20_000 });
    await node.restartAgent([]);
    await node.client.delete('pods', 'default/writer');
    await node.untilGone('writer');
  });

  it('--image-gc-high: an image that the agent pulled and nobody uses goes, and no other', async () => {
    const registry = await ImageRegistry.start();
    try {
      const image = `${registry.host}/unused:1`;
      const { docker } = node.engine;
      await importBusybox(docker, 'troupe-test/made:1');
      const container = await docker.createContainer({
        Image: 'troupe-test/made:1',
        Cmd: ['true'],
        Labels: { its: 'own' },
      });
      await container.commit({ repo: 'troupe-test/made', tag: '2' });
      await container.remove();
      await registry.push(docker, 'troupe-test/made:2', 'unused:1');
      for (const name of ['troupe-test/made:1', 'troupe-test/made:2'])
        await docker.getImage(name).remove({ force: true });
      const auths = { [`http://${registry.host}`]: ImageRegistry.user };
      const config = Buffer.from(JSON.stringify({ auths })).toString('base64');
      await node.client.create('secrets', {
        metadata: { name: 'registry', namespace: 'default' },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': config },
      });
      await node.createPod('user', { imagePullSecrets: [{ name: 'registry' }], containers: [{ ...sleeps, image }] });
      await node.untilReady('user');
      await node.client.delete('pods', 'default/user');
      await node.untilGone('user');
      assert.ok((await tags()).includes(image));

      const { blocks, bavail } = statfsSync(node.engine.dataDir);
      const usedPercent = (100 * (blocks - bavail)) / blocks;
      const high = Math.max(1, Math.floor(usedPercent / 2));
      await node.restartAgent(['--image-gc-low', String(high - 1), '--image-gc-high', String(high)], {
        meanwhile: () => {
          // Only what has been unused for two minutes goes: as if it were hours later.
          const file = join(node.agentData, 'images.json');
          writeFileSync(file, readFileSync(file, 'utf8').replaceAll(/"usedAtMs":\d+/g, '"usedAtMs":1'));
        },
      });
      await until(async () => !(await tags()).includes(image), { what: 'the image is removed', timeoutMs: 30_000 });
      const left = await tags();
      for (const kept of ['troupe-test/busybox:1', 'troupe/infra:1']) assert.ok(left.includes(kept), kept);
    } finally {
      await registry.stop();
    }
  });
});
