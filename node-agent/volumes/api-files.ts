import { existsSync } from 'node:fs';
import { chmod, chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Volume } from '../../lib/api/objects.ts';
import { VolumeError, type VolumeDriver, type VolumeRequest } from './driver.ts';
import { writeTree } from './file-tree.ts';
import { isMounted, mountMemory } from './mounts.ts';
import { projectedFiles, type Projection } from './projection.ts';
import { removeOwnFiles } from './removal.ts';

/**
 * Volumes filled with what the API holds, and kept as it is there: all files of a volume change at one moment. Containers can only read
 * them. Secrets stay in memory, and out of swap where the kernel can do that.
 */
export const apiFileDrivers: readonly VolumeDriver[] = ['configMap', 'secret', 'downwardAPI', 'projected'].map(
  (kind): VolumeDriver => ({
    kind,
    async prepare(request) {
      const { volume, folder, pod } = request;
      const files = await projectedFiles(pod, volume, request.config); // first: what is missing leaves nothing behind
      await mkdir(folder, { recursive: true });
      if (isSecret(volume) && !isMounted(folder)) await mountMemory(folder, 0o755, memoryBytes);
      const { fsGroup } = pod.spec.securityContext;
      if (fsGroup !== undefined) await chown(folder, 0, fsGroup);
      await chmod(folder, 0o755);
      await write(request, files);
      return { path: folder, readOnly: true };
    },
    async isInPlace({ folder, volume }) {
      return existsSync(join(folder, '..data')) && (!isSecret(volume) || isMounted(folder));
    },
    async update(request) {
      return write(request, await projectedFiles(request.pod, request.volume, request.config));
    },
    release: ({ folder }) => removeOwnFiles(folder), // containers can only read them
  }),
);

/** A bound, not a reservation: two revisions of the largest volume of many sources fit. */
const memoryBytes = 64 * 2 ** 20;

const isSecret = ({ secret, projected }: Volume): boolean =>
  secret !== undefined ||
  ((projected?.sources ?? []) as readonly Projection[]).some(
    (source) => source.secret !== undefined || source.serviceAccountToken !== undefined,
  );

async function write(
  { folder, pod, volume }: VolumeRequest,
  files: Awaited<ReturnType<typeof projectedFiles>>,
): Promise<boolean> {
  try {
    return await writeTree(folder, files, { group: pod.spec.securityContext.fsGroup });
  } catch (error) {
    if (!(error instanceof VolumeError)) throw error;
    throw new VolumeError(`volume "${volume.name}": ${error.message}`, { cause: error });
  }
}
