import { chmod, mkdir, open, readdir, rm, writeFile } from 'node:fs/promises';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Container, Pod } from '../lib/api/objects.ts';
import type { PodFiles } from './pod-files.ts';
import type { ContainerMount } from './runtime/runtime.ts';
import { containerMounts } from './volumes/container-mounts.ts';
import type { ConfigReader, VolumeDriver } from './volumes/driver.ts';
import { diskUsage } from './volumes/disk-usage.ts';
import type { MemoryFiles } from './volumes/memory-files.ts';
import { unmountAll } from './volumes/mounts.ts';
import { PodVolumes } from './volumes/pod-volumes.ts';
import { removeOwnFiles } from './volumes/removal.ts';

/** A pod's folder on the node: its volumes, the files in /etc, termination messages. Verbs may be repeated. */
export interface PodStorage {
  /** Makes the volumes (F174, F175). Rejects with VolumeError or ConfigMissing where one cannot be made; given up when `signal` aborts. */
  prepare(pod: Pod, config: ConfigReader, signal: AbortSignal): Promise<void>;
  /** Makes current what is filled from the API; resolves to the names of the volumes that differed. Rejects as `prepare`. */
  update(pod: Pod, config: ConfigReader, signal: AbortSignal): Promise<readonly string[]>;
  /** Whether containers are owed word of new files, through a restart of the agent; `false` after they got it. */
  oweWord(podUid: string, owed: boolean): Promise<void>;
  owesWord(podUid: string): Promise<boolean>;
  /** After a restart: whether all of the pod's volumes are as `prepare` left them. Waits for nothing that may be away. */
  isPrepared(pod: Pod): Promise<boolean>;
  /** The mounts of one container's attempt; makes its message file. Rejects with VolumeError; VolumeLost: `prepare` is due again. */
  mounts(
    pod: Pod,
    container: Container,
    start: { readonly attempt: number; readonly environment: readonly string[] },
  ): Promise<readonly ContainerMount[]>;
  writeFiles(pod: Pod, files: PodFiles): Promise<void>;
  /** What a container left at its terminationMessagePath; at most 4 kB. */
  message(podUid: string, container: string, attempt: number): Promise<string>;
  /** The bytes that a volume in the pod's folder takes on disk; undefined where that cannot be told now. */
  usage(podUid: string, volume: string): Promise<number | undefined>;
  /** Takes away what is mounted in the pod's folder, and what is in memory: nothing of the pod runs any more. What is on disk stays. */
  unmount(podUid: string): Promise<void>;
  /** Removes all of it. */
  remove(podUid: string): Promise<void>;
  /** The pods that have a folder. */
  list(): Promise<readonly string[]>;
}

const maxMessageBytes = 4096;

/** Keeps the pods' folders in `<dataDir>/pods`, which is made where it is missing; what is in memory is in `memory`. */
export function newDiskStorage(
  dataDir: string,
  drivers: ReadonlyMap<string, VolumeDriver>,
  memory: MemoryFiles,
): PodStorage {
  mkdirSync(join(dataDir, 'pods'), { recursive: true });
  const root = realpathSync(join(dataDir, 'pods')); // as the kernel's table of mounts names it
  const folder = (uid: string): string => join(root, uid);
  const etc = (uid: string): string => join(folder(uid), 'etc');
  const messagePath = (uid: string, container: string, attempt: number): string =>
    join(folder(uid), 'messages', `${container}_${attempt}`);
  const owedPath = (uid: string): string => join(folder(uid), 'word-owed');
  const volumes = new PodVolumes(drivers, folder);

  return {
    async prepare(pod, config, signal) {
      await mkdir(join(folder(pod.metadata.uid), 'messages'), { recursive: true });
      await volumes.prepare(pod, config, signal);
    },
    update: (pod, config, signal) => volumes.update(pod, config, signal),
    async oweWord(podUid, owed) {
      if (owed) await writeFile(owedPath(podUid), '');
      else await rm(owedPath(podUid), { force: true });
    },
    owesWord: async (podUid) => existsSync(owedPath(podUid)),
    isPrepared: (pod) => volumes.areInPlace(pod),
    async mounts(pod, container, { attempt, environment }) {
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
      const own = await containerMounts(container, {
        folder: folder(uid),
        inMemory: memory.podFolder(uid),
        environment,
        made: (name) => volumes.inPlace(pod, name),
      });
      // A mount of the pod's own at the same place wins.
      const targets = new Set(own.map((mount) => mount.target));
      return [...list.filter((mount) => !targets.has(mount.target)), ...own];
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
      return lastText(messagePath(podUid, container, attempt), maxMessageBytes).catch(() => '');
    },
    usage: (podUid, volume) => diskUsage(join(folder(podUid), 'volumes', volume)),
    async unmount(podUid) {
      await unmountAll(folder(podUid));
      await memory.empty(podUid);
    },
    async remove(podUid) {
      await volumes.release(podUid);
      await memory.remove(podUid);
      await removeOwnFiles(folder(podUid));
    },
    list: async () => [
      ...new Set([...(await readdir(root).catch(() => [])), ...(await memory.list().catch(() => []))]),
    ],
  };
}

/** The end of a file, however large it is, without what the cut has left of a character. */
async function lastText(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, maxBytes));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, Math.max(0, size - bytes.length));
    const text = bytes.subarray(0, bytesRead).toString('utf8');
    return size > maxBytes ? text.replace(/^\uFFFD+/, '') : text;
  } finally {
    await file.close();
  }
}

/** Storage that keeps nothing: for pods whose containers are not real. */
export function newFakeStorage(): PodStorage {
  return {
    prepare: async () => undefined,
    update: async () => [],
    oweWord: async () => undefined,
    owesWord: async () => false,
    isPrepared: async () => true,
    mounts: async () => [],
    writeFiles: async () => undefined,
    message: async () => '',
    usage: async () => undefined,
    unmount: async () => undefined,
    remove: async () => undefined,
    list: async () => [],
  };
}
