import { MsgHdrsImpl, type Msg, type MsgHdrs } from '@nats-io/nats-core';
import type { BusMessage } from './bus.ts';

/** Headers in the client's form. Built directly: the client's own `set` looks each name up and costs more than all else in a publish. */
export function toNatsHeaders(headers: Readonly<Record<string, string>>): MsgHdrs {
  const lists: Record<string, string[]> = {};
  for (const name in headers) {
    const value = headers[name] ?? '';
    if (/[\r\n]/.test(value)) throw new Error(`header ${name} must not contain a line break`);
    lists[name] = [value];
  }
  return MsgHdrsImpl.fromRecord(lists);
}

export function fromNats(message: Msg): BusMessage {
  const headers: Record<string, string> = {};
  if (message.headers !== undefined) for (const [name, values] of message.headers) headers[name] = values[0] ?? '';
  return {
    subject: message.subject,
    headers,
    data: message.data,
    ...(message.reply === undefined || message.reply === '' ? {} : { reply: message.reply }),
  };
}
