import { ApiError } from '../base/errors.ts';
import type { Bus, BusMessage, EventStream, Subscription } from './bus.ts';
import { subjectMatches } from './subjects.ts';

interface Listener {
  readonly subject: string;
  readonly connection: MemoryBus;
  readonly onMessage: (message: BusMessage) => void;
  readonly onGap: () => void;
  /** How many messages of each connection it was sent. */
  readonly sent: WeakMap<MemoryBus, number>;
}

/** What several connections in one process share: the place of the server. */
export class MemoryBroker {
  readonly #listeners = new Set<Listener>();
  readonly #captured: { readonly message: BusMessage; readonly sequence: number }[] = [];
  #subjects: readonly string[] = [];
  #maxBytes = 0;
  #bytes = 0;
  #sequence = 0;
  #inbox = 0;
  #streamBroken = false;

  add(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  newInbox(): string {
    return `_INBOX.${++this.#inbox}`;
  }

  /** How many subscriptions will hear it; delivery happens after the present turn, in order. */
  deliver(message: BusMessage, sender: MemoryBus): number {
    let count = 0;
    for (const listener of this.#listeners) {
      if (!listener.connection.connected || !subjectMatches(listener.subject, message.subject)) continue;
      count++;
      const n = listener.connection.dropsEvery;
      if (n > 0 && !listener.subject.startsWith('_INBOX.')) {
        const sent = (listener.sent.get(sender) ?? 0) + 1;
        listener.sent.set(sender, sent);
        if (sent % n === 0) continue;
      }
      queueMicrotask(() => {
        if (this.#listeners.has(listener) && listener.connection.connected) listener.onMessage(message);
      });
    }
    return count;
  }

  /** Loses the stream, as a server whose folder was wiped. */
  wipeStream(): void {
    this.#captured.length = 0;
    this.#subjects = [];
    this.#sequence = 0;
    this.#bytes = 0;
  }

  /** Makes the stream refuse everything while core messages go on, as a server whose disk is full. */
  breakStream(broken: boolean): void {
    this.#streamBroken = broken;
  }

  ensureStream(subjects: readonly string[], maxBytes: number): void {
    this.#checkStream();
    this.#subjects = subjects;
    this.#maxBytes = maxBytes;
  }

  capture(message: BusMessage, expectedLastSequence: number): number {
    this.#checkStream();
    if (!this.#subjects.some((subject) => subjectMatches(subject, message.subject))) {
      throw new ApiError('ServiceUnavailable', `no stream captures ${message.subject}`);
    }
    if (this.#sequence !== expectedLastSequence) {
      throw new ApiError(
        'Conflict',
        `the stream is at sequence ${this.#sequence}, not at ${expectedLastSequence}: another publisher has written`,
      );
    }
    this.#captured.push({ message, sequence: ++this.#sequence });
    this.#bytes += message.data.length;
    while (this.#bytes > this.#maxBytes) this.#bytes -= this.#captured.shift()?.message.data.length ?? this.#bytes;
    return this.#sequence;
  }

  last(subject = '>'): { readonly message: BusMessage; readonly sequence: number } | undefined {
    this.#checkStream();
    return this.#captured.findLast(({ message }) => subjectMatches(subject, message.subject));
  }

  /** Everything the stream holds, oldest first. */
  get captured(): readonly BusMessage[] {
    return this.#captured.map(({ message }) => message);
  }
  get lastSequence(): number {
    return this.#sequence;
  }

  #checkStream(): void {
    if (this.#streamBroken) throw new ApiError('ServiceUnavailable', 'the stream is not available');
  }
}

/**
 * A bus in one process, for tests that run all loops together. Messages arrive after the turn in which they were published, in order.
 * It can be told to lose messages as core NATS does (`dropEvery`, silently) and to lose its connection.
 * Several connections to the same broker: `new MemoryBus(bus.broker)`.
 */
export class MemoryBus implements Bus {
  readonly broker: MemoryBroker;
  readonly stream: EventStream;
  readonly maxMessageBytes = 1 << 20;
  readonly #listeners = new Map<Listener, () => void>();
  readonly #statusListeners = new Set<(connected: boolean) => void>();
  #connected = true;
  #closed = false;
  #dropEvery = 0;

  constructor(broker = new MemoryBroker()) {
    this.broker = broker;
    this.stream = {
      ensure: async (options) => {
        this.#check();
        broker.ensureStream(options.subjects, options.maxBytes);
      },
      append: async (messages, expectedLastSequence) => {
        this.#check();
        let sequence = expectedLastSequence;
        for (const message of messages) {
          // As in NATS, subscribers hear a message whether or not the stream takes it.
          broker.deliver(message, this);
          sequence = broker.capture(message, sequence);
        }
        return sequence;
      },
      last: async (subject) => {
        this.#check();
        return broker.last(subject);
      },
      lastSequence: async () => {
        this.#check();
        return broker.lastSequence;
      },
    };
  }

  /**
   * Loses every `n`th message that a subscription of this connection is sent by any other, without a word; 0 loses none. Each sender's
   * are counted apart: of several that send by turns, as heartbeats are sent, none must lose all of its own.
   */
  dropEvery(n: number): void {
    this.#dropEvery = n;
  }
  get dropsEvery(): number {
    return this.#dropEvery;
  }

  disconnect(): void {
    if (this.#connected) this.#setConnected(false);
  }

  reconnect(): void {
    if (this.#connected || this.#closed) return;
    this.#setConnected(true);
    for (const listener of this.#listeners.keys()) listener.onGap();
  }

  get connected(): boolean {
    return this.#connected;
  }

  onStatus(listener: (connected: boolean) => void): () => void {
    this.#statusListeners.add(listener);
    listener(this.#connected);
    return () => this.#statusListeners.delete(listener);
  }

  publish(message: BusMessage): void {
    this.#check();
    this.broker.deliver(message, this);
  }

  async flush(): Promise<void> {
    this.#check();
  }

  subscribe(subject: string, onMessage: (message: BusMessage) => void, onGap: () => void): Subscription {
    const listener = { subject, onMessage, onGap, connection: this, sent: new WeakMap<MemoryBus, number>() };
    const remove = this.broker.add(listener);
    this.#listeners.set(listener, remove);
    return {
      ready: this.#connected ? Promise.resolve() : this.#untilConnected(),
      close: () => {
        this.#listeners.delete(listener);
        remove();
      },
    };
  }

  async request(subject: string, data: Uint8Array, timeoutMs: number): Promise<BusMessage> {
    this.#check();
    const reply = this.broker.newInbox();
    return new Promise((resolve, reject) => {
      const finish = (): void => {
        clearTimeout(timer);
        subscription.close();
      };
      const subscription = this.subscribe(
        reply,
        (message) => {
          finish();
          resolve(message);
        },
        () => undefined,
      );
      const timer = setTimeout(() => {
        finish();
        reject(new ApiError('Timeout', `no answer on ${subject} within ${timeoutMs} ms`));
      }, timeoutMs);
      if (this.broker.deliver({ subject, headers: {}, data, reply }, this) === 0) {
        finish();
        reject(new ApiError('NotFound', `nobody listens on ${subject}`));
      }
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const remove of this.#listeners.values()) remove();
    this.#listeners.clear();
    if (this.#connected) this.#setConnected(false);
  }

  #setConnected(connected: boolean): void {
    this.#connected = connected;
    for (const listener of this.#statusListeners) listener(connected);
  }

  #untilConnected(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.onStatus((connected) => {
        if (!connected) return;
        queueMicrotask(() => {
          stop();
        });
        resolve();
      });
    });
  }

  #check(): void {
    if (!this.#connected) throw new ApiError('ServiceUnavailable', 'the bus is not connected');
  }
}
