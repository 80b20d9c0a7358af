import { bytesQuantity, isQuantity, unitsOf } from '../../lib/api/quantity.ts';

/** What a node can run short of, as thresholds name it: what is left, never what is used. */
export const signals = [
  'memory.available',
  'nodefs.available',
  'nodefs.inodesFree',
  'imagefs.available',
  'imagefs.inodesFree',
  'pid.available',
] as const;
export type Signal = (typeof signals)[number];

/** The node is short when less than this is left: bytes (or a count), or a share of all there is. */
export interface Threshold {
  readonly signal: Signal;
  readonly amount: { readonly units: number } | { readonly share: number };
}

/** How much is left of how much. */
export interface Room {
  readonly available: number;
  readonly capacity: number;
}
/** As last looked at; what cannot be found out is absent. */
export type Rooms = Readonly<Partial<Record<Signal, Room>>>;

/**
 * `memory.available<100Mi,nodefs.available<10%`. Empty text: no thresholds. RangeError naming the part that is wrong and
 * the rule; one signal has one threshold.
 */
export function parseThresholds(text: string): readonly Threshold[] {
  const found = new Map<Signal, Threshold>();
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (part === '') continue;
    const [name = '', amount = '', ...rest] = part.split('<').map((piece) => piece.trim());
    const signal = signals.find((candidate) => candidate === name);
    if (signal === undefined || rest.length > 0)
      throw new RangeError(
        `eviction threshold "${part}": must be <signal><<amount>, the signal one of ${signals.join(', ')}`,
      );
    if (found.has(signal)) throw new RangeError(`eviction threshold "${part}": ${signal} is given twice`);
    found.set(signal, { signal, amount: amountOf(part, amount) });
  }
  return [...found.values()];
}

function amountOf(part: string, text: string): Threshold['amount'] {
  const percent = /^([0-9]+(?:\.[0-9]+)?)%$/.exec(text)?.[1];
  if (percent !== undefined && Number(percent) <= 100) return { share: Number(percent) / 100 };
  if (percent === undefined && isQuantity(text) && unitsOf(text) >= 0) return { units: unitsOf(text) };
  throw new RangeError(
    `eviction threshold "${part}": "${text}" must be an amount such as 100Mi, or a share from 0% to 100%`,
  );
}

/** The amount that a threshold stands for on this machine. */
export const unitsBelow = ({ amount }: Threshold, capacity: number): number =>
  'units' in amount ? amount.units : amount.share * capacity;

/** The thresholds that are crossed. What cannot be found out is not. */
export const crossed = (thresholds: readonly Threshold[], rooms: Rooms): readonly Threshold[] =>
  thresholds.filter((threshold) => {
    const room = rooms[threshold.signal];
    return room !== undefined && room.available < unitsBelow(threshold, room.capacity);
  });

/** For people: `memory.available is 80Mi, less than 100Mi`. */
export function describeShortage(threshold: Threshold, rooms: Rooms): string {
  const room = rooms[threshold.signal] ?? { available: 0, capacity: 0 };
  const show = (units: number): string =>
    /available$/.test(threshold.signal) && threshold.signal !== 'pid.available'
      ? bytesQuantity(Math.floor(units / 2 ** 20) * 2 ** 20)
      : String(Math.floor(units));
  return `${threshold.signal} is ${show(room.available)}, less than ${show(unitsBelow(threshold, room.capacity))}`;
}
