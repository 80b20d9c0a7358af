import { existsSync } from 'node:fs';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Volume } from '../../lib/api/objects.ts';
import { VolumeError, type VolumeDriver, type VolumeRequest } from './driver.ts';
import { writeTree, type TreeFile } from './file-tree.ts';
import type { MemoryFiles } from './memory-files.ts';
import { isMounted } from './mounts.ts';
import { projectedFiles, type Projection } from './projection.ts';
import { removeOwnFiles } from './removal.ts';

/**
 * Volumes filled with what the API holds, and kept as it is there: all files of a volume change at one moment. Containers can only read
 * them. Secrets are in memory.
 */
export function newApiFileDrivers(memory: MemoryFiles): readonly VolumeDriver[] {
  /** An earlier agent mounted a file system in memory on the folder of each such volume: what runs keeps it. */
  const folderOf = ({ volume, podUid, name, folder }: Pick<VolumeRequest, 'volume' | 'podUid' | 'name' | 'folder'>) =>
    isSecret(volume) && !isMounted(folder) ? memory.folder({ podUid, name }) : folder;

  return ['configMap', 'secret', 'downwardAPI', 'projected'].map((kind): VolumeDriver => ({
    kind,
    async prepare(request) {
      const { volume, pod } = request;
      const files = await projectedFiles(pod, volume, request.config); // first: what is missing leaves nothing behind
      checkSize(volume, files);
      const folder = folderOf(request);
      if (folder === request.folder) await mkdir(folder, { recursive: true });
      else await memory.prepare(request);
      const { fsGroup } = pod.spec.securityContext;
      if (fsGroup !== undefined) await chown(folder, 0, fsGroup);
      await chmod(folder, 0o755);
      await write(request, folder, files);
      return { path: folder, readOnly: true };
    },
    async isInPlace(wanted, { path }) {
      const isThere = path === wanted.folder ? !isSecret(wanted.volume) || isMounted(path) : memory.isMounted();
      return isThere && existsSync(join(path, '..data'));
    },
    async update(request) {
      const files = await projectedFiles(request.pod, request.volume, request.config);
      checkSize(request.volume, files);
      return write(request, folderOf(request), files);
    },
    async release(place) {
      await memory.release(place);
      await removeOwnFiles(place.folder); // containers can only read them
    },
  }));

  async function write({ pod, volume }: VolumeRequest, folder: string, files: readonly TreeFile[]): Promise<boolean> {
    try {
      return await writeTree(folder, files, { group: pod.spec.securityContext.fsGroup });
    } catch (error) {
      if (error instanceof VolumeError)
        throw new VolumeError(`volume "${volume.name}": ${error.message}`, { cause: error });
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC' || !isSecret(volume)) throw error;
      const all = `${Math.floor(memory.bytes / 2 ** 20)} MiB of memory that this node has for the files of all its pods`;
      throw new VolumeError(`volume "${volume.name}": does not fit into what is left of the ${all}`, { cause: error });
    }
  }
}

/** Two revisions of a volume exist for a moment, and those of all pods share one memory. */
const maxVolumeBytes = 32 * 2 ** 20;

function checkSize({ name }: Volume, files: readonly TreeFile[]): void {
  const bytes = files.reduce((sum, { data }) => sum + data.length, 0);
  if (bytes <= maxVolumeBytes) return;
  throw new VolumeError(`volume "${name}": its files have ${bytes} bytes, and ${maxVolumeBytes} (32 MiB) is the most`);
}

const isSecret = ({ secret, projected }: Volume): boolean =>
  secret !== undefined ||
  ((projected?.sources ?? []) as readonly Projection[]).some(
    (source) => source.secret !== undefined || source.serviceAccountToken !== undefined,
  );
