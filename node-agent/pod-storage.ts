import { chmod, chown, lstat, mkdir, readFile, readdir, rm, writeFile, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { unitsOf } from '../lib/api/quantity.ts';
import type { Container, Pod, Quantity, Volume } from '../lib/api/objects.ts';
import { runCommand } from './network/run-command.ts';
import type { PodFiles } from './pod-files.ts';
import type { ContainerSpec } from './runtime/runtime.ts';
import { projectedFiles, type ConfigReader, type ProjectedFile } from './volume-files.ts';

/** A pod's folder on the node: its volumes, the files in /etc, termination messages. Verbs may be repeated. */
export interface PodStorage {
  /** Makes the volumes (F174, F175). Rejects with VolumeError where one cannot be made. */
  prepare(pod: Pod, config: ConfigReader): Promise<void>;
  /** The mounts of one container's attempt; makes its message file. */
  mounts(pod: Pod, container: Container, attempt: number): Promise<ContainerSpec['mounts']>;
  writeFiles(pod: Pod, files: PodFiles): Promise<void>;
  /** What a container left at its terminationMessagePath; at most 4 kB. */
  message(podUid: string, container: string, attempt: number): Promise<string>;
  /** Removes all of it. */
  remove(podUid: string): Promise<void>;
  /** The pods that have a folder. */
  list(): Promise<readonly string[]>;
}

export class VolumeError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VolumeError';
  }
}

const maxMessageBytes = 4096;

export function newDiskStorage(dataDir: string): PodStorage {
  const root = join(dataDir, 'pods');
  const folder = (uid: string): string => join(root, uid);
  const etc = (uid: string): string => join(folder(uid), 'etc');
  const volumePath = (uid: string, name: string): string => join(folder(uid), 'volumes', name);
  const messagePath = (uid: string, container: string, attempt: number): string =>
    join(folder(uid), 'messages', `${container}_${attempt}`);

  async function prepareVolume(pod: Pod, volume: Volume, config: ConfigReader): Promise<void> {
    const path = volumePath(pod.metadata.uid, volume.name);
    if (volume.hostPath !== undefined) return ensureHostPath(volume.hostPath.path, volume.hostPath.type ?? '');
    if (volume.emptyDir !== undefined) {
      await mkdir(path, { recursive: true });
      if (volume.emptyDir.medium === 'Memory') await mountMemory(path, volume.emptyDir.sizeLimit);
      await openTo(path, pod);
      return;
    }
    const files = await projectedFiles(pod, volume, config);
    if (files === undefined)
      throw new VolumeError(`volume "${volume.name}": ${kindOf(volume)} volumes are not supported on this node`);
    await mkdir(path, { recursive: true });
    if (volume.secret !== undefined) await mountMemory(path, '1Mi');
    await writeAll(path, files);
  }

  return {
    async prepare(pod, config) {
      await mkdir(join(folder(pod.metadata.uid), 'messages'), { recursive: true });
      await Promise.all((pod.spec.volumes ?? []).map((volume) => prepareVolume(pod, volume, config)));
    },
    async mounts(pod, container, attempt) {
      const { uid } = pod.metadata;
      const message = messagePath(uid, container.name, attempt);
      await mkdir(dirname(message), { recursive: true });
      await (await open(message, 'a', 0o666)).close();
      await chmod(message, 0o666);
      const list = [
        { source: join(etc(uid), 'hostname'), target: '/etc/hostname', readOnly: false },
        { source: join(etc(uid), 'hosts'), target: '/etc/hosts', readOnly: false },
        { source: join(etc(uid), 'resolv.conf'), target: '/etc/resolv.conf', readOnly: false },
        { source: message, target: container.terminationMessagePath, readOnly: false },
      ];
      for (const mount of container.volumeMounts ?? []) {
        const volume = pod.spec.volumes?.find((candidate) => candidate.name === mount.name);
        if (volume === undefined)
          throw new VolumeError(`container "${container.name}" mounts "${mount.name}", which is no volume of the pod`);
        const base = volume.hostPath?.path ?? volumePath(uid, mount.name);
        const source = mount.subPath === undefined || mount.subPath === '' ? base : join(base, mount.subPath);
        if (source !== base) await ensureHostPath(source, 'DirectoryOrExisting');
        list.push({ source, target: mount.mountPath, readOnly: mount.readOnly ?? false });
      }
      // A mount of the pod's own at the same place wins.
      const targets = new Set((container.volumeMounts ?? []).map((mount) => mount.mountPath));
      return list.filter((mount, index) => index >= 4 || !targets.has(mount.target));
    },
    async writeFiles(pod, files) {
      const path = etc(pod.metadata.uid);
      await mkdir(path, { recursive: true });
      await Promise.all([
        writeFile(join(path, 'hostname'), files.hostname),
        writeFile(join(path, 'hosts'), files.hosts),
        writeFile(join(path, 'resolv.conf'), files.resolvConf),
      ]);
    },
    async message(podUid, container, attempt) {
      const text = await readFile(messagePath(podUid, container, attempt)).catch(() => Buffer.alloc(0));
      return text.subarray(0, maxMessageBytes).toString('utf8');
    },
    async remove(podUid) {
      for (const path of await mountsUnder(folder(podUid))) {
        const { exitCode, stderr } = await runCommand('umount', [path]);
        if (exitCode !== 0) throw new VolumeError(`${path} cannot be unmounted: ${stderr.trim()}`); // never delete through a mount
      }
      await rm(folder(podUid), { recursive: true, force: true });
    },
    list: () => readdir(root).catch(() => []),
  };
}

/** Storage that keeps nothing: for pods whose containers are not real. */
export function newFakeStorage(): PodStorage {
  return {
    prepare: async () => undefined,
    mounts: async () => [],
    writeFiles: async () => undefined,
    message: async () => '',
    remove: async () => undefined,
    list: async () => [],
  };
}

const kindOf = (volume: Volume): string => Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';

async function mountMemory(path: string, size: Quantity | undefined): Promise<void> {
  if ((await mountsUnder(path)).includes(path)) return;
  const options = size === undefined ? 'mode=0777' : `mode=0777,size=${Math.max(4096, unitsOf(size))}`;
  const { exitCode, stderr } = await runCommand('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path]);
  if (exitCode !== 0) throw new VolumeError(`memory cannot be mounted on ${path}: ${stderr.trim()}`);
}

/** Any user of the pod may write; with fsGroup, its group owns what is made there. */
async function openTo(path: string, pod: Pod): Promise<void> {
  const { fsGroup } = pod.spec.securityContext;
  if (fsGroup !== undefined) await chown(path, 0, fsGroup);
  await chmod(path, fsGroup === undefined ? 0o777 : 0o2777);
}

async function writeAll(path: string, files: readonly ProjectedFile[]): Promise<void> {
  for (const file of files) {
    const target = join(path, file.path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, file.data, { mode: file.mode });
    await chmod(target, file.mode); // whatever our umask is
  }
}

type Check = (found: Awaited<ReturnType<typeof lstat>>) => boolean;
const hostPathChecks: Readonly<Record<string, Check>> = {
  Directory: (found) => found.isDirectory(),
  File: (found) => found.isFile(),
  Socket: (found) => found.isSocket(),
  CharDevice: (found) => found.isCharacterDevice(),
  BlockDevice: (found) => found.isBlockDevice(),
};

/** By hostPath.type (API spec 3.3): makes what it says may be made, refuses what is not there or is something else. */
async function ensureHostPath(path: string, type: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  const mayMakeFolder = type === '' || type.startsWith('DirectoryOr');
  if (found === undefined && mayMakeFolder) {
    await mkdir(path, { recursive: true, mode: 0o755 });
    return;
  }
  if (found === undefined && type === 'FileOrCreate') {
    await (await open(path, 'a', 0o644)).close();
    return;
  }
  if (found === undefined)
    throw new VolumeError(
      `hostPath "${path}" does not exist on the node, and its type ${type} does not let it be made`,
    );
  const wanted = type === 'DirectoryOrCreate' ? 'Directory' : type === 'FileOrCreate' ? 'File' : type;
  if (hostPathChecks[wanted]?.(found) === false) throw new VolumeError(`hostPath "${path}" is not of type ${type}`);
}

async function mountsUnder(path: string): Promise<readonly string[]> {
  const table = await readFile('/proc/self/mounts', 'utf8');
  return table
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((mounted) => mounted === path || mounted.startsWith(`${path}/`))
    .toSorted((a, b) => b.length - a.length);
}
