import { makeKey } from '../../lib/api/keys.ts';
import type { PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '../../lib/api/objects.ts';
import { isTerminal } from '../../lib/api/pods.ts';
import { canReach, claimKeysOf, isBoundClaim, isOwnedBy, isProvisioned } from '../../lib/api/storage.ts';
import type { Disks } from '../disks/disks.ts';
import { driverFor, VolumeError, type PreparedVolume, type VolumeDriver, type VolumeRequest } from './driver.ts';
import { isMounted } from './mounts.ts';
import { giveToGroup } from './ownership.ts';

export interface ClaimOptions {
  readonly nodeName: string;
  readonly disks: Disks;
  /** Those of the other kinds: a volume of the cluster is mounted as if the pod had named its source itself. */
  readonly drivers: ReadonlyMap<string, VolumeDriver>;
  /** All pods of this node. */
  readonly podsHere: () => readonly Pod[];
}

/** A disk that outlives the pod, by the claim to it. It is never removed here: that is the end of its PersistentVolume. */
export function newClaimDriver({ nodeName, disks, drivers, podsHere }: ClaimOptions): VolumeDriver {
  async function prepare(request: VolumeRequest): Promise<PreparedVolume> {
    const { pod, volume, config } = request;
    const name = volume.persistentVolumeClaim?.claimName ?? '';
    const about = `volume "${volume.name}": persistentvolumeclaim "${name}"`;
    const claim = await config.object('persistentvolumeclaims', makeKey(pod.metadata.namespace, name));
    if (claim === undefined) throw new VolumeError(`${about} not found`);
    if (!isBoundClaim(claim))
      throw new VolumeError(`${about} is not bound to a volume yet (${claim.status.phase ?? 'Pending'})`);
    const disk = await config.object('persistentvolumes', claim.spec.volumeName ?? '');
    if (disk === undefined) throw new VolumeError(`${about}: its volume "${claim.spec.volumeName ?? ''}" is gone`);
    if (!isOwnedBy(disk, claim)) throw new VolumeError(`${about}: volume "${disk.metadata.name}" is another claim's`);
    await checkPlace(request, disk, about);
    checkAlone(pod, claim, about, podsHere());
    const made = await source(request, disk, about);
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext;
    // What the node itself keeps; a file server has owners of its own, and the machine's tree is its operator's.
    if (fsGroup !== undefined && isProvisioned(disk)) await giveToGroup(made.path, fsGroup, fsGroupChangePolicy);
    return volume.persistentVolumeClaim?.readOnly === true ? { ...made, readOnly: true } : made;
  }

  /** The scheduler sees to that; a pod that names its node itself has not been there. */
  async function checkPlace({ config }: VolumeRequest, disk: PersistentVolume, about: string): Promise<void> {
    if (disk.spec.nodeAffinity === undefined) return;
    const labels = (await config.object('nodes', nodeName))?.metadata.labels ?? {};
    if (!canReach(disk, { name: nodeName, labels }))
      throw new VolumeError(`${about}: volume "${disk.metadata.name}" cannot be reached from node "${nodeName}"`);
  }

  async function source(request: VolumeRequest, disk: PersistentVolume, about: string): Promise<PreparedVolume> {
    const { name } = disk.metadata;
    if (isProvisioned(disk)) {
      const path = await disks.find(name);
      if (path !== undefined) return { path };
      throw new VolumeError(
        `${about}: the disk of volume "${name}" is not on this node any more (${disks.folder}/${name})`,
      );
    }
    const volume = asPodVolume(request.volume.name, disk);
    return driverFor(drivers, volume).prepare({ ...request, volume });
  }

  return {
    kind: 'persistentVolumeClaim',
    prepare,
    async isInPlace({ folder }, made) {
      const isOfPod = made.path === folder || made.path.startsWith(`${folder}/`);
      if (isOfPod) return isMounted(made.path);
      return disks.isInPlace(made.path);
    },
    async release(place, made) {
      for (const kind of ['nfs', 'gcePersistentDisk']) await drivers.get(kind)?.release(place, made);
    },
  };
}

/** The volume as a pod would name it. A folder of a static local volume must be there. */
function asPodVolume(name: string, { spec }: PersistentVolume): Volume {
  const { local, hostPath, nfs, gcePersistentDisk } = spec;
  if (local !== undefined) return { name, hostPath: { path: local.path, type: 'Directory' } };
  return {
    name,
    ...(hostPath === undefined ? {} : { hostPath }),
    ...(nfs === undefined ? {} : { nfs }),
    ...(gcePersistentDisk === undefined ? {} : { gcePersistentDisk }),
  };
}

/** ReadWriteOncePod: the pod that was made first has it. */
function checkAlone(pod: Pod, claim: PersistentVolumeClaim, about: string, here: readonly Pod[]): void {
  if (!claim.spec.accessModes.includes('ReadWriteOncePod')) return;
  const key = makeKey(claim.metadata.namespace, claim.metadata.name);
  const first = here
    .filter((other) => !isTerminal(other) && claimKeysOf(other).includes(key))
    .toSorted((a, b) => (rankOf(a) < rankOf(b) ? -1 : 1))[0];
  if (first !== undefined && first.metadata.uid !== pod.metadata.uid)
    throw new VolumeError(`${about} is for one pod (ReadWriteOncePod), and pod "${first.metadata.name}" uses it`);
}
const rankOf = ({ metadata }: Pod): string => `${metadata.creationTimestamp} ${metadata.uid}`;
