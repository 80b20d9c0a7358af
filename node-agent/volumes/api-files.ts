import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Volume } from '../../lib/api/objects.ts';
import type { VolumeDriver } from './driver.ts';
import { isMounted, mount } from './mounts.ts';
import { projectedFiles, type ProjectedFile } from './projection.ts';
import { removeTree } from './removal.ts';

/** Volumes filled with what the API holds. Secrets stay in memory. */
export const apiFileDrivers: readonly VolumeDriver[] = ['configMap', 'secret', 'downwardAPI', 'projected'].map(
  (kind): VolumeDriver => ({
    kind,
    async prepare({ pod, volume, config, folder }) {
      const files = await projectedFiles(pod, volume, config);
      await mkdir(folder, { recursive: true });
      if (isSecret(volume) && !(await isMounted(folder)))
        await mount(folder, { type: 'tmpfs', source: 'tmpfs', options: ['mode=0755', 'size=1m'] });
      await writeAll(folder, files ?? []);
      return { path: folder };
    },
    async isInPlace({ folder, volume }) {
      return isSecret(volume) ? isMounted(folder) : existsSync(folder);
    },
    release: ({ folder }) => removeTree(folder),
  }),
);

const isSecret = (volume: Volume): boolean => volume.secret !== undefined;

async function writeAll(path: string, files: readonly ProjectedFile[]): Promise<void> {
  for (const file of files) {
    const target = join(path, file.path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, file.data, { mode: file.mode });
    await chmod(target, file.mode); // whatever our umask is
  }
}
