import { chmod, lstat, mkdir, rmdir } from 'node:fs/promises';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { removeTree } from '../volumes/removal.ts';

/** The disks of this node that outlive pods: folders by the names of their volumes. Verbs may be repeated. */
export interface Disks {
  /** Absolute; where the disks are. */
  readonly folder: string;
  /** Makes an empty disk to which any user may write; one that is there stays as it is. */
  make(name: string): Promise<void>;
  /** Takes back a disk that nobody has written to; one that holds anything stays. */
  unmake(name: string): Promise<void>;
  /** Removes a disk and all that is on it. Rejects with VolumeError while something cannot be removed. */
  remove(name: string): Promise<void>;
  has(name: string): Promise<boolean>;
}

/** Folders in `<dataDir>/disks`, which is made where it is missing. */
export function newDisks(dataDir: string): Disks {
  const path = join(dataDir, 'disks');
  mkdirSync(path, { recursive: true, mode: 0o711 });
  const folder = realpathSync(path);
  return {
    folder,
    async make(name) {
      const disk = join(folder, name);
      await mkdir(disk).catch(unless('EEXIST'));
      await chmod(disk, 0o777);
    },
    unmake: (name) => rmdir(join(folder, name)).catch(unless('ENOENT', 'ENOTEMPTY')),
    remove: (name) => removeTree(join(folder, name)),
    has: async (name) => (await lstat(join(folder, name)).catch(() => undefined))?.isDirectory() === true,
  };
}

const unless =
  (...codes: readonly string[]) =>
  (error: NodeJS.ErrnoException): void => {
    if (!codes.includes(error.code ?? '')) throw error;
  };

/** Disks that keep nothing: for nodes whose machine is not real. */
export function newFakeDisks(folder = '/disks'): Disks & { readonly names: Set<string> } {
  const names = new Set<string>();
  return {
    folder,
    names,
    make: async (name) => void names.add(name),
    unmake: async (name) => void names.delete(name),
    remove: async (name) => void names.delete(name),
    has: async (name) => names.has(name),
  };
}
