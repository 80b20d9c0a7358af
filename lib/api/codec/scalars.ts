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

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** Whether a text is base64 of the standard alphabet; line ends between the groups are allowed, as in manifests. */
export const isBase64 = (text: string): boolean => base64.test(text.includes('\n') ? text.replace(/\r?\n/g, '') : text);
