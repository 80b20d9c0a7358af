/**
 * The event bus as the rest of the code sees it: core publish and subscribe, plus one stream that captures
 * and replays the cluster's change subjects (design: "The bus: every change, once, in order").
 * Delivery to subscribers is at most once; `view/` notices what was lost. Methods reject with
 * ApiError `ServiceUnavailable` while the bus is away. Implementations: NatsBus, and MemoryBus for tests.
 */
export interface EventBus {
  /** Hands the message to the connection; order per connection is kept. Never waits for a subscriber. Throws ServiceUnavailable when not connected. */
  publish(message: BusMessage): void;

  /** Resolves when everything published before has reached the server. */
  flush(): Promise<void>;

  /**
   * Calls `onMessage` for each message on `subject` (wildcards `*` and `>` as in NATS) in order, until closed.
   * Survives reconnects. `onGap` is called when messages may have been lost: a reconnect, or a slow consumer.
   */
  subscribe(subject: string, onMessage: (message: BusMessage) => void, onGap: () => void): Subscription;

  /** One question, one answer, for the node subjects (logs, exec). Rejects with Timeout, or NotFound when nobody listens. */
  request(subject: string, data: Uint8Array, timeoutMs: number): Promise<BusMessage>;

  /** The largest message that the server takes, headers included. */
  readonly maxMessageBytes: number;

  /** Whether the server is reachable now; `onStatus` calls on every change of it, and once at once. */
  readonly connected: boolean;
  onStatus(listener: (connected: boolean) => void): () => void;

  /** Finishes what was published and disconnects. Closing twice is harmless. */
  close(): Promise<void>;
}

export interface BusMessage {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Uint8Array;
  /** Where an answer goes, when one is wanted. */
  readonly reply?: string;
}

export interface Subscription {
  close(): void;
  /** Resolves once the server knows of the subscription: what is published from then on arrives. */
  readonly ready: Promise<void>;
}

/** The connection of a process: the bus and the cluster's stream. */
export interface Bus extends EventBus {
  readonly stream: EventStream;
}

/** The stream that captures every change subject, for replay. Only the relay writes to it. */
export interface EventStream {
  /** Creates the stream, or brings its subjects and bounds up to date; what it holds stays. */
  ensure(options: {
    readonly subjects: readonly string[];
    readonly maxAgeMs: number;
    readonly maxBytes: number;
  }): Promise<void>;

  /**
   * Publishes in order and resolves when the stream has captured all of them. `expectedLastSequence` fences a stale
   * publisher: Conflict when another has written meanwhile. Resolves to the sequence of the last one. Subscribers hear the
   * messages in any case, at most once. Several appends may be under way, each counting on the one before it.
   */
  append(messages: readonly BusMessage[], expectedLastSequence: number): Promise<number>;

  /** The last message captured (its sequence too), or undefined when the stream is empty; with a subject, the last on it (wildcards allowed). */
  last(subject?: string): Promise<{ readonly message: BusMessage; readonly sequence: number } | undefined>;

  /** The sequence of the last message ever captured, which may have expired since; 0 for a stream that never had one. */
  lastSequence(): Promise<number>;
}
