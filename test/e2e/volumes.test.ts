import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { whyNoDocker } from '../support/docker-engine.ts';
import { RealNode } from '../support/real-node.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();
describe(`volumes on a real engine${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let node: RealNode;
  before(async function () {
    if (why !== undefined) this.skip();
    node = await RealNode.start(160);
  });
  after(() => node?.stop());
  afterEach(async () => {
    if (why !== undefined) return;
    await node.empty(1);
    assert.deepEqual(node.leftovers(), { routes: '', mounts: [] });
  });

  const metadata = (name: string) => ({ name, namespace: 'default' });
  const secret = (text: string): string => Buffer.from(text).toString('base64');
  const main = (volumeMounts: readonly object[], more: object = {}) => [
    { name: 'main', command: ['sleep', '100000'], volumeMounts, ...more },
  ];
  const sh = (pod: string, command: string): Promise<string> => node.exec(pod, 'main', command);
  const untilSh = (pod: string, command: string, wanted: string): Promise<unknown> =>
    until(async () => (await sh(pod, command).catch(() => '')) === wanted, {
      what: `${command} prints ${JSON.stringify(wanted)}`,
      timeoutMs: 15_000,
      everyMs: 20,
    });

  it('keeps the files of a running container as the API has them, all of a volume at once', async () => {
    await node.client.create('configmaps', { metadata: metadata('conf'), data: { a: '1', b: '1' } });
    await node.client.create('secrets', { metadata: metadata('key'), data: { token: secret('old') } });
    const labels = { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] };
    await node.createPod('live', {
      volumes: [
        { name: 'conf', configMap: { name: 'conf' } },
        { name: 'key', secret: { secretName: 'key', defaultMode: 0o400 } },
        { name: 'all', projected: { sources: [{ configMap: { name: 'conf' } }, { secret: { name: 'key' } }] } },
        { name: 'self', downwardAPI: labels },
      ],
      containers: main([
        { name: 'conf', mountPath: '/conf' },
        { name: 'key', mountPath: '/key' },
        { name: 'all', mountPath: '/all' },
        { name: 'self', mountPath: '/self' },
        { name: 'conf', mountPath: '/fixed/a', subPath: 'a' },
      ]),
    });
    await node.untilReady('live');
    assert.equal(await sh('live', 'cat /conf/a /key/token /all/b /all/token /fixed/a'), '1old1old1');
    assert.match(await sh('live', 'mount | grep " /key "; touch /key/x 2>&1; true'), /tmpfs[^]*Read-only/);

    // A reader that takes the files of one moment never sees two states; those of the past vanish under it.
    const look = 'cd /conf/..data; a=$(cat a); b=$(cat b); [ "$a" = "$b" ] || [ -z "$a" ] || [ -z "$b" ] || echo mixed';
    const mixed = sh('live', `(for i in $(seq 500); do ${look}; done) 2>/dev/null`);
    for (const n of ['2', '3', '4', '5']) {
      await node.client.patch('configmaps', 'default/conf', { data: { a: n, b: n } });
      await untilSh('live', 'cat /conf/a /conf/b /all/a', n.repeat(3));
    }
    assert.equal(await mixed, '');
    await node.client.patch('secrets', 'default/key', { data: { token: secret('new'), more: secret('!') } });
    await untilSh('live', 'cat /key/token /key/more /all/token', 'new!new');
    await node.client.patch('pods', 'default/live', { metadata: { labels: { tier: 'gold' } } });
    await untilSh('live', 'cat /self/labels', 'tier="gold"');
    assert.equal(await sh('live', 'cat /fixed/a'), '1', 'a subPath stays what it was');

    // After its own restart the agent catches up with what it missed, and follows on.
    node.stopAgent();
    await node.client.patch('configmaps', 'default/conf', { data: { a: '6', b: '6' } });
    await node.startAgent();
    await untilSh('live', 'cat /conf/a', '6');
    await node.client.patch('configmaps', 'default/conf', { data: { a: '7' } });
    await untilSh('live', 'cat /conf/a', '7');

    // What disappears is kept, and told.
    await node.client.delete('configmaps', 'default/conf');
    await until(
      () =>
        node.told.some(({ reason, message }) => reason === 'FailedMount' && /keeps.*"conf" not found/.test(message)),
      {
        what: 'the loss is told',
      },
    );
    assert.equal(await sh('live', 'cat /conf/a'), '7');
  });

  it('signals the containers that mount what has changed, also after a new start of the agent, and no others', async () => {
    await node.client.create('configmaps', { metadata: metadata('conf'), data: { a: '1' } });
    const annotations = {
      'troupe.dev/on-config-change': 'signal',
      'troupe.dev/reload-signal': 'SIGUSR1',
    };
    const reloads = 'trap "cat /conf/a >> /tmp/seen" USR1; : > /tmp/seen; while :; do sleep 0.05; done';
    const container = (name: string, mount: object) => ({
      ...{ name, command: ['sh', '-c', reloads], readinessProbe: { exec: { command: ['test', '-e', '/tmp/seen'] } } },
      volumeMounts: [{ name: 'conf', mountPath: '/conf', ...mount }],
    });
    const spec = {
      volumes: [{ name: 'conf', configMap: { name: 'conf' } }],
      containers: [container('main', {}), container('fixed', { mountPath: '/conf/a', subPath: 'a' })],
    };
    await node.createPod('reloads', spec, annotations);
    await node.untilReady('reloads');
    await node.client.patch('configmaps', 'default/conf', { data: { a: '2' } });
    await untilSh('reloads', 'cat /tmp/seen', '2');
    node.stopAgent();
    await node.client.patch('configmaps', 'default/conf', { data: { a: '3' } });
    await node.startAgent();
    await untilSh('reloads', 'cat /tmp/seen', '23');
    assert.equal(await node.exec('reloads', 'fixed', 'cat /tmp/seen'), '', 'what it mounts stays what it was');
    await until(
      () => node.told.some(({ reason, message }) => reason === 'ConfigReloaded' && /SIGUSR1 .* main/.test(message)),
      { what: 'the Event' },
    );
    const pod = await node.client.get('pods', 'default/reloads');
    assert.deepEqual(
      pod?.status.containerStatuses?.map(({ restartCount }) => restartCount),
      [0, 0],
    );
  });

  it('starts a pod as soon as what it waits for is there', async () => {
    await node.createPod('waits', {
      volumes: [{ name: 'late', configMap: { name: 'late', items: [{ key: 'k', path: 'k' }] } }],
      containers: main([{ name: 'late', mountPath: '/late' }]),
    });
    const message = /configmap "late" not found/;
    await node.untilPod('waits', 'says what it waits for', ({ status }) =>
      message.test(status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
    await until(() => node.told.filter((event) => message.test(event.message)).length >= 3, {
      what: 'it waits long',
      timeoutMs: 10_000,
    });
    await node.client.create('configmaps', { metadata: metadata('late'), data: { other: 'x' } });
    await node.untilPod('waits', 'says what lacks', ({ status }) =>
      /has no key "k"/.test(status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
    await node.client.patch('configmaps', 'default/late', { data: { k: 'here' } });
    await node.untilReady('waits', 1_500);
    assert.equal(await sh('waits', 'cat /late/k'), 'here');
  });

  it('gives containers shared folders, on disk and in memory, of the sizes and owners asked for', async () => {
    await node.createPod('empty', {
      securityContext: { runAsUser: 1000, fsGroup: 4242 },
      volumes: [
        { name: 'disk', emptyDir: {} },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      ],
      containers: main([
        { name: 'disk', mountPath: '/disk' },
        { name: 'memory', mountPath: '/memory' },
        { name: 'disk', mountPath: '/look', readOnly: true },
      ]),
    });
    await node.untilReady('empty');
    assert.equal(await sh('empty', 'stat -c "%a %g" /disk /memory'), '2777 4242\n2777 4242\n');
    assert.equal(await sh('empty', 'echo hi > /disk/x; stat -c "%u %g" /disk/x; cat /look/x'), '1000 4242\nhi\n');
    assert.match(await sh('empty', 'touch /look/y 2>&1; true'), /Read-only file system/);
    assert.match(await sh('empty', 'dd if=/dev/zero of=/memory/big bs=64k count=32 2>&1; true'), /No space left/);
  });

  it('gives back the memory of a pod that has ended, and keeps what is on disk to be looked at', async () => {
    await node.createPod('done', {
      restartPolicy: 'Never',
      volumes: [
        { name: 'memory', emptyDir: { medium: 'Memory' } },
        { name: 'disk', emptyDir: {} },
      ],
      containers: [
        {
          name: 'main',
          command: ['sh', '-c', 'echo x > /memory/x; echo words > /disk/x'],
          volumeMounts: [
            { name: 'memory', mountPath: '/memory' },
            { name: 'disk', mountPath: '/disk' },
          ],
        },
      ],
    });
    const pod = await node.untilPod('done', 'is over', ({ status }) => status.phase === 'Succeeded');
    await until(() => node.leftovers().mounts.length === 0, { what: 'its memory is given back' });
    const disk = join(node.dataDir, 'pods', pod.metadata.uid, 'volumes/disk/x');
    assert.equal(readFileSync(disk, 'utf8'), 'words\n');
  });

  it('ends a pod whose emptyDir outgrows its sizeLimit', async () => {
    await node.createPod('greedy', {
      volumes: [{ name: 'disk', emptyDir: { sizeLimit: '1Mi' } }],
      containers: main([{ name: 'disk', mountPath: '/disk' }]),
    });
    await node.untilReady('greedy');
    await sh('greedy', 'dd if=/dev/zero of=/disk/big bs=64k count=32 2>/dev/null');
    const { status } = await node.untilPod('greedy', 'is evicted', (pod) => pod.status.phase === 'Failed', 30_000);
    assert.equal(status.reason, 'Evicted');
    assert.equal(status.message, 'Usage of EmptyDir volume "disk" exceeds the limit "1Mi".');
  });

  it('mounts what of the machine it may, and says why not otherwise', async () => {
    const place = mkdtempSync(join(tmpdir(), 'troupe-host-'));
    const server = createServer();
    try {
      writeFileSync(join(place, 'file'), 'data');
      symlinkSync('/etc', join(place, 'etc'));
      await new Promise<void>((resolve) => server.listen(join(place, 'socket'), resolve));
      const hostPath = (path: string, type?: string) => ({
        hostPath: { path: path.startsWith('/') ? path : join(place, path), ...(type === undefined ? {} : { type }) },
      });
      const refusals = [
        [hostPath('/etc'), /hostPath "\/etc" is not allowed on this node, which lets pods mount .*--host-paths/],
        [hostPath('etc/passwd', 'File'), /etc\/passwd" is not allowed/],
        [hostPath('none', 'Directory'), /does not exist on the node, and its type Directory does not let it be made/],
        [hostPath('none/below', 'FileOrCreate'), /cannot be made: its folder does not exist/],
        [hostPath('file', 'Directory'), /is not of type Directory/],
        [hostPath('file', 'Socket'), /is not of type Socket/],
        [hostPath('file', 'BlockDevice'), /is not of type BlockDevice/],
        [
          { gcePersistentDisk: { pdName: 'disk' } },
          /no driver for gcePersistentDisk on this node; it has configMap, .*hostPath/,
        ],
        [{ awsElasticBlockStore: { volumeID: 'vol-1' } }, /no driver for awsElasticBlockStore/],
      ] as const;
      for (const [index, [source]] of refusals.entries())
        await node.createPod(`no-${index}`, {
          volumes: [{ name: 'v', ...source }],
          containers: main([{ name: 'v', mountPath: '/v' }]),
        });
      await node.createPod('host', {
        volumes: [
          { name: 'made', ...hostPath('made/deep', 'DirectoryOrCreate') },
          { name: 'any', ...hostPath('any') },
          { name: 'file', ...hostPath('file', 'File') },
          { name: 'new', ...hostPath('new', 'FileOrCreate') },
          { name: 'socket', ...hostPath('socket', 'Socket') },
          { name: 'null', ...hostPath('/dev/null', 'CharDevice') },
          { name: 'look', ...hostPath('/usr/share') },
        ],
        containers: main(
          ['made', 'any', 'file', 'new', 'socket', 'null', 'look'].map((name) => ({ name, mountPath: `/${name}` })),
        ),
      });
      await node.untilReady('host');
      assert.equal(
        await sh('host', 'echo kept > /made/x; cat /file; test -S /socket; test -c /null; touch /any/y; echo n > /new'),
        'data',
      );
      assert.match(await sh('host', 'touch /look/x 2>&1; true'), /Read-only/);
      for (const [index, [, message]] of refusals.entries()) {
        const pod = await node.untilPod(`no-${index}`, `says ${message}`, ({ status }) =>
          message.test(status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
        );
        assert.equal(pod.status.phase, 'Pending');
        const told = node.told.find((event) => event.reason === 'FailedMount' && event.about.name === `no-${index}`);
        assert.match(told?.message ?? '', message);
      }
      await node.client.delete('pods', 'default/host', { gracePeriodSeconds: 0 });
      await node.untilGone('host');
      assert.equal(readFileSync(join(place, 'made/deep/x'), 'utf8'), 'kept\n', 'what is on the machine stays');
    } finally {
      server.close();
      rmSync(place, { recursive: true, force: true });
    }
  });

  it('mounts parts of volumes, and lets no link lead out of one', async () => {
    await node.client.create('configmaps', { metadata: metadata('parts'), data: { key: 'value' } });
    const volumes = [
      { name: 'disk', emptyDir: {} },
      { name: 'conf', configMap: { name: 'parts' } },
    ];
    const names = { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } };
    const writer = {
      name: 'writer',
      image: 'troupe-test/busybox:1',
      command: [
        'sh',
        '-c',
        'mkdir -p /all/dir; echo in > /all/dir/file; ln -s / /all/out; ln -s dir /all/in; ln -s ../../../../../../../../etc /all/far',
      ],
      volumeMounts: [{ name: 'disk', mountPath: '/all' }],
    };
    await node.createPod('parts', {
      volumes,
      initContainers: [writer],
      containers: main(
        [
          { name: 'disk', mountPath: '/file', subPath: 'dir/file' },
          { name: 'disk', mountPath: '/linked', subPath: 'in' },
          { name: 'disk', mountPath: '/own', subPathExpr: 'pods/$(POD)' },
          { name: 'conf', mountPath: '/key', subPath: 'key' },
          { name: 'disk', mountPath: '/all' },
        ],
        { env: [names] },
      ),
    });
    await node.untilReady('parts');
    assert.equal(
      await sh('parts', 'cat /file /linked/file /key; echo mine > /own/x; cat /all/pods/parts/x'),
      'in\nin\nvaluemine\n',
    );
    // A container that is started again has its parts again.
    const before = await node.container('parts', 'main');
    await node.runtime.kill(before, 'SIGKILL');
    await node.untilPod('parts', 'is restarted', ({ status }) => status.containerStatuses?.[0]?.restartCount === 1);
    await node.untilReady('parts');
    assert.equal(await sh('parts', 'cat /file /own/x'), 'in\nmine\n');

    const attempts = [
      [{ name: 'disk', subPath: 'out/etc' }, /follows the link "out" to \/, out of the volume/],
      [{ name: 'disk', subPath: 'far' }, /leads out of the volume/],
      [{ name: 'conf', subPath: 'none' }, /subPath "none" does not exist in the volume/],
      [{ name: 'disk', subPathExpr: '$(NONE)' }, /the container has no variable NONE/],
    ] as const;
    for (const [index, [mount]] of attempts.entries())
      await node.createPod(`out-${index}`, {
        volumes,
        initContainers: [writer],
        containers: main([{ ...mount, mountPath: '/stolen' }]),
      });
    for (const [index, [, message]] of attempts.entries())
      await node.untilPod(`out-${index}`, `says ${message}`, ({ status }) => {
        const waiting = status.containerStatuses?.[0]?.state?.waiting;
        return waiting?.reason === 'CreateContainerError' && message.test(waiting.message ?? '');
      });
  });

  it('lets what the machine mounts in a volume be seen inside where asked, and takes it away with the pod', async () => {
    const volumeMount = { name: 'disk', mountPath: '/disk' };
    await node.createPod('spread', {
      volumes: [{ name: 'disk', emptyDir: {} }],
      containers: [
        {
          name: 'main',
          command: ['sleep', '100000'],
          volumeMounts: [{ ...volumeMount, mountPropagation: 'HostToContainer' }],
        },
        { name: 'alone', command: ['sleep', '100000'], volumeMounts: [volumeMount] },
      ],
    });
    const pod = await node.untilReady('spread');
    const inside = join(node.dataDir, 'pods', pod.metadata.uid, 'volumes/disk/memory');
    mkdirSync(inside);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', inside]);
    writeFileSync(join(inside, 'x'), 'seen');
    assert.equal(await sh('spread', 'cat /disk/memory/x'), 'seen');
    assert.equal(await node.exec('spread', 'alone', 'ls /disk/memory'), '');
  });

  it('lets what is mounted inside be seen outside where asked (Bidirectional)', async () => {
    // Only a privileged container may ask for it, which takes a root with all capabilities: the engine is shown the same mount for one that has what it needs.
    const shared = join(node.dataDir, 'shared');
    mkdirSync(shared);
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', shared]);
    let id: string | undefined;
    try {
      execFileSync('mount', ['--make-shared', shared]);
      await node.createPod('outward', {});
      await node.untilReady('outward');
      const sandbox = (await node.runtime.list()).find(({ labels }) => labels['troupe.kind'] === 'sandbox');
      id = await node.runtime.create({
        ...{ name: 'outward', image: 'troupe-test/busybox:1', labels: {}, env: [], sandboxId: sandbox?.id ?? '' },
        ...{ command: ['sleep', '100000'], capAdd: ['SYS_ADMIN'], seccomp: 'unconfined', appArmor: 'unconfined' },
        mounts: [{ source: shared, target: '/shared', readOnly: false, propagation: 'shared' }],
      });
      await node.runtime.start(id);
      const inside = 'mkdir /shared/x && mount -t tmpfs tmpfs /shared/x && echo seen > /shared/x/file';
      const { exitCode, output } = await node.runtime.exec(id, ['sh', '-c', inside], 10_000);
      assert.equal(exitCode, 0, output);
      assert.equal(readFileSync(join(shared, 'x/file'), 'utf8'), 'seen\n');
    } finally {
      if (id !== undefined) await node.runtime.remove(id);
      execFileSync('umount', ['-R', shared]);
    }
  });

  it('finds what an agent left that was killed in the middle of its work', async () => {
    await node.createPod('left', {
      volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }],
      containers: main([{ name: 'memory', mountPath: '/memory' }]),
    });
    const pod = await node.untilReady('left');
    await sh('left', 'echo kept > /memory/x');
    const mounts = () => node.leftovers().mounts.filter((line) => line.includes(pod.metadata.uid)).length;
    assert.equal(mounts(), 1);
    node.stopAgent();
    // As if it had died while another pod, since gone, had a volume half made: a mount, and a link that leads away.
    const precious = mkdtempSync(join(tmpdir(), 'troupe-precious-'));
    writeFileSync(join(precious, 'letter'), 'dear');
    const stray = join(node.dataDir, 'pods/00000000-dead/volumes');
    mkdirSync(join(stray, 'nfs'), { recursive: true });
    execFileSync('mount', ['--bind', precious, join(stray, 'nfs')]);
    symlinkSync(precious, join(stray, 'link'));
    try {
      await node.startAgent();
      await until(() => !existsSync(join(node.dataDir, 'pods/00000000-dead')), { what: 'the stray folder is gone' });
      assert.equal(readFileSync(join(precious, 'letter'), 'utf8'), 'dear');
      assert.equal(mounts(), 1, 'not doubled');
      assert.equal(await sh('left', 'cat /memory/x'), 'kept\n');
    } finally {
      rmSync(precious, { recursive: true, force: true });
    }
  });
});
