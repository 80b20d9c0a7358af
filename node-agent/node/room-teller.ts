import { cpus } from 'node:os';
import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { tellRoom, type NodeRoom } from '../../lib/bus/node-room.ts';
import { unitsBelow, type Rooms, type Threshold } from '../eviction/thresholds.ts';

export interface RoomTellerOptions {
  readonly node: string;
  readonly cluster: string;
  readonly bus: EventBus | undefined;
  readonly thresholds: readonly Threshold[];
  readonly clock: Clock;
  /** Milliseconds of all processors since some moment; default: the machine's. */
  readonly cpuTimes?: () => CpuTimes;
}
export interface CpuTimes {
  readonly idle: number;
  readonly all: number;
}

const atMostEveryMs = 2_000;
const atLeastEveryMs = 15_000;
const worthTelling = 1 / 50;

/**
 * Tells schedulers what the machine has left, for pods that ask for nothing. It measures nothing by itself but the processors' counters, and that
 * only when it speaks: the watch over the node looks at the memory every second anyway.
 */
export class RoomTeller {
  readonly #options: RoomTellerOptions;
  #told: { readonly room: NodeRoom; readonly atMs: number } | undefined;
  #times: CpuTimes;

  constructor(options: RoomTellerOptions) {
    this.#options = options;
    this.#times = (options.cpuTimes ?? machineTimes)();
  }

  /** What was just found to be left. */
  saw(rooms: Rooms): void {
    const { bus, clock, node, cluster, thresholds, cpuTimes = machineTimes } = this.#options;
    const memory = rooms['memory.available'];
    if (bus === undefined || memory === undefined) return;
    const nowMs = clock.monotonic();
    const sinceMs = nowMs - (this.#told?.atMs ?? -Infinity);
    if (sinceMs < atMostEveryMs) return;
    const threshold = thresholds.find(({ signal }) => signal === 'memory.available');
    const kept = threshold === undefined ? 0 : unitsBelow(threshold, memory.capacity);
    const memorySpareBytes = Math.max(0, Math.floor(memory.available - kept));
    const before = this.#told?.room.memorySpareBytes ?? -Infinity;
    if (sinceMs < atLeastEveryMs && Math.abs(memorySpareBytes - before) < memory.capacity * worthTelling) return;
    const times = cpuTimes();
    const room = { node, memorySpareBytes, memoryBytes: memory.capacity, cpuIdle: idleShare(this.#times, times) };
    if (!tellRoom(bus, cluster, room)) return;
    this.#told = { room, atMs: nowMs };
    this.#times = times;
  }
}

function idleShare(before: CpuTimes, now: CpuTimes): number {
  const all = now.all - before.all;
  return all <= 0 ? 1 : Math.min(1, Math.max(0, (now.idle - before.idle) / all));
}

function machineTimes(): CpuTimes {
  let [idle, all] = [0, 0];
  for (const { times } of cpus()) {
    idle += times.idle;
    all += times.user + times.nice + times.sys + times.idle + times.irq;
  }
  return { idle, all };
}
