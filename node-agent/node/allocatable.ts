import { canonicalMilli, isQuantity, milliOf, unitsOf } from '../../lib/api/quantity.ts';
import { unitsBelow, type Signal, type Threshold } from '../eviction/thresholds.ts';

/** Amounts of what pods ask for. */
export interface Amounts {
  readonly cpuMilli: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
}

/**
 * `cpu=100m,memory=256Mi,ephemeral-storage=1Gi`: what the machine's own programs and the engine keep for themselves. Any may
 * be left out. RangeError naming the part that is wrong.
 */
export function parseReserved(text: string): Amounts {
  const amounts = new Map<string, string>();
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (part === '') continue;
    const [name = '', amount = '', ...rest] = part.split('=').map((piece) => piece.trim());
    if (!['cpu', 'memory', 'ephemeral-storage'].includes(name) || rest.length > 0)
      throw new RangeError(
        `reserved "${part}": must be <resource>=<amount>, the resource one of cpu, memory, ephemeral-storage`,
      );
    if (amounts.has(name)) throw new RangeError(`reserved "${part}": ${name} is given twice`);
    if (!isQuantity(amount) || canonicalMilli(amount).startsWith('-'))
      throw new RangeError(`reserved "${part}": "${amount}" must be an amount such as 100m or 256Mi, zero or more`);
    amounts.set(name, amount);
  }
  return {
    cpuMilli: milliOf(amounts.get('cpu') ?? 0),
    memoryBytes: unitsOf(amounts.get('memory') ?? 0),
    diskBytes: unitsOf(amounts.get('ephemeral-storage') ?? 0),
  };
}

/** What pods may ask of the node: all there is, less what is reserved and what eviction keeps free. Never below zero. */
export function allocatableOf(capacity: Amounts, reserved: Amounts, thresholds: readonly Threshold[]): Amounts {
  const keptFree = (signal: Signal, all: number): number => {
    const threshold = thresholds.find((candidate) => candidate.signal === signal);
    return threshold === undefined ? 0 : Math.ceil(unitsBelow(threshold, all));
  };
  const left = (all: number, ...taken: readonly number[]): number =>
    Math.max(
      0,
      taken.reduce((rest, part) => rest - part, all),
    );
  const { cpuMilli, memoryBytes, diskBytes } = capacity;
  return {
    cpuMilli: left(cpuMilli, reserved.cpuMilli),
    memoryBytes: left(memoryBytes, reserved.memoryBytes, keptFree('memory.available', memoryBytes)),
    diskBytes: left(diskBytes, reserved.diskBytes, keptFree('nodefs.available', diskBytes)),
  };
}
