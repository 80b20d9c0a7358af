import type { Pod } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { PodContainer } from '../labels.ts';
import type { CgroupFolders } from './cgroups.ts';
import { History, type Past } from './history.ts';
import type { NetworkFigures } from './machine-figures.ts';
import type { ContainerReading, Kernel, MachineReading } from './readings.ts';
import { rateOf, type Rate } from './rate.ts';

export const containerColumns = [
  'atMs',
  'cpuNanos',
  'throttledNanos',
  'workingSet',
  'readBytes',
  'writeBytes',
] as const;
export const machineColumns = ['atMs', 'cpuNanos', 'workingSet'] as const;
type ContainerHistory = History<(typeof containerColumns)[number]>;
type MachineHistory = History<(typeof machineColumns)[number]>;

/** A pod as its worker shows it. */
export interface PodInSight {
  readonly uid: string;
  readonly pod: Pod;
  readonly containers: Iterable<PodContainer>;
}

/** What was read last, when (by the steady clock), and what came before. */
export interface ContainerRecord {
  readonly container: PodContainer;
  readonly history: ContainerHistory;
  readonly reading: ContainerReading;
  readonly atMs: number;
  readonly rate: Rate | undefined;
}
export interface PodRecord {
  readonly pod: Pod;
  /** Read now, by device; undefined for pods on the machine's own network. */
  readonly network: () => ReadonlyMap<string, NetworkFigures> | undefined;
  readonly containers: readonly ContainerRecord[];
}
export interface MachineRecord {
  readonly history: MachineHistory;
  readonly reading: MachineReading;
  readonly atMs: number;
  readonly rate: Rate | undefined;
}
export interface Samples {
  readonly machine: MachineRecord | undefined;
  readonly pods: readonly PodRecord[];
}

export interface SamplerOptions {
  readonly kernel: Kernel;
  readonly pods: () => Iterable<PodInSight>;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Between two rows of history. Default 5 s. */
  readonly intervalMs?: number;
  /** How far back the history goes. Default 2 min. */
  readonly historyMs?: number;
  /** Lets others have their turn between two portions of the work; default `setImmediate`. */
  readonly breathe?: () => Promise<void>;
}

export interface Sampler {
  /** What is known of all that runs now, none of it older than `maxAgeMs`. Several who ask at once are served by one reading. */
  samples(maxAgeMs: number): Promise<Samples>;
}

interface Tracked {
  container: PodContainer;
  readonly folders: CgroupFolders;
  readonly history: ContainerHistory;
  last: { readonly reading: ContainerReading; readonly atMs: number; readonly rate: Rate | undefined } | undefined;
}

/** The second reading of what was not seen starting comes soon: from then on there is a rate. */
const secondReadingMs = 1_000;
/** Containers that are read in one go: some 3 ms. */
const portion = 16;

/**
 * Reads every container's figures at an interval, and sooner when asked. The kernel does not tell of what is used, so this
 * must be sampled: 0.2 ms a container and reading, 0.2 % of a core for 50 containers every 5 s. Only what runs has
 * a record; with its container's end its memory is given back.
 */
export function startSampler(options: SamplerOptions): Sampler {
  const { kernel, clock, signal, intervalMs = 5_000, historyMs = 120_000 } = options;
  const breathe = options.breathe ?? (() => new Promise<void>((resolve) => setImmediate(resolve)));
  const rows = Math.ceil(historyMs / intervalMs) + 2;
  const tracked = new Map<string, Tracked>();
  const machine: { readonly history: MachineHistory; last: Omit<MachineRecord, 'history'> | undefined } = {
    history: new History(machineColumns, rows),
    last: undefined,
  };
  let lastPassMs = -Infinity;
  let passing: Promise<void> | undefined;

  /** A row is remembered when the one before is an interval old; readings in between are only for who asked. */
  const isRowDue = (history: Past<'atMs' | 'cpuNanos'>, atMs: number): boolean => {
    const newest = history.newest('atMs');
    if (newest === undefined) return true;
    return atMs - newest >= (history.length === 1 ? secondReadingMs : intervalMs) * 0.9;
  };

  function readMachine(): void {
    const reading = kernel.machine();
    const atMs = clock.monotonic();
    if (reading.cpu === undefined) return;
    const cpuNanos = reading.cpu.usageNanos;
    const rate = rateOf(machine.history, { atMs, cpuNanos });
    machine.last = { reading, atMs, rate };
    if (!isRowDue(machine.history, atMs)) return;
    machine.history.push({ atMs, cpuNanos, workingSet: reading.memory?.workingSetBytes ?? NaN });
  }

  function read(it: Tracked): void {
    const reading = kernel.container(it.folders);
    const atMs = clock.monotonic();
    if (reading === undefined) return void tracked.delete(it.container.is.id);
    const cpuNanos = reading.cpu?.usageNanos ?? NaN;
    const before = it.history.newest('cpuNanos');
    if (before !== undefined && cpuNanos < before) it.history.clear(); // somebody reset the counter: the past says nothing
    const startedMs = startOf(it.container, clock, intervalMs);
    const rate = rateOf(it.history, { atMs, cpuNanos }, startedMs);
    it.last = { reading, atMs, rate };
    if (!isRowDue(it.history, atMs)) return;
    it.history.push({
      ...{ atMs, cpuNanos },
      throttledNanos: reading.cpu?.throttledNanos ?? NaN,
      workingSet: reading.memory?.workingSetBytes ?? NaN,
      readBytes: reading.io?.readBytes ?? NaN,
      writeBytes: reading.io?.writeBytes ?? NaN,
    });
  }

  /** Brings the records to what runs now: new ones found, ended ones forgotten. */
  function follow(): void {
    const running = new Map<string, PodContainer>();
    for (const { containers } of options.pods())
      for (const container of containers)
        if (container.kind !== 'sandbox' && container.is.state === 'running') running.set(container.is.id, container);
    for (const id of tracked.keys()) if (!running.has(id)) tracked.delete(id);
    for (const [id, container] of running) {
      const known = tracked.get(id);
      if (known !== undefined) known.container = container;
      else {
        const folders = container.is.pid === undefined ? undefined : kernel.find(container.is.pid, id);
        if (folders !== undefined)
          tracked.set(id, { container, folders, history: new History(containerColumns, rows), last: undefined });
      }
    }
  }

  async function pass(): Promise<void> {
    follow();
    readMachine();
    let done = 0;
    for (const it of [...tracked.values()]) {
      read(it);
      if (++done % portion === 0) await breathe();
    }
    lastPassMs = clock.monotonic();
  }
  const passOnce = (): Promise<void> =>
    (passing ??= pass().finally(() => {
      passing = undefined;
    }));

  function next(): void {
    if (signal.aborted) return;
    const isNew = [...tracked.values()].some(({ last }) => last !== undefined && last.rate === undefined);
    clock.after(isNew ? secondReadingMs : intervalMs, () => void passOnce().finally(next));
  }
  clock.after(0, () => void passOnce().finally(next));

  return {
    async samples(maxAgeMs) {
      follow();
      const isComplete = [...tracked.values()].every(({ last }) => last !== undefined);
      if (!isComplete || clock.monotonic() - lastPassMs >= maxAgeMs) await passOnce();
      return {
        machine: machine.last === undefined ? undefined : { ...machine.last, history: machine.history },
        pods: [...options.pods()].map((sight) => recordOf(sight)),
      };
    },
  };

  function recordOf({ pod, containers }: PodInSight): PodRecord {
    const all = [...containers];
    const sandbox = all.find(({ kind, is }) => kind === 'sandbox' && is.state === 'running');
    const pid = pod.spec.hostNetwork === true ? undefined : sandbox?.is.pid;
    return {
      pod,
      network: () => (pid === undefined ? undefined : kernel.podNetwork(pid)),
      containers: all.flatMap(({ is }) => {
        const it = tracked.get(is.id);
        return it?.last === undefined ? [] : [{ container: it.container, history: it.history, ...it.last }];
      }),
    };
  }
}

/**
 * When a container started by the steady clock, if that was a moment ago: its counters were zero then, which makes a first
 * rate. Not for older ones: the mean of a long life is not what is used now; nor where the wall clock contradicts.
 */
function startOf(container: PodContainer, clock: Clock, intervalMs: number): number | undefined {
  const { startedAtMs } = container.is;
  if (startedAtMs === undefined) return undefined;
  const ageMs = clock.now() - startedAtMs;
  return ageMs > 0 && ageMs <= 2 * intervalMs ? clock.monotonic() - ageMs : undefined;
}
