import { readFileSync, statfsSync } from 'node:fs';
import { arch, networkInterfaces } from 'node:os';
import { runCommand } from '../network/run-command.ts';
import type { RuntimeInfo } from '../runtime/runtime.ts';
import type { Threshold } from '../eviction/thresholds.ts';
import { allocatableOf, type Amounts } from './allocatable.ts';
import type { Machine } from './node-status.ts';

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
