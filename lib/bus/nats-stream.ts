import { JetStreamApiCodes, JetStreamApiError, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import { nanos, type NatsConnection } from '@nats-io/nats-core';
import { ApiError, messageOf } from '../base/errors.ts';
import type { BusMessage, EventStream } from './bus.ts';
import { toNatsHeaders } from './nats-headers.ts';

const timeoutMs = 5_000;
/** How long a message id is remembered by the server. */
const duplicateWindowMs = 120_000;

/** The stream of a cluster: letters and digits only, since the name becomes part of subjects and of a folder. */
export const streamName = (cluster: string): string => `TROUPE_${cluster.replaceAll(/[^A-Za-z0-9-]/g, '_')}`;

/** The server's answer to a captured message. */
interface PublishAck {
  readonly seq?: number;
  readonly duplicate?: boolean;
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description: string };
}

/** EventStream over JetStream. Works with nats-server from 2.9. */
export class NatsStream implements EventStream {
  readonly #name: string;
  readonly #connection: () => NatsConnection;
  #manager: { readonly connection: NatsConnection; readonly manager: Promise<JetStreamManager> } | undefined;

  /** `connection` throws ServiceUnavailable while there is none. */
  constructor(cluster: string, connection: () => NatsConnection) {
    this.#name = streamName(cluster);
    this.#connection = connection;
  }

  async ensure(options: Parameters<EventStream['ensure']>[0]): Promise<void> {
    const wanted = {
      subjects: [...options.subjects],
      max_age: nanos(options.maxAgeMs),
      max_bytes: options.maxBytes,
      duplicate_window: nanos(Math.min(duplicateWindowMs, options.maxAgeMs)),
    };
    await this.#ask(async ({ streams }) => {
      try {
        await streams.info(this.#name);
      } catch (error) {
        if (!hasCode(error, JetStreamApiCodes.StreamNotFound)) throw error;
        await streams.add({ name: this.#name, storage: 'file', retention: 'limits', discard: 'old', ...wanted });
        return;
      }
      await streams.update(this.#name, wanted);
    });
  }

  /**
   * Every message states the sequence it expects, and only the last asks for an answer: it can only be captured
   * when all before it were. So a thousand messages cost one round trip.
   */
  async append(messages: readonly BusMessage[], expectedLastSequence: number): Promise<number> {
    const connection = this.#connection();
    let expected = expectedLastSequence;
    let answer: Promise<{ readonly data: Uint8Array }> | undefined;
    for (const [index, message] of messages.entries()) {
      const headers = toNatsHeaders({
        ...message.headers,
        'Nats-Expected-Stream': this.#name,
        'Nats-Expected-Last-Sequence': String(expected++),
      });
      if (index < messages.length - 1) connection.publish(message.subject, message.data, { headers });
      else answer = connection.request(message.subject, message.data, { headers, timeout: timeoutMs });
    }
    if (answer === undefined) return expectedLastSequence;
    let ack: PublishAck;
    try {
      ack = JSON.parse(new TextDecoder().decode((await answer).data)) as PublishAck;
    } catch (error) {
      throw unavailable(error);
    }
    if (ack.error !== undefined) {
      const isFenced = ack.error.err_code === JetStreamApiCodes.StreamWrongLastSequence;
      throw new ApiError(isFenced ? 'Conflict' : 'ServiceUnavailable', `the stream refused: ${ack.error.description}`);
    }
    if (ack.seq !== expected) {
      throw new ApiError('Conflict', `the stream captured the last message as ${ack.seq}, not as ${expected}`);
    }
    return expected;
  }

  async last(subject?: string): Promise<{ readonly message: BusMessage; readonly sequence: number } | undefined> {
    return this.#ask(async ({ streams }) => {
      try {
        const sequence = subject === undefined ? (await streams.info(this.#name)).state.last_seq : undefined;
        if (sequence === 0) return undefined; // there is no message 0 to ask for
        const query = sequence === undefined ? { last_by_subj: subject ?? '' } : { seq: sequence };
        const found = await streams.getMessage(this.#name, query);
        if (found === null) return undefined;
        const headers: Record<string, string> = {};
        for (const [name, values] of found.header) headers[name] = values[0] ?? '';
        return { message: { subject: found.subject, headers, data: found.data }, sequence: found.seq };
      } catch (error) {
        if (hasCode(error, JetStreamApiCodes.NoMessageFound)) return undefined;
        throw error;
      }
    });
  }

  async lastSequence(): Promise<number> {
    return this.#ask(async ({ streams }) => (await streams.info(this.#name)).state.last_seq);
  }

  /** One manager a connection; it is bound to it. */
  async #ask<T>(question: (manager: JetStreamManager) => Promise<T>): Promise<T> {
    const connection = this.#connection();
    if (this.#manager?.connection !== connection) {
      const manager = jetstreamManager(connection, { checkAPI: false, timeout: timeoutMs });
      this.#manager = { connection, manager };
    }
    try {
      return await question(await this.#manager.manager);
    } catch (error) {
      throw unavailable(error);
    }
  }
}

const hasCode = (error: unknown, code: number): boolean => error instanceof JetStreamApiError && error.code === code;

const unavailable = (error: unknown): ApiError =>
  error instanceof ApiError
    ? error
    : new ApiError('ServiceUnavailable', `the stream is not available: ${messageOf(error)}`, {}, { cause: error });
