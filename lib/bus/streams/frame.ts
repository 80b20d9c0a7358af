import type { BusMessage } from '../bus.ts';

/**
 * What travels between the two ends of a stream, one bus message each. `data`, `end` and `close` are numbered from 0 for each
 * direction, are kept by their sender until they are acknowledged, and are handed over in order. The other kinds are not
 * numbered and may be lost. Every frame says what its sender expects next and how much it has room for.
 */
export interface Frame extends Standing {
  readonly kind: FrameKind;
  /** Of `data`, `end` and `close`. */
  readonly number: number;
  /** Of `data` and `end`, such as `stdin` or `stderr`. */
  readonly channel: string;
  readonly data: Uint8Array;
}

export interface Standing {
  /** The number of the first frame that has not been received: all before it have. */
  readonly next: number;
  /** The cost of all frames, from the first on, that the other end may have sent in total. Grows only. */
  readonly room: number;
}

/**
 * `data`: bytes on a channel. `end`: a channel has no more. `close`: the stream is over, the body says how (`Ending`).
 * `ack`: only the standing. `missing`: send frame `next` again. `ping`: answer with an `ack`.
 * `reset`: over at once, the body says why (`Failure`).
 */
export type FrameKind = 'data' | 'end' | 'close' | 'ack' | 'missing' | 'ping' | 'reset';

const kinds: ReadonlySet<string> = new Set(['data', 'end', 'close', 'ack', 'missing', 'ping', 'reset']);
export const isNumbered = (kind: FrameKind): boolean => kind === 'data' || kind === 'end' || kind === 'close';

/** Channels on which each piece is a message by itself; on all others only the bytes count, however they are cut. */
export const messageChannels: ReadonlySet<string> = new Set(['resize', 'about']);

/** What a frame takes of the other end's room: data its bytes, and as much again as the keeping of a small one costs. */
export const costOf = ({ kind, data }: Pick<Frame, 'kind' | 'data'>): number =>
  kind === 'data' ? data.length + 256 : 0;

const headers = {
  kind: 'troupe-frame',
  number: 'troupe-number',
  channel: 'troupe-channel',
  next: 'troupe-next',
  room: 'troupe-room',
} as const;

export const frameMessage = (subject: string, frame: Frame): BusMessage => ({
  subject,
  headers: {
    [headers.kind]: frame.kind,
    [headers.next]: String(frame.next),
    [headers.room]: String(frame.room),
    ...(isNumbered(frame.kind) ? { [headers.number]: String(frame.number) } : {}),
    ...(frame.channel === '' ? {} : { [headers.channel]: frame.channel }),
  },
  data: frame.data,
});

/** Undefined for a message that is no frame. */
export function readFrame(message: BusMessage): Frame | undefined {
  const kind = message.headers[headers.kind] ?? '';
  const next = Number(message.headers[headers.next]);
  const room = Number(message.headers[headers.room]);
  const number = Number(message.headers[headers.number] ?? 0);
  if (!kinds.has(kind) || ![next, room, number].every((value) => Number.isSafeInteger(value) && value >= 0)) {
    return undefined;
  }
  const channel = message.headers[headers.channel] ?? '';
  return { kind: kind as FrameKind, number, channel, data: message.data, next, room };
}
