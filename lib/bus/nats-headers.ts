import { MsgHdrsImpl, type Msg, type MsgHdrs } from '@nats-io/nats-core';
import type { BusMessage } from './bus.ts';

/** Headers as they are sent. The client's own are a map of lists, whose making and reading costs more than all else in a publish. */
class EncodedHeaders extends MsgHdrsImpl {
  readonly #text: string;

  constructor(text: string) {
    super();
    this.#text = text;
  }
  override encode(): Uint8Array {
    return Buffer.from(this.#text);
  }
}

/** Headers for the client to send; it is asked for nothing else. Throws where a value would break a line. */
export function toNatsHeaders(headers: Readonly<Record<string, string>>): MsgHdrs {
  let text = 'NATS/1.0\r\n';
  for (const name in headers) {
    const value = headers[name] ?? '';
    if (/[\r\n]/.test(value)) throw new Error(`header ${name} must not contain a line break`);
    text += `${name}: ${value}\r\n`;
  }
  return new EncodedHeaders(`${text}\r\n`);
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
