import { NoRespondersError, RequestError, TimeoutError, type NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { backoffMs } from '../base/backoff.ts';
import { systemClock, wait } from '../base/clock.ts';
import { ApiError, messageOf } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Bus, BusMessage, EventStream, Subscription } from './bus.ts';
import { fromNats, toNatsHeaders } from './nats-headers.ts';
import { NatsStream } from './nats-stream.ts';

export interface BusOptions {
  /** Such as `nats://127.0.0.1:4222`; several are tried in turn. */
  readonly servers: readonly string[];
  /** Shown by the server in its list of connections. */
  readonly name: string;
  /** Names the stream; the bus serves one cluster. */
  readonly cluster: string;
  readonly log: Log;
}

/** Returns at once; the connection is made, and made again for ever, in the background. */
export const connectBus = (options: BusOptions): Bus => new NatsBus(options);

interface Listener {
  readonly subject: string;
  readonly onMessage: (message: BusMessage) => void;
  readonly onGap: () => void;
  readonly ready: () => void;
  stop: () => void;
}

const retry = { firstMs: 50, maxMs: 1_000, jitter: 0.5 };
const connectTimeoutMs = 2_000;
/** What may be on its way to the server before `publish` refuses more. */
const maxUnsentBytes = 64 << 20;
const flushEveryBytes = 1 << 20;

/**
 * NATS behind EventBus. A connection is one `NatsConnection` that does not reconnect by itself: when it ends, the next one
 * is made here and every subscription is made anew on it, so that there is one place that knows what may have been lost.
 * A subscriber that is too slow is cut off by the server, which shows here as a lost connection.
 */
class NatsBus implements Bus {
  readonly stream: EventStream;
  readonly #options: BusOptions;
  readonly #listeners = new Set<Listener>();
  readonly #statusListeners = new Set<(connected: boolean) => void>();
  readonly #closing = new AbortController();
  readonly #ended: Promise<void>;
  #connection: NatsConnection | undefined;
  #publishedBytes = 0;
  #takenBytes = 0;
  #flushing = false;

  constructor(options: BusOptions) {
    this.#options = options;
    this.stream = new NatsStream(options.cluster, () => this.#connected());
    this.#ended = this.#keepConnected();
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  get maxMessageBytes(): number {
    return this.#connection?.info?.max_payload ?? 1 << 20;
  }

  onStatus(listener: (connected: boolean) => void): () => void {
    this.#statusListeners.add(listener);
    listener(this.connected);
    return () => this.#statusListeners.delete(listener);
  }

  publish({ subject, headers, data, reply }: BusMessage): void {
    const connection = this.#connected();
    if (this.#publishedBytes - this.#takenBytes > maxUnsentBytes) {
      throw new ApiError('ServiceUnavailable', 'the bus does not take messages as fast as they are published');
    }
    const isPlain = Object.keys(headers).length === 0;
    connection.publish(subject, data, {
      ...(isPlain ? {} : { headers: toNatsHeaders(headers) }),
      ...(reply === undefined ? {} : { reply }),
    });
    this.#publishedBytes += data.length + 256;
    this.#trackUnsent(connection);
  }

  async flush(): Promise<void> {
    const connection = this.#connected();
    await whileOpen(connection, connection.flush());
  }

  subscribe(subject: string, onMessage: (message: BusMessage) => void, onGap: () => void): Subscription {
    let ready = (): void => undefined;
    const isReady = new Promise<void>((resolve) => (ready = resolve));
    const listener: Listener = { subject, onMessage, onGap, ready, stop: () => undefined };
    this.#listeners.add(listener);
    const connection = this.#connection;
    if (connection !== undefined) {
      this.#attach(connection, listener);
      // Where the flush fails the connection is gone, and the next one says when it is ready.
      void connection.flush().then(ready, () => undefined);
    }
    return {
      ready: isReady,
      close: () => {
        this.#listeners.delete(listener);
        listener.stop();
      },
    };
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<BusMessage> {
    try {
      return fromNats(await this.#connected().request(subject, data, { timeout: timeoutMs }));
    } catch (error) {
      throw requestError(error, subject, timeoutMs);
    }
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return this.#ended;
    this.#closing.abort(new Error('the bus was closed'));
    const connection = this.#connection;
    if (connection !== undefined) {
      const late = wait(systemClock, 2_000);
      await Promise.race([connection.drain().catch(() => undefined), late]);
      await connection.close();
    }
    await this.#ended;
  }

  #connected(): NatsConnection {
    if (this.#connection !== undefined) return this.#connection;
    throw new ApiError('ServiceUnavailable', `the bus at ${this.#options.servers.join(', ')} is not connected`);
  }

  async #keepConnected(): Promise<void> {
    const { servers, name, log } = this.#options;
    const { signal } = this.#closing;
    let failures = 0;
    let wasConnected = false;
    while (!signal.aborted) {
      try {
        const connection = await connect({
          servers: [...servers],
          name,
          reconnect: false,
          timeout: connectTimeoutMs,
          pingInterval: 2_000,
          maxPingOut: 2,
        });
        if (signal.aborted) return void (await connection.close());
        await this.#use(connection, wasConnected, () => (failures = 0));
        wasConnected = true;
        if (!signal.aborted) log.warn({ servers }, 'the bus is away; trying again until it is back');
      } catch (error) {
        if (failures === 0 && !wasConnected && !signal.aborted) {
          log.warn({ servers, error: messageOf(error) }, 'the bus cannot be reached; trying again until it can');
        }
      }
      if (signal.aborted) return;
      await wait(systemClock, backoffMs(failures++, retry), signal).catch(() => undefined);
    }
  }

  /** Serves one connection from its first flush to its end. */
  async #use(connection: NatsConnection, isReturn: boolean, onUp: () => void): Promise<void> {
    const closed = connection.closed();
    void this.#readStatus(connection);
    const known = [...this.#listeners];
    for (const listener of known) this.#attach(connection, listener);
    // Connected means: the server knows every subscription.
    const isUp = await Promise.race([connection.flush().then(() => true), closed.then(() => false)]);
    if (!isUp) return;
    // Those that came meanwhile are as if they came now.
    const late = [...this.#listeners].filter((listener) => !known.includes(listener));
    for (const listener of late) this.#attach(connection, listener);
    onUp();
    this.#publishedBytes = this.#takenBytes = 0;
    this.#connection = connection;
    this.#options.log.info({ server: connection.getServer() }, 'the bus is connected');
    for (const listener of known) {
      if (!this.#listeners.has(listener)) continue;
      listener.ready();
      if (isReturn) listener.onGap();
    }
    if (late.length > 0) {
      const ready = (): void => late.forEach((listener) => listener.ready());
      void connection.flush().then(ready, () => undefined); // where that fails, the next connection says when
    }
    this.#tellStatus(true);
    await closed;
    this.#connection = undefined;
    this.#tellStatus(false);
  }

  #tellStatus(connected: boolean): void {
    for (const listener of [...this.#statusListeners]) listener(connected);
  }

  async #readStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'error') this.#options.log.warn({ error: status.error.message }, 'the bus reports an error');
      if (status.type === 'ldm') this.#options.log.info('the bus server is about to stop');
    }
  }

  #attach(connection: NatsConnection, listener: Listener): void {
    const { log } = this.#options;
    const subscription = connection.subscribe(listener.subject, {
      callback: (error, message) => {
        if (error !== null) {
          log.warn({ subject: listener.subject, error: error.message }, 'a subscription failed');
          return;
        }
        try {
          listener.onMessage(fromNats(message));
        } catch (thrown) {
          log.error({ subject: message.subject, error: messageOf(thrown) }, 'a subscriber threw');
        }
      },
    });
    listener.stop = () => {
      if (!connection.isClosed()) subscription.unsubscribe();
    };
  }

  /** Learns now and then how much the server has taken: what was published before a flush has arrived when it returns. */
  #trackUnsent(connection: NatsConnection): void {
    if (this.#flushing || this.#publishedBytes - this.#takenBytes < flushEveryBytes) return;
    this.#flushing = true;
    const mark = this.#publishedBytes;
    const done = (): void => {
      this.#flushing = false;
      if (connection === this.#connection) this.#takenBytes = Math.max(this.#takenBytes, mark);
    };
    whileOpen(connection, connection.flush()).then(done, done);
  }
}

/** The client never settles what was under way when a connection ends. */
function whileOpen<T>(connection: NatsConnection, work: Promise<T>): Promise<T> {
  const lost = connection.closed().then(() => {
    throw new ApiError('ServiceUnavailable', 'the connection to the bus was lost');
  });
  return Promise.race([work, lost]);
}

function requestError(error: unknown, subject: string, timeoutMs: number): ApiError {
  if (error instanceof ApiError) return error;
  const cause = error instanceof Error ? error.cause : undefined;
  if (error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders())) {
    return new ApiError('NotFound', `nobody listens on ${subject}`, {}, { cause: error });
  }
  if (error instanceof TimeoutError || cause instanceof TimeoutError) {
    return new ApiError('Timeout', `no answer on ${subject} within ${timeoutMs} ms`, {}, { cause: error });
  }
  return new ApiError(
    'ServiceUnavailable',
    `the bus could not ask ${subject}: ${messageOf(error)}`,
    {},
    { cause: error },
  );
}
