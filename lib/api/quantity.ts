import type { Quantity } from './objects.ts';

/**
 * Amounts such as `250m`, `1.5`, `1Gi`, `2e3`. They are exact to a billionth (10^-9, rounded away from zero) and end at
 * the largest signed 64-bit number, which is what every client of the API can hold (Kubernetes v1 API, "Quantity").
 */
export const isQuantity = (value: unknown): value is Quantity => parse(value) !== undefined;

/** The amount in billionths. RangeError when it is no quantity. */
export function nanos(quantity: Quantity): bigint {
  const parsed = parse(quantity);
  if (parsed === undefined) throw new RangeError(`${JSON.stringify(quantity)} is not a quantity: ${quantityRule}`);
  return parsed.nanos;
}

/** What to tell a person whose text is no quantity. */
export const quantityRule = `must be a number with an optional suffix: m, k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi, Ei or an exponent, such as '250m' or '1.5Gi'`;

/** In thousandths, rounded up: the unit of cpu. Exact up to 2^53. RangeError when it is no quantity. */
export function milliOf(quantity: Quantity): number {
  if (typeof quantity === 'string' && /^[0-9]{1,12}m$/.test(quantity)) return Number(quantity.slice(0, -1));
  return Number(divideUp(nanos(quantity), 1_000_000n));
}

/** In whole units, rounded up: bytes of memory, numbers of pods. Exact up to 2^53. RangeError when it is no quantity. */
export function unitsOf(quantity: Quantity): number {
  if (typeof quantity === 'string') {
    const found = /^([0-9]{1,9})(Ki|Mi|Gi)?$/.exec(quantity);
    if (found !== null && Number(found[1]) < 2 ** 22) return Number(found[1]) * (quick[found[2] ?? ''] ?? 1);
  }
  return Number(divideUp(nanos(quantity), billion));
}
const quick: Readonly<Record<string, number>> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };

/**
 * A resource that is neither the system's own nor a kernel's, counted by the piece: `example.com/gpu`. Names without a domain and
 * those of kubernetes.io and its subdomains are not (Kubernetes v1 API, "Extended resources").
 */
export const isExtended = (name: string): boolean =>
  name.includes('/') && !/^([^/]*\.)?kubernetes\.io\//.test(name) && !name.startsWith('requests.');

/** Below zero, zero or above zero, as for a sort. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  const [left, right] = [nanos(a), nanos(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** The sum, in the notation of the first. */
export function addQuantities(a: Quantity, b: Quantity): string {
  const left = parse(a);
  return format(nanos(a) + nanos(b), left?.notation ?? 'decimal');
}

/**
 * The one spelling of an amount: no fraction, the largest suffix that loses nothing, in the notation it came in
 * (`0.1` is `100m`, `1024Ki` is `1Mi`, `2000` is `2k`). RangeError when it is no quantity.
 */
export function canonical(quantity: Quantity): string {
  const parsed = parse(quantity);
  return format(nanos(quantity), parsed?.notation ?? 'decimal');
}

/** The canonical spelling after rounding up to thousandths, which is the finest that resource lists keep. */
export function canonicalMilli(quantity: Quantity): string {
  const parsed = parse(quantity);
  return format(divideUp(nanos(quantity), 1_000_000n) * 1_000_000n, parsed?.notation ?? 'decimal');
}

/** A number of bytes in the binary notation: 1073741824 is `1Gi`. */
export const bytesQuantity = (bytes: number): string => format(BigInt(Math.ceil(bytes)) * billion, 'binary');
/** A number of thousandths: 1500 is `1500m`, 2000 is `2`. */
export const milliQuantity = (milli: number): string => format(BigInt(Math.ceil(milli)) * 1_000_000n, 'decimal');

/** An amount in billionths as text. */
export const formatNanos = (amount: bigint, notation: 'decimal' | 'binary'): string => format(amount, notation);

type Notation = 'decimal' | 'binary' | 'exponent';
interface Parsed {
  readonly nanos: bigint;
  readonly notation: Notation;
}

const billion = 1_000_000_000n;
const maxNanos = (2n ** 63n - 1n) * billion;
const decimalExponents: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const pattern = /^([+-]?)([0-9]*)(?:\.([0-9]*))?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$/;
/** No honest amount is longer; a bound on the arithmetic that a request can ask for. */
const maxLength = 64;

/** A cluster says the same few amounts over and over. */
const known = new Map<string | number, Parsed>();
const maxKnown = 1024;

function parse(value: unknown): Parsed | undefined {
  if (typeof value !== 'string' && typeof value !== 'number') return undefined;
  const before = known.get(value);
  if (before !== undefined) return before;
  const parsed = parseText(String(value));
  if (parsed === undefined) return undefined;
  if (known.size >= maxKnown) known.clear();
  known.set(value, parsed);
  return parsed;
}

function parseText(text: string): Parsed | undefined {
  const found = text.length > maxLength ? null : pattern.exec(text);
  if (found === null) return undefined;
  const [, sign, whole = '', fraction = '', suffix = ''] = found;
  if (whole === '' && fraction === '') return undefined;
  const digits = BigInt(whole + fraction);
  const [exponent, base, notation] = scaleOf(suffix);
  const amount = scaled(digits, exponent - fraction.length, base);
  const capped = amount > maxNanos ? maxNanos : amount;
  return { nanos: sign === '-' ? -capped : capped, notation };
}

function scaleOf(suffix: string): readonly [exponent: number, base: bigint, notation: Notation] {
  const binary = binarySuffixes.indexOf(suffix);
  if (binary > 0) return [0, 1024n ** BigInt(binary), 'binary'];
  const decimal = decimalExponents[suffix];
  return decimal === undefined ? [Number(suffix.slice(1)), 1n, 'exponent'] : [decimal, 1n, 'decimal'];
}

/** digits * base * 10^exponent in billionths, rounded up. */
function scaled(digits: bigint, exponent: number, base: bigint): bigint {
  if (digits === 0n) return 0n;
  const power = exponent + 9;
  if (power > 40) return maxNanos;
  if (power < -200) return 1n;
  return power >= 0 ? digits * base * 10n ** BigInt(power) : divideUp(digits * base, 10n ** BigInt(-power));
}

/** Away from zero, so that a need is never understated. */
function divideUp(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  if (value % by === 0n) return quotient;
  return value < 0n ? quotient - 1n : quotient + 1n;
}

function format(value: bigint, notation: Notation): string {
  const small = value < 1024n * billion && value > -1024n * billion;
  if (notation === 'binary' && !small) return formatBinary(divideUp(value, billion));
  return formatDecimal(value, notation === 'exponent');
}

/** What is no multiple of 1024 has no binary form: it is written in the decimal one, in which it is read again. */
function formatBinary(units: bigint): string {
  if (units % 1024n !== 0n) return formatDecimal(units * billion, false);
  let power = 0;
  while (power < binarySuffixes.length - 1 && units % 1024n === 0n) {
    units /= 1024n;
    power++;
  }
  return `${units}${binarySuffixes[power]}`;
}

function formatDecimal(value: bigint, asExponent: boolean): string {
  if (value === 0n) return '0';
  let exponent = -9;
  while (exponent < 18 && value % 1000n === 0n) {
    value /= 1000n;
    exponent += 3;
  }
  if (asExponent) return exponent === 0 ? `${value}` : `${value}e${exponent}`;
  const suffix = Object.entries(decimalExponents).find(([, power]) => power === exponent)?.[0] ?? '';
  return `${value}${suffix}`;
}
