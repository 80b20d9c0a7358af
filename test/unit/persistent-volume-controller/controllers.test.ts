import fc from 'fast-check';
import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { PersistentVolume, PersistentVolumeClaim } from '../../../lib/api/objects.ts';
import { diskFinalizer, isOwnedBy, selectedNodeAnnotation, volumeProtection } from '../../../lib/api/storage.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { newClaimController } from '../../../services/persistent-volume-controller/claim-controller.ts';
import { ensureDefaultClass } from '../../../services/persistent-volume-controller/default-class.ts';
import { isFree, mismatch } from '../../../lib/api/volume-matching.ts';
import {
  claimIndexes,
  podIndexes,
  volumeIndexes,
  type Parts,
} from '../../../services/persistent-volume-controller/parts.ts';
import { isMade } from '../../../services/persistent-volume-controller/reconcile-claim.ts';
import { newVolumeController } from '../../../services/persistent-volume-controller/volume-controller.ts';
import { wakeClaims, wakeVolumes } from '../../../services/persistent-volume-controller/wake.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNode, aPod } from '../../support/builders.ts';
import { aClaim, aVolume, refOf } from '../../support/storage-builders.ts';
import { until } from '../../support/until.ts';

/** Both loops, with views of their own, as one process of the service. */
function start(api: ApiInProcess, client: Parts['client'] = api.client): () => Promise<void> {
  const parts: Parts = {
    ...{ client, recorder: api.recorder, clock: api.clock },
    claims: api.view('persistentvolumeclaims', { indexes: claimIndexes }),
    volumes: api.view('persistentvolumes', { indexes: volumeIndexes }),
    classes: api.view('storageclasses'),
    nodes: api.view('nodes'),
    pods: api.view('pods', { indexes: podIndexes }),
  };
  const stops = [
    api.run({
      controller: newClaimController(parts),
      keys: () => parts.claims.list().map(keyOf),
      wake: (queue) => wakeClaims(queue, parts),
    }),
    api.run({
      controller: newVolumeController(parts),
      keys: () => parts.volumes.list().map(keyOf),
      wake: (queue) => wakeVolumes(queue, parts),
    }),
  ];
  return async () => void (await Promise.all(stops.map((stop) => stop())));
}

/** What the agent of every node does: makes disks, and removes them. Resolves to the agents' end. */
function actAsAgents(api: ApiInProcess): () => void {
  const volumes = api.view('persistentvolumes');
  const act = async (volume: PersistentVolume): Promise<void> => {
    const { metadata } = volume;
    const finalizers = metadata.finalizers ?? [];
    const isGoing = metadata.deletionTimestamp !== undefined;
    if (!isGoing && !isMade(volume))
      await api.client.update('persistentvolumes', {
        ...volume,
        metadata: { ...metadata, finalizers: [...finalizers, diskFinalizer] },
      });
    if (isGoing && finalizers.includes(diskFinalizer) && !finalizers.includes(volumeProtection))
      await api.client.update('persistentvolumes', { ...volume, metadata: { ...metadata, finalizers: [] } });
  };
  return volumes.onChange(({ after }) => {
    if (after !== undefined) void act(after).catch(() => undefined); // the next change brings it back
  });
}

describe('persistent-volume-controller on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
  });
  afterEach(() => api.stop());

  const claim = (name = 'data'): Promise<PersistentVolumeClaim | undefined> =>
    api.client.get('persistentvolumeclaims', `default/${name}`);
  const volume = (name = 'disk'): Promise<PersistentVolume | undefined> => api.client.get('persistentvolumes', name);
  const claimIs = (phase: string): Promise<boolean> =>
    until(async () => (await claim())?.status.phase === phase, { what: () => `the claim to be ${phase}` });
  const volumeIs = (phase: string, name = 'disk'): Promise<boolean> =>
    until(async () => (await volume(name))?.status.phase === phase, { what: () => `${name} to be ${phase}` });
  const node = aNode({
    name: 'n1',
    labels: { 'kubernetes.io/hostname': 'n1' },
    annotations: { 'troupe.dev/disks-folder': '/data/disks' },
  });

  it('binds a claim to a volume, keeps the data when the claim goes, and gives the volume on when told to', async () => {
    start(api);
    await api.put('persistentvolumes', aVolume());
    await volumeIs('Available');
    const made = await api.put('persistentvolumeclaims', aClaim());
    await claimIs('Bound');
    await volumeIs('Bound');
    const bound = await claim();
    assert.deepEqual(
      [bound?.spec.volumeName, bound?.status.capacity, bound?.status.accessModes],
      ['disk', { storage: '1Gi' }, ['ReadWriteOnce']],
    );
    assert.deepEqual((await volume())?.spec.claimRef, refOf(made));

    await api.client.delete('persistentvolumeclaims', 'default/data');
    await volumeIs('Released');
    assert.equal(await claim(), undefined);
    await api.put('persistentvolumeclaims', aClaim());
    await until(() => api.told.some((line) => line.includes('FailedBinding')), { what: 'the new claim waits' });
    await api.client.patch('persistentvolumes', 'disk', { spec: { claimRef: null } });
    await claimIs('Bound');
  });

  it('has a disk made on the chosen node, and removed with its claim', async () => {
    start(api);
    actAsAgents(api);
    await ensureDefaultClass(api.client);
    await api.put('nodes', node);
    const made = await api.put('persistentvolumeclaims', aClaim({ className: undefined }));
    await until(() => api.told.some((line) => line.includes('WaitForFirstConsumer')), { what: 'it waits for a pod' });
    await api.client.patch('persistentvolumeclaims', 'default/data', {
      metadata: { annotations: { [selectedNodeAnnotation]: 'n1' } },
    });
    await claimIs('Bound');
    const name = `pvc-${made.metadata.uid}`;
    await volumeIs('Bound', name);
    const { spec } = (await volume(name)) ?? assert.fail();
    assert.deepEqual(
      [spec.local?.path, spec.storageClassName, spec.persistentVolumeReclaimPolicy],
      [`/data/disks/${name}`, 'local', 'Delete'],
    );
    await api.client.delete('persistentvolumeclaims', 'default/data');
    await until(async () => (await volume(name)) === undefined, { what: 'the volume gone' });
  });

  it('does not wait for the disk of a node that is gone', async () => {
    start(api);
    const end = actAsAgents(api);
    await ensureDefaultClass(api.client);
    await api.put('nodes', node);
    await api.put(
      'persistentvolumeclaims',
      aClaim({ className: 'local', annotations: { [selectedNodeAnnotation]: 'n1' } }),
    );
    await claimIs('Bound');
    const name = (await claim())?.spec.volumeName ?? '';
    end();
    await api.client.delete('nodes', 'n1');
    await api.client.delete('persistentvolumeclaims', 'default/data');
    await until(async () => (await volume(name)) === undefined, { what: 'given up' });
  });

  it('lets a claim go only when no pod uses it, and a volume only when no claim has it', async () => {
    start(api);
    await api.put('persistentvolumes', aVolume());
    await api.put('persistentvolumeclaims', aClaim());
    await claimIs('Bound');
    const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }];
    await api.put('pods', aPod({ name: 'web', nodeName: 'n1', spec: { volumes } }));
    await api.client.delete('persistentvolumeclaims', 'default/data');
    await api.client.delete('persistentvolumes', 'disk');
    await api.put('persistentvolumes', aVolume({ name: 'marker' }));
    await volumeIs('Available', 'marker');
    assert.notEqual(await claim(), undefined);
    assert.notEqual(await volume(), undefined);
    await api.client.delete('pods', 'default/web', { gracePeriodSeconds: 0 });
    await until(async () => (await claim()) === undefined && (await volume()) === undefined, { what: 'both gone' });
  });

  it('never gives one volume to two claims, whatever is lost between two writes, and comes to rest', async function () {
    this.timeout(60_000);
    const sizes = fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 4 });
    const failures = fc.array(fc.constantFrom('ok', 'ok', 'ok', 'before', 'after'), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(sizes, sizes, failures, async (claimed, offered, losses) => {
        const world = await ApiInProcess.start();
        try {
          for (const [i, size] of offered.entries())
            await world.put('persistentvolumes', aVolume({ name: `disk-${i}`, size: `${size}Gi` }));
          const fates = [...losses];
          const stops = [start(world, losing(world, fates)), start(world, losing(world, fates))]; // two at once: worse than any change of leaders
          for (const [i, size] of claimed.entries())
            await world.put('persistentvolumeclaims', aClaim({ name: `data-${i}`, size: `${size}Gi` }));
          await until(async () => isSettled(await snapshot(world)), {
            what: 'all claims and volumes at rest',
            timeoutMs: 20_000,
          });
          await Promise.all(stops.map((stop) => stop()));
          const { claims, volumes } = await snapshot(world);
          const taken = claims.flatMap(({ spec }) => spec.volumeName ?? []);
          assert.equal(new Set(taken).size, taken.length, 'a volume has two claims');
          assert.equal(volumes.filter(({ spec }) => spec.claimRef !== undefined).length, taken.length);
        } finally {
          await world.stop();
        }
      }),
      { numRuns: 25 },
    );
  });
});

interface Snapshot {
  readonly claims: readonly PersistentVolumeClaim[];
  readonly volumes: readonly PersistentVolume[];
}
const snapshot = async (api: ApiInProcess): Promise<Snapshot> => ({
  claims: (await api.client.list('persistentvolumeclaims')).items,
  volumes: (await api.client.list('persistentvolumes')).items,
});

/** Every claim has its volume and both say so, or there is none left that would do; no volume is held for nobody. */
function isSettled({ claims, volumes }: Snapshot): boolean {
  const isClaimSettled = (claim: PersistentVolumeClaim): boolean => {
    const volume = volumes.find(({ metadata }) => metadata.name === claim.spec.volumeName);
    if (volume === undefined)
      return !volumes.some((other) => isFree(other) && mismatch(claim, other, '') === undefined);
    return claim.status.phase === 'Bound' && volume.status.phase === 'Bound' && isOwnedBy(volume, claim);
  };
  const isVolumeSettled = ({ metadata, spec, status }: PersistentVolume): boolean =>
    spec.claimRef === undefined
      ? status.phase === 'Available'
      : claims.some((claim) => claim.spec.volumeName === metadata.name);
  return claims.every(isClaimSettled) && volumes.every(isVolumeSettled);
}

/** Loses calls as a crash does: before the write was done, or after it and before the answer came. */
function losing(api: ApiInProcess, fates: string[]): Parts['client'] {
  const { client } = api;
  const lost = async <T>(work: () => Promise<T>): Promise<T> => {
    const fate = fates.shift();
    if (fate === 'before') throw new ApiError('ServiceUnavailable', 'lost on the way there');
    const result = await work();
    if (fate === 'after') throw new ApiError('ServiceUnavailable', 'lost on the way back');
    return result;
  };
  return {
    get: (resource, key) => client.get(resource, key),
    list: (resource, options) => client.list(resource, options),
    create: (...args) => lost(() => client.create(...args)),
    update: (...args) => lost(() => client.update(...args)),
    updateStatus: (...args) => lost(() => client.updateStatus(...args)),
    delete: (...args) => lost(() => client.delete(...args)),
  };
}
