import { closeSync, openSync, readFileSync, readSync, statfsSync } from 'node:fs';
import { cgroupMounts, foldersOf, type CgroupFolders, type CgroupMounts } from './cgroups.ts';
import {
  cpuV1,
  cpuV2,
  given,
  ioV1,
  ioV2,
  memoryV1,
  memoryV2,
  numberIn,
  type CpuFigures,
  type IoFigures,
  type MemoryFigures,
  type Read,
} from './figures.ts';
import {
  machineCpu,
  machineMemory,
  networkIn,
  networkSum,
  type FilesystemFigures,
  type MachineMemory,
  type NetworkFigures,
} from './machine-figures.ts';

export interface ContainerReading {
  readonly cpu?: CpuFigures;
  readonly memory?: MemoryFigures;
  readonly io?: IoFigures;
  readonly processes?: number;
}
export interface MachineReading {
  readonly cpu?: CpuFigures;
  readonly memory?: MachineMemory;
  readonly network?: NetworkFigures;
  readonly filesystem?: FilesystemFigures;
}

/**
 * Reads the kernel's figures. Reading is done in one go and blocks for 0.2 ms a container: these files are made by the kernel in
 * memory, and handing each to another thread and back costs five times what reading it does.
 */
export interface Kernel {
  /** Where a container's figures are; undefined when the process is gone or is another's by now. */
  find(pid: number, containerId: string): CgroupFolders | undefined;
  /** Undefined when the container is gone. */
  container(folders: CgroupFolders): ContainerReading | undefined;
  /** The devices of a pod, but for its loopback; undefined when the process is gone. */
  podNetwork(pid: number): ReadonlyMap<string, NetworkFigures> | undefined;
  machine(): MachineReading;
}

/** The kernel of this machine; `folder` is on the disk that is looked at. `root` is where its file systems are, `/` but for tests. */
export function newKernel(folder?: string, root = '/'): Kernel {
  const text = newReader();
  const proc = (path: string): string | undefined => text(`${root}proc/${path}`);
  let known: CgroupMounts | undefined;
  const mounts = (): CgroupMounts => (known ??= cgroupMounts(proc('self/mountinfo') ?? ''));
  const isHardware = newHardwareCheck(root);

  return {
    find(pid, containerId) {
      const own = proc(`${pid}/cgroup`);
      return own === undefined ? undefined : foldersOf(mounts(), own, containerId);
    },

    container(folders) {
      const reader =
        (folder: string): Read =>
        (file) =>
          text(`${root === '/' ? '' : root}${folder}/${file}`);
      const at = (name: 'cpu' | 'cpuacct' | 'memory' | 'blkio' | 'pids'): Read =>
        reader(folders.get(name)?.folder ?? '/-');
      const isV1 = (name: 'cpuacct' | 'memory' | 'blkio'): boolean => folders.get(name)?.version === 1;
      const cpu = isV1('cpuacct') ? cpuV1(at('cpuacct'), at('cpu')) : cpuV2(at('cpu'));
      const memory = isV1('memory') ? memoryV1(at('memory')) : memoryV2(at('memory'));
      if (cpu === undefined && memory === undefined) return undefined;
      const io = isV1('blkio') ? ioV1(at('blkio')) : ioV2(at('blkio'));
      return given({ cpu, memory, io, processes: numberIn(at('pids')('pids.current')) });
    },

    podNetwork(pid) {
      const found = proc(`${pid}/net/dev`);
      if (found === undefined) return undefined;
      const devices = new Map(networkIn(found));
      devices.delete('lo');
      return devices;
    },

    machine() {
      const devices = [...networkIn(proc('self/net/dev') ?? '')].filter(([name]) => isHardware(name));
      return given({
        cpu: machineCpu(proc('stat') ?? ''),
        memory: machineMemory(proc('meminfo') ?? ''),
        network: networkSum(devices.map(([, figures]) => figures)),
        filesystem: folder === undefined ? undefined : filesystemOf(folder),
      });
    },
  };
}

function filesystemOf(path: string): FilesystemFigures | undefined {
  try {
    const { bsize, blocks, bavail, files, ffree } = statfsSync(path);
    return { path, totalBytes: blocks * bsize, availableBytes: bavail * bsize, files, freeFiles: ffree };
  } catch {
    return undefined;
  }
}

/** Reads small files of the kernel: into one buffer, without asking for their size first, which they do not know. */
function newReader(): (path: string) => string | undefined {
  let buffer = Buffer.alloc(16 * 1024);
  return (path) => {
    let file: number | undefined;
    try {
      file = openSync(path, 'r');
      let length = 0;
      for (;;) {
        const read = readSync(file, buffer, length, buffer.length - length, null);
        if (read === 0) return buffer.toString('latin1', 0, length); // it may come a page at a time
        length += read;
        if (length === buffer.length) buffer = Buffer.concat([buffer], length * 2);
      }
    } catch {
      return undefined;
    } finally {
      if (file !== undefined) closeSync(file);
    }
  };
}

const maxNames = 4096;

/** Whether a network device is a real (or a virtual machine's) one, and no loopback, bridge or end of a pair. */
function newHardwareCheck(root: string): (name: string) => boolean {
  const known = new Map<string, boolean>();
  return (name) => {
    let found = known.get(name);
    if (found === undefined) {
      try {
        readFileSync(`${root}sys/class/net/${name}/device/uevent`);
        found = true;
      } catch {
        found = false;
      }
      if (known.size >= maxNames) known.clear(); // pods come and go, and so do names of devices
      known.set(name, found);
    }
    return found;
  };
}
