import { chmod, lstat, mkdir, rename, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { runCommand } from '../network/run-command.ts';
import { VolumeError } from '../volumes/driver.ts';
import { isMounted, mount, unmountAll } from '../volumes/mounts.ts';
import { removeTree } from '../volumes/removal.ts';

export interface Disk {
  /** That of its PersistentVolume. */
  readonly name: string;
  /** A file system of its own in a file of `sizeBytes`, which is then all there is to it; undefined: a folder without a limit. */
  readonly fsType?: string | undefined;
  readonly sizeBytes: number;
}

/** The disks of this node that outlive pods, by the names of their volumes. Verbs may be repeated. */
export interface Disks {
  /** Absolute; where the disks are. */
  readonly folder: string;
  /** Makes an empty disk to which any user may write; one that is there stays as it is. Rejects with VolumeError. */
  make(disk: Disk): Promise<void>;
  /** Takes back a disk that no pod has had; a folder that holds anything stays. */
  unmake(name: string): Promise<void>;
  /** Where pods find the disk, mounted where it has a file system of its own; undefined when it is not there. */
  find(name: string): Promise<string | undefined>;
  /** Whether pods would find it without anything being done. */
  isInPlace(path: string): Promise<boolean>;
  /** Removes a disk and all that is on it. Rejects with VolumeError while something cannot be removed. */
  remove(name: string): Promise<void>;
  /** Leaves no mount behind; the data stays. */
  unmount(): Promise<void>;
}

const makeMs = 60_000;

/**
 * Disks in `<dataDir>/disks`, which is made where it is missing: the folder `<name>`, and for a disk that has a file system of its own
 * `.images/<name>`, which is mounted on the folder. No volume has a name that begins with a dot.
 */
export function newDisks(dataDir: string): Disks {
  const top = join(dataDir, 'disks');
  mkdirSync(top, { recursive: true, mode: 0o711 });
  const folder = realpathSync(top);
  const pathOf = (name: string): string => join(folder, name);
  const images = join(folder, '.images');
  const imageOf = (path: string): string => join(images, basename(path));

  /** Whole or not at all: what a crash leaves has another name. */
  async function makeImage(path: string, { fsType = '', sizeBytes }: Disk): Promise<void> {
    await mkdir(images, { recursive: true, mode: 0o700 });
    const draft = join(images, `.${basename(path)}`);
    await writeFile(draft, '', { mode: 0o600 });
    await truncate(draft, sizeBytes);
    const { exitCode, stderr } = await runCommand(`mkfs.${fsType}`, ['-q', '-m', '0', draft], { timeoutMs: makeMs });
    if (exitCode !== 0) {
      await rm(draft, { force: true });
      const why = stderr.trim().split('\n')[0] ?? '';
      throw new VolumeError(`a file system ${fsType} of ${sizeBytes} bytes cannot be made: ${why}`);
    }
    await rename(draft, imageOf(path));
  }

  async function mountImage(path: string): Promise<void> {
    if (isMounted(path)) return;
    await mkdir(path).catch(unless('EEXIST'));
    await mount(path, { type: 'auto', source: imageOf(path), options: ['loop'], timeoutMs: makeMs });
  }

  return {
    folder,
    async make(disk) {
      const path = pathOf(disk.name);
      if (disk.fsType === undefined) await mkdir(path).catch(unless('EEXIST'));
      else {
        if (!existsSync(imageOf(path))) await makeImage(path, disk);
        await mountImage(path);
      }
      await chmod(path, 0o777);
    },
    async unmake(name) {
      const path = pathOf(name);
      if (existsSync(imageOf(path))) return this.remove(name);
      await rmdir(path).catch(unless('ENOENT', 'ENOTEMPTY'));
    },
    async find(name) {
      const path = pathOf(name);
      if (existsSync(imageOf(path))) await mountImage(path);
      return (await lstat(path).catch(() => undefined))?.isDirectory() === true ? path : undefined;
    },
    isInPlace: async (path) =>
      dirname(path) === folder && existsSync(imageOf(path)) ? isMounted(path) : existsSync(path),
    async remove(name) {
      const path = pathOf(name);
      await removeTree(path);
      await rm(imageOf(path), { force: true });
    },
    unmount: () => unmountAll(folder),
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
    make: async ({ name }) => void names.add(name),
    unmake: async (name) => void names.delete(name),
    find: async (name) => (names.has(name) ? join(folder, name) : undefined),
    isInPlace: async (path) => names.has(path.slice(folder.length + 1)),
    remove: async (name) => void names.delete(name),
    unmount: async () => undefined,
  };
}
