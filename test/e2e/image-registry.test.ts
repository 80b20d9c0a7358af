import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Pod } from '../../lib/api/objects.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import { ImageKeeper } from '../../node-agent/images/image-keeper.ts';
import { importBusybox, whyNoDocker } from '../support/docker-engine.ts';
import { ImageRegistry, whyNoRegistry } from '../support/image-registry.ts';
import { RealNode } from '../support/real-node.ts';

const why = whyNoDocker() ?? whyNoRegistry();
describe(`images from a real registry${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: RealNode;
  let registry: ImageRegistry;
  before(async function () {
    if (why !== undefined) this.skip();
    registry = await ImageRegistry.start();
    node = await RealNode.start(173);
    const { dataDir, runtime } = node;
    const images = new ImageKeeper({ runtime, clock: later, log: silentLog, file: join(dataDir, 'images.json') });
    node.stopAgent();
    node.wish = { images };
    await node.startAgent();
    const secret = (name: string, password: string) =>
      node.client.create('secrets', {
        metadata: { name, namespace: 'default' },
        type: 'kubernetes.io/dockerconfigjson',
        data: {
          '.dockerconfigjson': base64(
            JSON.stringify({ auths: { [`http://${registry.host}`]: { username: 'ann', password } } }),
          ),
        },
      });
    await secret('right', ImageRegistry.user.password);
    await secret('wrong', 'guess');
  });
  after(async () => {
    await node?.stop();
    await registry?.stop();
  });
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty();
  });

  /** Hours later, as far as the age of images goes. */
  let laterMs = 0;
  const later = { ...systemClock, now: () => systemClock.now() + laterMs };
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const secrets = (...names: readonly string[]) => ({ imagePullSecrets: names.map((name) => ({ name })) });

  /** Each version says its name in its only file that differs. */
  async function publish(version: string, name: string): Promise<string> {
    const local = `troupe-test/made:${version}`;
    await importBusybox(node.engine.docker, local);
    const container = await node.engine.docker.createContainer({
      Image: local,
      Cmd: ['sh', '-c', `echo ${version} > /version`],
    });
    await container.start();
    await container.wait();
    await container.commit({ repo: 'troupe-test/made', tag: version });
    await container.remove();
    const digest = await registry.push(node.engine.docker, local, name);
    await node.engine.docker.getImage(local).remove({ force: true });
    return digest;
  }
  const run = (name: string, image: string, spec: object = {}, container: object = {}) =>
    node.createPod(name, {
      ...spec,
      containers: [{ name: 'main', image, command: ['sleep', '100000'], ...container }],
    });
  const waiting = (pod: Pod): { readonly reason?: string; readonly message?: string } =>
    pod.status.containerStatuses?.[0]?.state?.waiting ?? {};
  const versionIn = async (pod: string): Promise<string> => (await node.exec(pod, 'main', 'cat /version')).trim();
  const pulls = (pod: string): number =>
    node.told.filter(({ reason, about }) => reason === 'Pulling' && about.name === pod).length;

  it('is pulled with the pod’s secret, the right one found among several; never told is what is in them', async () => {
    const image = `${registry.host}/team/app:1`;
    await publish('one', 'team/app:1');

    await run('nobody', image);
    const refused = await node.untilPod('nobody', 'is refused', (pod) => waiting(pod).reason === 'ErrImagePull');
    assert.match(
      waiting(refused).message ?? '',
      /Failed to pull image .*(no basic auth credentials|unauthorized|denied)/,
    );
    await node.untilPod('nobody', 'waits', (pod) => waiting(pod).reason === 'ImagePullBackOff');
    await run('stranger', image, secrets('wrong'));
    const wrong = await node.untilPod('stranger', 'is refused', (pod) =>
      /^ErrImagePull|^ImagePull/.test(waiting(pod).reason ?? ''),
    );
    assert.match(waiting(wrong).message ?? '', /unauthorized|denied/);

    await run('friend', image, secrets('missing', 'wrong', 'right'));
    await node.untilReady('friend');
    assert.equal(await versionIn('friend'), 'one');
    const words = node.told.map(({ reason, message }) => `${reason} ${message}`);
    assert.ok(
      words.some((text) => /FailedToRetrieveImagePullSecret .*not there: missing/.test(text)),
      words.join('\n'),
    );
    assert.ok(
      words.some((text) =>
        /^Pulled Successfully pulled image ".*app:1" in \d+\.\ds \(\d+\.\ds including waiting\)\. Image size: \d{6,} bytes\.$/.test(
          text,
        ),
      ),
      words.join('\n'),
    );
    assert.doesNotMatch(words.join('\n'), /s3cret|guess/);
  });

  it('is pulled by its digest', async () => {
    const digest = await publish('two', 'by-digest:1');
    assert.match(digest, /^sha256:/);
    await publish('three', 'by-digest:1'); // the tag moves, the digest does not
    await run('fixed', `${registry.host}/by-digest@${digest}`, secrets('right'));
    await node.untilReady('fixed');
    assert.equal(await versionIn('fixed'), 'two');
  });

  it('follows a tag that moves with Always, and stays with IfNotPresent', async () => {
    const image = `${registry.host}/moving:latest`;
    await publish('four', 'moving:latest');
    await run('before', image, secrets('right'), { imagePullPolicy: 'Always' });
    await node.untilReady('before');
    await publish('five', 'moving:latest');
    await run('stays', image, secrets('right'), { imagePullPolicy: 'IfNotPresent' });
    await node.untilReady('stays');
    assert.equal(await versionIn('stays'), 'four');
    assert.equal(pulls('stays'), 0);
    await run('follows', image, secrets('right'), { imagePullPolicy: 'Always' });
    await node.untilReady('follows');
    assert.equal(await versionIn('follows'), 'five');
  });

  it('is not asked for with Never', async () => {
    await publish('six', 'here-only:1');
    await run('never', `${registry.host}/here-only:1`, secrets('right'), { imagePullPolicy: 'Never' });
    await node.untilPod('never', 'is refused', (pod) => waiting(pod).reason === 'ErrImageNeverPull');
    assert.equal(pulls('never'), 0);
  });

  it('is not needed to restart what is here while the registry is away; what is not here waits and comes', async () => {
    await publish('seven', 'steady:1');
    await publish('eight', 'later:1');
    await run('steady', `${registry.host}/steady:1`, secrets('right'));
    await node.untilReady('steady');
    await registry.down();
    try {
      await node.engine.docker.getContainer(await node.container('steady', 'main')).kill();
      await node.untilPod(
        'steady',
        'runs again',
        ({ status }) => status.containerStatuses?.[0]?.restartCount === 1 && status.containerStatuses[0].ready,
      );
      await run('late', `${registry.host}/later:1`, secrets('right'));
      await node.untilPod('late', 'waits', (pod) => waiting(pod).reason === 'ImagePullBackOff');
    } finally {
      await registry.up();
    }
    await node.untilReady('late', 40_000);
  });

  it('goes when nobody uses it any more, and nothing else does', async () => {
    const { docker } = node.engine;
    await publish('nine', 'in-use:1');
    await run('user', `${registry.host}/in-use:1`, secrets('right'));
    await node.untilReady('user');
    await docker.getImage('troupe-test/busybox:1').tag({ repo: 'somebody/own', tag: '1' });
    await docker.getImage(`${registry.host}/steady:1`).tag({ repo: 'somebody/kept', tag: '1' });
    laterMs = 3_600_000;
    const tags = async (): Promise<readonly string[]> =>
      (await docker.listImages()).flatMap((image) => image.RepoTags ?? []);
    const before = await tags();
    assert.ok(before.includes(`${registry.host}/team/app:1`));

    const keeper = node.wish.images as ImageKeeper;
    const freed = await keeper.free(Infinity);
    const after = await tags();
    assert.ok(freed.images >= 3 && freed.bytes > 0, JSON.stringify(freed));
    assert.ok(!after.includes(`${registry.host}/team/app:1`));
    for (const kept of [
      `${registry.host}/in-use:1`,
      `${registry.host}/steady:1`,
      'somebody/kept:1',
      'somebody/own:1',
      'troupe-test/busybox:1',
      'troupe/infra:1',
    ])
      assert.ok(after.includes(kept), `${kept} of ${after.join(' ')}`);
    assert.deepEqual(await keeper.free(Infinity), { images: 0, bytes: 0 });
  });
});
