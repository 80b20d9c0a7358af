import { given, type CpuFigures } from './figures.ts';

/** Counters of network devices, as those on their side of the wire see them. */
export interface NetworkFigures {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

export interface MachineMemory {
  readonly totalBytes: number;
  /** What could be given to a program without swapping, by the kernel's own estimate. */
  readonly availableBytes: number;
  /** Total less available. */
  readonly workingSetBytes: number;
}

/** The file system of the agent's folder, where pods' files are. */
export interface FilesystemFigures {
  readonly path: string;
  readonly totalBytes: number;
  /** What a program that is not root can still write. */
  readonly availableBytes: number;
  readonly files: number;
  readonly freeFiles: number;
}

/** Each device of a `/proc/<pid>/net/dev`. */
export function networkIn(text: string): ReadonlyMap<string, NetworkFigures> {
  const devices = new Map<string, NetworkFigures>();
  for (const line of text.split('\n').slice(2)) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const [rxBytes, rxPackets, rxErrors, rxDropped, , , , , txBytes, txPackets, txErrors, txDropped] = numbers;
    if (txDropped === undefined) continue;
    devices.set(line.slice(0, colon).trim(), {
      ...{ rxBytes: rxBytes ?? 0, rxPackets: rxPackets ?? 0, rxErrors: rxErrors ?? 0, rxDropped: rxDropped ?? 0 },
      ...{ txBytes: txBytes ?? 0, txPackets: txPackets ?? 0, txErrors: txErrors ?? 0, txDropped },
    });
  }
  return devices;
}

/** The sum over devices; undefined of none. */
export function networkSum(devices: Iterable<NetworkFigures>): NetworkFigures | undefined {
  let sum: NetworkFigures | undefined;
  for (const each of devices) {
    sum =
      sum === undefined
        ? each
        : {
            rxBytes: sum.rxBytes + each.rxBytes,
            rxPackets: sum.rxPackets + each.rxPackets,
            rxErrors: sum.rxErrors + each.rxErrors,
            rxDropped: sum.rxDropped + each.rxDropped,
            txBytes: sum.txBytes + each.txBytes,
            txPackets: sum.txPackets + each.txPackets,
            txErrors: sum.txErrors + each.txErrors,
            txDropped: sum.txDropped + each.txDropped,
          };
  }
  return sum;
}

const nanosPerTick = 10_000_000; // USER_HZ is 100 on every Linux

/**
 * The CPU time of all processes, from `/proc/stat`: what was worked, not what was waited for or taken by the machine underneath.
 * Time of guests is in the user's already.
 */
export function machineCpu(stat: string): CpuFigures | undefined {
  const line = /^cpu\s+(.*)$/m.exec(stat)?.[1];
  const [user, nice, system, , , irq, softirq] = (line ?? '').trim().split(/\s+/).map(Number);
  if (softirq === undefined) return undefined;
  const userNanos = ((user ?? 0) + (nice ?? 0)) * nanosPerTick;
  const systemNanos = ((system ?? 0) + (irq ?? 0) + softirq) * nanosPerTick;
  return { usageNanos: userNanos + systemNanos, userNanos, systemNanos };
}

/** From `/proc/meminfo`. */
export function machineMemory(meminfo: string): MachineMemory | undefined {
  const bytes = (name: string): number | undefined => {
    const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1];
    return found === undefined ? undefined : Number(found) * 1024;
  };
  const { totalBytes, availableBytes } = given({
    totalBytes: bytes('MemTotal'),
    availableBytes: bytes('MemAvailable'),
  });
  if (totalBytes === undefined || availableBytes === undefined) return undefined;
  return { totalBytes, availableBytes, workingSetBytes: totalBytes - availableBytes };
}
