import { mkdirSync, realpathSync } from 'node:fs';
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { VolumePlace } from './driver.ts';
import { isMounted, mountMemory, unmountAll } from './mounts.ts';
import { removeOwnFiles } from './removal.ts';

/**
 * Files of pods that must not reach a disk: one file system in memory for the whole node, out of swap where the kernel can
 * do that, since a mount for each volume costs more than all that is written into it. Only root enters it from the
 * machine's side; pods get their own folders of it.
 *
 *   <data>/memory/<pod's uid>/<volume>
 */
export interface MemoryFiles {
  /** The folder of one volume; made, with the file system below it where that is missing. A second call changes nothing. */
  prepare(place: VolumePlace): Promise<string>;
  /** Where that folder is; it need not exist. */
  folder(place: Pick<VolumePlace, 'podUid' | 'name'>): string;
  /** Whether the file system is there. */
  isMounted(): boolean;
  /** Mounts the file system; where it is there already, with whatever is in it, it is kept. */
  mount(): Promise<void>;
  /** Removes one volume. */
  release(place: Pick<VolumePlace, 'podUid' | 'name'>): Promise<void>;
  /** The folder of all volumes of one pod. */
  podFolder(podUid: string): string;
  /** Gives back what the volumes of one pod take. Their folders stay: the engine mounts them once more to read files of a container that has ended. */
  empty(podUid: string): Promise<void>;
  /** Removes all volumes of one pod. */
  remove(podUid: string): Promise<void>;
  /** The pods that have a folder. */
  list(): Promise<readonly string[]>;
  /** Takes the file system away, with all that is in it. */
  unmount(): Promise<void>;
  /** How much fits into it, for all pods of the node together. */
  readonly bytes: number;
}

/** Below it hardly a pod could start; above it a node of pods could be brought down by files of a few. */
const leastBytes = 64 * 2 ** 20;
const shareOfMachine = 1 / 4;

/** The files in memory of the agent whose data is in `dataDir`, which is made where it is missing. Nothing is mounted yet. */
export function newMemoryFiles(dataDir: string, machineBytes: number = totalmem()): MemoryFiles {
  mkdirSync(join(dataDir, 'memory'), { recursive: true, mode: 0o700 });
  const root = realpathSync(join(dataDir, 'memory')); // as the kernel's table of mounts names it
  const bytes = Math.max(leastBytes, Math.floor(machineBytes * shareOfMachine));
  const podFolder = (podUid: string): string => join(root, podUid);
  const folder = ({ podUid, name }: Pick<VolumePlace, 'podUid' | 'name'>): string => join(podFolder(podUid), name);

  let mounting: Promise<void> | undefined;
  /** Pods that start beside each other must not cover each other's files with a second mount. */
  const mount = (): Promise<void> => {
    if (mounting === undefined && isMounted(root)) return Promise.resolve();
    return (mounting ??= mountMemory(root, 0o700, bytes).finally(() => {
      mounting = undefined;
    }));
  };

  return {
    bytes,
    folder,
    podFolder,
    mount,
    isMounted: () => isMounted(root),
    async prepare(place) {
      await mount();
      await mkdir(folder(place), { recursive: true });
      return folder(place);
    },
    async release(place) {
      await removeOwnFiles(folder(place));
      await rmdir(podFolder(place.podUid)).catch(() => undefined); // others are in it, or it is gone
    },
    async empty(podUid) {
      await unmountAll(podFolder(podUid));
      for (const name of await readdir(podFolder(podUid)).catch(() => [])) {
        const volume = folder({ podUid, name });
        for (const file of await readdir(volume)) await removeOwnFiles(join(volume, file));
      }
    },
    remove: (podUid) => removeOwnFiles(podFolder(podUid)),
    list: () => readdir(root),
    unmount: () => unmountAll(root),
  };
}
