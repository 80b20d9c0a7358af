import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import Docker from 'dockerode';
import type { PersistentVolumeClaim, Pod } from '../../lib/api/objects.ts';
import { conditionOf, isReady } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster } from '../support/cluster.ts';
import { importBusybox } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';

/** Claims, volumes and classes with real processes, real folders and a real engine; what a whole application makes of them is in wordpress.test.ts. */
describe('e2e/claims', function () {
  this.timeout(90_000);
  let cluster: TestCluster;
  let client: Client;
  let image: string;
  let folder: string;

  before(async () => {
    cluster = await TestCluster.start(166);
    client = cluster.client();
    image = await importBusybox(new Docker({ socketPath: cluster.dockerSocket }));
    folder = mkdtempSync(join(tmpdir(), 'troupe-claims-'));
  });
  after(async () => {
    client?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async function () {
    if (this.currentTest?.state === 'failed')
      for (const words of ['get pods,pv,pvc -A', 'events -A'])
        console.log((await cluster.troupe(...words.split(' '))).stdout.slice(-6_000));
    for (const { metadata } of (await client.list('pods', { namespace: 'default' })).items)
      await client.delete('pods', `default/${metadata.name}`, { gracePeriodSeconds: 0 }).catch(() => undefined);
    await client.deleteCollection('persistentvolumeclaims', { namespace: 'default' });
    await client.deleteCollection('persistentvolumes', {});
    await until(async () => (await client.list('persistentvolumes')).items.length === 0, {
      timeoutMs: 20_000,
      what: 'nothing left',
    });
  });

  const claim = (name: string, spec: object = {}): Promise<PersistentVolumeClaim> =>
    client.create('persistentvolumeclaims', {
      metadata: { name, namespace: 'default' },
      spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
    });
  /** A pod that writes its name to the claim and stays. */
  const pod = (name: string, claimName: string, options: { readOnly?: boolean; spec?: object } = {}): Promise<Pod> =>
    client.create('pods', {
      metadata: { name, namespace: 'default' },
      spec: {
        containers: [
          {
            name: 'main',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: ['sh', '-c', `echo ${name} >> /data/names; ls /data > /dev/termination-log; exec sleep 1000`],
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
        volumes: [{ name: 'data', persistentVolumeClaim: { claimName, readOnly: options.readOnly ?? false } }],
        terminationGracePeriodSeconds: 0,
        ...options.spec,
      },
    });
  const ready = (name: string): Promise<Pod> =>
    until(
      async () => {
        const found = await client.get('pods', `default/${name}`);
        return found !== undefined && isReady(found) ? found : undefined;
      },
      { timeoutMs: 20_000, what: `${name} ready` },
    );
  const gone = async (name: string): Promise<void> => {
    await client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
    await until(async () => (await client.get('pods', `default/${name}`)) === undefined, { what: `${name} gone` });
  };
  const why = async (name: string): Promise<string> => {
    const found = await client.get('pods', `default/${name}`);
    return (found && conditionOf(found.status, 'PodScheduled')?.message) ?? '';
  };
  const diskOf = async (name: string): Promise<string> => {
    const volume = (await client.get('persistentvolumeclaims', `default/${name}`))?.spec.volumeName ?? '';
    return join(cluster.dataDir, 'node/disks', volume);
  };
  const names = (path: string): readonly string[] =>
    readFileSync(join(path, 'names'), 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  const written = (path: string, ...want: readonly string[]): Promise<unknown> =>
    until(() => names(path).join() === want.join(), {
      what: () => `${want.join()} on the disk: ${names(path).join()}`,
    });

  it('has a default class, and makes a disk for the first pod that the next one finds', async () => {
    const classes = await cluster.troupe('get', 'sc');
    assert.match(classes.stdout, /^local \(default\) +troupe\.dev\/local +Delete +WaitForFirstConsumer +false/m);
    await claim('data');
    await until(async () => (await cluster.troupe('events', '-A')).stdout.includes('waiting for first consumer'), {
      timeoutMs: 10_000,
      what: 'the word that it waits for a pod',
    });
    const beganMs = performance.now();
    await pod('first', 'data');
    await ready('first');
    console.log(`      first pod on a new disk: ready in ${Math.round(performance.now() - beganMs)} ms`);
    const disk = await diskOf('data');
    await written(disk, 'first');
    await gone('first');
    await pod('second', 'data');
    await ready('second');
    await written(disk, 'first', 'second');
    const shown = await cluster.troupe('describe', 'pvc', 'data');
    assert.match(shown.stdout, /Used by: +second/);
  });

  it('keeps a claim and its disk while a pod uses them, and removes both after', async () => {
    await claim('data');
    await pod('user', 'data');
    await ready('user');
    const disk = await diskOf('data');
    await client.delete('persistentvolumeclaims', 'default/data');
    await pod('late', 'data');
    await until(async () => (await why('late')).includes('persistentvolumeclaim "data" is being deleted'), {
      what: 'the late pod is told',
    });
    assert.equal(existsSync(disk), true);
    await gone('user');
    await until(() => !existsSync(disk), { timeoutMs: 10_000, what: 'the disk is removed' });
    assert.equal(await client.get('persistentvolumeclaims', 'default/data'), undefined);
    await until(async () => (await why('late')).includes('persistentvolumeclaim "data" not found'), {
      what: 'the late pod is told again',
    });
  });

  it('binds a volume that a person made, and keeps its data when the claim goes', async () => {
    const path = join(folder, 'shared');
    mkdirSync(path, { mode: 0o777 });
    writeFileSync(join(path, 'names'), 'before\n');
    await client.create('persistentvolumes', {
      metadata: { name: 'shared' },
      spec: {
        capacity: { storage: '5Gi' },
        accessModes: ['ReadWriteOnce'],
        storageClassName: 'by-hand',
        local: { path },
        nodeAffinity: {
          required: {
            nodeSelectorTerms: [
              { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node-1'] }] },
            ],
          },
        },
      },
    });
    await claim('data', { storageClassName: 'by-hand' });
    await pod('user', 'data');
    // The folder is none that the operator of the node lets pods have.
    await until(async () => (await cluster.troupe('events', '-A')).stdout.includes('is not allowed on this node'), {
      timeoutMs: 10_000,
      what: 'the refusal',
    });
    await gone('user');
    await client.delete('persistentvolumeclaims', 'default/data');
    await until(async () => (await client.get('persistentvolumes', 'shared'))?.status.phase === 'Released', {
      what: 'released',
    });
    assert.deepEqual(names(path), ['before']);
  });

  it('mounts to read where the pod says so, and gives a claim for one pod to one', async () => {
    await claim('data', { accessModes: ['ReadWriteOncePod'], storageClassName: 'local' });
    await pod('owner', 'data');
    await ready('owner');
    const disk = await diskOf('data');
    await written(disk, 'owner');
    await pod('other', 'data');
    await until(async () => (await why('other')).includes('1 with a ReadWriteOncePod claim in use by another pod'), {
      what: 'the other waits',
    });
    await gone('owner');
    await ready('other');
    await written(disk, 'owner', 'other');
    await gone('other');
    await pod('reader', 'data', { readOnly: true });
    await ready('reader');
    assert.deepEqual(names(disk), ['owner', 'other']);
  });

  it('starts no pod on an empty folder where the disk has vanished', async () => {
    await claim('data');
    await pod('user', 'data');
    await ready('user');
    const disk = await diskOf('data');
    await gone('user');
    rmSync(disk, { recursive: true });
    await pod('next', 'data');
    await until(async () => (await cluster.troupe('events', '-A')).stdout.includes('is not on this node any more'), {
      timeoutMs: 10_000,
      what: 'the event',
    });
    assert.equal(existsSync(disk), false);
  });

  it('bounds a disk of a class with a file system', async () => {
    await client.create('storageclasses', {
      metadata: { name: 'bounded' },
      provisioner: 'troupe.dev/local',
      parameters: { fsType: 'ext4' },
      volumeBindingMode: 'Immediate',
    });
    await claim('data', { storageClassName: 'bounded', resources: { requests: { storage: '8Mi' } } });
    await pod('user', 'data', {
      spec: {
        containers: [
          {
            name: 'main',
            image,
            imagePullPolicy: 'IfNotPresent',
            command: [
              'sh',
              '-c',
              'dd if=/dev/zero of=/data/big bs=1M count=16; echo full >> /data/names; exec sleep 1000',
            ],
            volumeMounts: [{ name: 'data', mountPath: '/data' }],
          },
        ],
      },
    });
    await ready('user');
    const disk = await diskOf('data');
    await until(() => statSync(join(disk, 'big')).size < 8 * 2 ** 20 && existsSync(join(disk, 'names')), {
      timeoutMs: 10_000,
      what: 'the disk is full',
    });
    const file = join(dirname(disk), '.images', basename(disk));
    assert.ok(existsSync(file));
    await client.delete('persistentvolumeclaims', 'default/data');
    await gone('user');
    await until(() => !existsSync(disk) && !existsSync(file), { timeoutMs: 10_000, what: 'all removed' });
  });

  it('goes on where the agent or the controller was killed', async () => {
    cluster.kill('persistent-volume-controller');
    await claim('data');
    await pod('user', 'data');
    cluster.kill('node-agent');
    await ready('user');
    const disk = await diskOf('data');
    await written(disk, 'user');
    await client.delete('persistentvolumeclaims', 'default/data');
    await client.delete('pods', 'default/user', { gracePeriodSeconds: 1 });
    cluster.kill('node-agent');
    cluster.kill('persistent-volume-controller');
    await until(() => !existsSync(disk), { timeoutMs: 30_000, what: 'the disk is removed' });
  });
});
