import { readFile, statfs } from 'node:fs/promises';
import type { Room, Rooms } from './thresholds.ts';

export interface RoomOptions {
  /** Where volumes are written. */
  readonly dataDir: string;
  /** Where the engine keeps images and what containers write; it may be out of sight of an agent in a container. */
  readonly imageDir: string;
}

/** How much is left of everything that a node can run short of. Reads four files of the kernel's and asks twice for a file system: 0.6 ms of a processor. */
export async function readRooms({ dataDir, imageDir }: RoomOptions): Promise<Rooms> {
  const text = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
  const [meminfo, loadavg, pidMax, threadsMax, nodefs, imagefs] = await Promise.all([
    text('/proc/meminfo'),
    text('/proc/loadavg'),
    text('/proc/sys/kernel/pid_max'),
    text('/proc/sys/kernel/threads-max'),
    statfs(dataDir).catch(() => undefined),
    statfs(imageDir).catch(() => undefined),
  ]);
  return present({
    'memory.available': memoryRoom(meminfo),
    'pid.available': pidRoom(loadavg, pidMax, threadsMax),
    'nodefs.available': nodefs && bytesRoom(nodefs),
    'nodefs.inodesFree': nodefs && inodesRoom(nodefs),
    'imagefs.available': imagefs && bytesRoom(imagefs),
    'imagefs.inodesFree': imagefs && inodesRoom(imagefs),
  });
}

function memoryRoom(meminfo: string): Room | undefined {
  const bytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? NaN) * 1024;
  return room(bytes('MemAvailable'), bytes('MemTotal'));
}

/** `/proc/loadavg` has how many there are, threads included, as does the limit. */
function pidRoom(loadavg: string, pidMax: string, threadsMax: string): Room | undefined {
  const capacity = Math.min(Number(pidMax.trim() || NaN), Number(threadsMax.trim() || Infinity));
  return room(capacity - Number(/\/(\d+)/.exec(loadavg)?.[1] ?? NaN), capacity);
}

interface FileSystem {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}
const bytesRoom = ({ bsize, blocks, bavail }: FileSystem): Room | undefined => room(bavail * bsize, blocks * bsize);
/** Some file systems make inodes as they go: then there is no number, and no shortage. */
const inodesRoom = ({ files, ffree }: FileSystem): Room | undefined => room(ffree, files);

const room = (available: number, capacity: number): Room | undefined =>
  Number.isFinite(available) && capacity > 0 ? { available: Math.max(0, available), capacity } : undefined;

const present = (rooms: Readonly<Record<string, Room | undefined>>): Rooms =>
  Object.fromEntries(Object.entries(rooms).filter(([, value]) => value !== undefined));
