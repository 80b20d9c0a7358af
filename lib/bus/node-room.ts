import type { BusMessage, EventBus } from './bus.ts';
import { token } from './subjects.ts';

/**
 * What a node has left, as it is measured and not as it is promised, said by its agent (core NATS, captured by no stream):
 *
 *   <cluster>.room.<node>   NodeRoom
 *
 * Said when it differs by more than a fiftieth of what there is, every 2 s at most, and every 15 s at least.
 */
export interface NodeRoom {
  readonly node: string;
  /** What programs could be given before the node would have to end pods. */
  readonly memorySpareBytes: number;
  /** All there is. */
  readonly memoryBytes: number;
  /** The part of the processors' time that nobody used since it was said before, 0 to 1. */
  readonly cpuIdle: number;
}

export const roomSubject = (cluster: string, node: string): string => `${cluster}.room.${token(node)}`;
export const allRooms = (cluster: string): string => `${cluster}.room.*`;

/** Says it; false where the bus is away, since it is said again. */
export function tellRoom(bus: EventBus, cluster: string, room: NodeRoom): boolean {
  if (!bus.connected) return false;
  try {
    bus.publish({ subject: roomSubject(cluster, room.node), headers: {}, data: Buffer.from(JSON.stringify(room)) });
    return true;
  } catch {
    return false; // it went away in this moment
  }
}

/** Undefined for what is none: what others say is checked before it is believed. */
export function readRoom({ data }: Pick<BusMessage, 'data'>): NodeRoom | undefined {
  let told: unknown;
  try {
    told = JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof told !== 'object' || told === null) return undefined;
  const { node, memorySpareBytes, memoryBytes, cpuIdle } = told as Readonly<Record<string, unknown>>;
  if (typeof node !== 'string' || node === '') return undefined;
  if (!isAmount(memorySpareBytes) || !isAmount(memoryBytes) || !isAmount(cpuIdle) || cpuIdle > 1) return undefined;
  return { node, memorySpareBytes, memoryBytes, cpuIdle };
}

const isAmount = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value) && value >= 0;
