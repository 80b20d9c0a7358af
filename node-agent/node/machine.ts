import { readFileSync, statfsSync } from 'node:fs';
import { readFile, statfs } from 'node:fs/promises';
import { arch, networkInterfaces } from 'node:os';
import { runCommand } from '../network/run-command.ts';
import type { RuntimeInfo } from '../runtime/runtime.ts';
import type { Threshold } from '../eviction/thresholds.ts';
import { allocatableOf, type Amounts } from './allocatable.ts';
import type { Health, Machine } from './node-status.ts';

export interface MachineOptions {
  readonly name: string;
  readonly hostIp: string;
  readonly dataDir: string;
  readonly maxPods: number;
  readonly agentVersion: string;
  /** What pods may not have; default: nothing is held back. */
  readonly reserved?: Amounts;
  readonly thresholds?: readonly Threshold[];
}

/** The machine this process runs on, with its real capacity. */
export function machineOf(options: MachineOptions, engine: RuntimeInfo): Machine {
  const disk = statfsSync(options.dataDir);
  const capacity = {
    cpuMilli: engine.cpus * 1000,
    memoryBytes: engine.memoryBytes,
    diskBytes: disk.blocks * disk.bsize,
  };
  return {
    name: options.name,
    hostIp: options.hostIp,
    ...capacity,
    allocatable: allocatableOf(capacity, options.reserved ?? nothing, options.thresholds ?? []),
    maxPods: options.maxPods,
    arch: archName(),
    info: present({
      machineID: firstLine('/etc/machine-id'),
      systemUUID: firstLine('/sys/class/dmi/id/product_uuid'),
      bootID: firstLine('/proc/sys/kernel/random/boot_id'),
      kernelVersion: engine.kernelVersion,
      osImage: engine.osImage,
      containerRuntimeVersion: engine.version,
      kubeletVersion: options.agentVersion,
      kubeProxyVersion: options.agentVersion,
      operatingSystem: 'linux',
      architecture: archName(),
    }),
  };
}

const nothing: Amounts = { cpuMilli: 0, memoryBytes: 0, diskBytes: 0 };

/** As images name it. */
export const archName = (): string => (arch() === 'x64' ? 'amd64' : arch());

const present = (values: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));

const firstLine = (path: string): string => {
  try {
    return (readFileSync(path, 'utf8').split('\n')[0] ?? '').trim();
  } catch {
    return '';
  }
};

/** The address under which other nodes reach this one: that of the default route's device, else the first that is not loopback. */
export async function defaultHostIp(): Promise<string> {
  const { stdout } = await runCommand('ip', ['-o', 'route', 'get', '192.0.2.1']).catch(() => ({ stdout: '' }));
  const source = /\bsrc (\d+\.\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (source !== undefined) return source;
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find((address) => address.family === 'IPv4' && !address.internal)?.address ?? '127.0.0.1';
}

const minFreeMemory = 100 * 2 ** 20;
const minFreeDisk = 0.05;
const maxProcesses = 0.9;

/** Looks whether the machine runs short of something. What cannot be found out counts as well. */
export async function pressure(dataDir: string): Promise<Pick<Health, 'memory' | 'disk' | 'processes'>> {
  const [meminfo, loadavg, pidMax, disk] = await Promise.all([
    readFile('/proc/meminfo', 'utf8').catch(() => ''),
    readFile('/proc/loadavg', 'utf8').catch(() => ''),
    readFile('/proc/sys/kernel/pid_max', 'utf8').catch(() => ''),
    statfs(dataDir).catch(() => undefined),
  ]);
  const free = Number(/^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? Infinity) * 1024;
  const processes = Number(/\/(\d+)/.exec(loadavg)?.[1] ?? 0);
  const freeDisk = disk === undefined || disk.blocks === 0 ? 1 : disk.bavail / disk.blocks;
  return {
    memory: free < minFreeMemory ? `only ${Math.round(free / 2 ** 20)} MiB of memory are free` : undefined,
    disk:
      freeDisk < minFreeDisk ? `only ${(freeDisk * 100).toFixed(1)} % of the disk of ${dataDir} are free` : undefined,
    processes:
      Number(pidMax) > 0 && processes > Number(pidMax) * maxProcesses
        ? `${processes} processes of at most ${pidMax.trim()}`
        : undefined,
  };
}
