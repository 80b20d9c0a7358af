import type { Clock } from '../../lib/base/clock.ts';
import type {
  ContainerStats,
  CpuStats,
  NodeStats,
  PodStats,
  StatsHistory,
  StatsQuestion,
} from '../../lib/bus/node-stats.ts';
import { given, type CpuFigures } from './figures.ts';
import type { Past } from './history.ts';
import { networkSum } from './machine-figures.ts';
import type { Rate } from './rate.ts';
import type { ContainerRecord, PodRecord, Samples } from './sampler.ts';

/** The answer to a question about this node. Times are given by the wall clock as it stands now. */
export function summary(node: string, samples: Samples, question: StatsQuestion, clock: Clock): NodeStats {
  const wall = wallOf(clock);
  const withHistory = question.history === true;
  const { machine } = samples;
  const uids = question.uids === undefined ? undefined : new Set(question.uids);
  const wanted = samples.pods.filter(
    ({ pod: { metadata } }) =>
      (question.namespace === undefined || metadata.namespace === question.namespace) &&
      (uids === undefined || uids.has(metadata.uid)),
  );
  return {
    node,
    machine: {
      time: new Date(machine === undefined ? clock.now() : wall(machine.atMs)).toISOString(),
      ...(machine === undefined
        ? {}
        : given({
            cpu: cpuStats(machine.reading.cpu, machine.rate),
            memory: machine.reading.memory,
            network: machine.reading.network,
            filesystem: machine.reading.filesystem,
            history: withHistory ? historyOf(machine.history, wall) : undefined,
          })),
    },
    pods: wanted.map((record) => podStats(record, withHistory, wall)),
  };
}

/** A moment of the steady clock by the wall clock: should that have jumped, all moments jump together. */
const wallOf = (clock: Clock): ((atMs: number) => number) => {
  const offset = clock.now() - clock.monotonic();
  return (atMs) => Math.round(atMs + offset);
};

function podStats(
  { pod, network: read, containers }: PodRecord,
  withHistory: boolean,
  wall: (atMs: number) => number,
): PodStats {
  const { namespace = '', name, uid } = pod.metadata;
  const network = read();
  return {
    ...{ namespace, name, uid },
    ...given({ network: network === undefined ? undefined : networkSum(network.values()) }),
    containers: containers.map((record) => containerStats(record, withHistory, wall)),
  };
}

function containerStats(record: ContainerRecord, withHistory: boolean, wall: (atMs: number) => number): ContainerStats {
  const { container, reading, atMs, rate, history } = record;
  const { startedAtMs } = container.is;
  return {
    name: container.name,
    id: container.is.id,
    attempt: container.attempt,
    time: new Date(wall(atMs)).toISOString(),
    ...given({
      startedAt: startedAtMs === undefined ? undefined : new Date(startedAtMs).toISOString(),
      cpu: cpuStats(reading.cpu, rate),
      memory: reading.memory,
      io: reading.io,
      processes: reading.processes,
      history: withHistory
        ? {
            ...historyOf(history, wall),
            throttledNanos: history.column('throttledNanos'),
            readBytes: history.column('readBytes'),
            writeBytes: history.column('writeBytes'),
          }
        : undefined,
    }),
  };
}

function cpuStats(cpu: CpuFigures | undefined, rate: Rate | undefined): CpuStats | undefined {
  if (cpu === undefined) return undefined;
  return { ...cpu, ...(rate === undefined ? {} : { nanoCores: rate.nanoCores, windowMs: Math.round(rate.windowMs) }) };
}

const historyOf = (
  history: Past<'atMs' | 'cpuNanos' | 'workingSet'>,
  wall: (atMs: number) => number,
): StatsHistory => ({
  timeMs: history.column('atMs').map(wall),
  cpuNanos: history.column('cpuNanos'),
  workingSetBytes: history.column('workingSet'),
});
