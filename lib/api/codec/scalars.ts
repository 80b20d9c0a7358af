import { ApiError } from '../../base/errors.ts';

/** A moment as the wire has it. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

const rfc3339 = /^(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339 as seconds and nanoseconds; undefined when the text is none, or names no real moment. */
export function parseTime(text: string): Timestamp | undefined {
  const found = rfc3339.exec(text);
  if (found === null) return undefined;
  const [, moment = '', fraction = '', zone = ''] = found;
  const ms = Date.parse(`${moment.toUpperCase()}${zone.toUpperCase()}`);
  if (Number.isNaN(ms)) return undefined;
  return { seconds: ms / 1000, nanos: Number(fraction.padEnd(9, '0')) };
}

/** `2026-01-31T12:00:00Z`. BadRequest when no calendar has the moment. */
export const timeText = (seconds: number): string => `${calendar(seconds)}Z`;

/** `2026-01-31T12:00:00.123456Z`. */
export const microTimeText = (seconds: number, nanos: number): string =>
  `${calendar(seconds)}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;

function calendar(seconds: number): string {
  const ms = seconds * 1000;
  if (!(Math.abs(ms) <= 8.64e15)) throw new ApiError('BadRequest', `a time of ${seconds} s since 1970 is no date`);
  const text = new Date(ms).toISOString();
  return text.slice(0, text.length - 5);
}

const nanosPerUnit: Readonly<Record<string, number>> = {
  ...{ ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9, m: 60e9, h: 3600e9 },
};

/** `1h2m3.5s` as nanoseconds; undefined when the text is no such span, or is too long for a number to hold exactly. */
export function parseDuration(text: string): number | undefined {
  const [, sign = '', rest = ''] = /^(-?)((?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h))+|0)$/.exec(text) ?? [];
  if (rest === '') return undefined;
  let nanos = 0;
  for (const [, amount, unit = ''] of rest.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h)/g)) {
    nanos += Number(amount) * (nanosPerUnit[unit] ?? NaN);
  }
  nanos = Math.round(nanos);
  if (!Number.isSafeInteger(nanos)) return undefined;
  return sign === '' || nanos === 0 ? nanos : -nanos;
}

/** Nanoseconds as hours, minutes and seconds: `1h0m3.5s`; below a second in the largest unit that is whole before the point: `1.5ms`. */
export function durationText(nanos: number): string {
  if (nanos === 0) return '0s';
  const sign = nanos < 0 ? '-' : '';
  const rest = Math.abs(nanos);
  if (rest < 1e9) {
    const [unit, size] =
      rest < 1e3 ? (['ns', 1] as const) : rest < 1e6 ? (['µs', 1e3] as const) : (['ms', 1e6] as const);
    return `${sign}${decimal(rest, size)}${unit}`;
  }
  const hours = Math.floor(rest / 3600e9);
  const minutes = Math.floor(rest / 60e9) % 60;
  const larger = `${hours > 0 ? `${hours}h` : ''}${hours > 0 || minutes > 0 ? `${minutes}m` : ''}`;
  return `${sign}${larger}${decimal(rest % 60e9, 1e9)}s`;
}

/** A quotient by a power of ten, exactly, without zeros at the end. */
function decimal(value: number, size: number): string {
  const fraction =
    size === 1
      ? ''
      : String(value % size)
          .padStart(Math.log10(size), '0')
          .replace(/0+$/, '');
  return fraction === '' ? String(Math.floor(value / size)) : `${Math.floor(value / size)}.${fraction}`;
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** Whether a text is base64 of the standard alphabet; line ends between the groups are allowed, as in manifests. */
export const isBase64 = (text: string): boolean => base64.test(text.includes('\n') ? text.replace(/\r?\n/g, '') : text);
