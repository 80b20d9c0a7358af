import { Client, credentials, Metadata, type ClientDuplexStream, type ServiceError } from '@grpc/grpc-js';
import { decodeMessage, encodeMessage } from '../api/codec/message.ts';
import type { Messages } from '../api/gen/messages.ts';
import { serviceOf, services } from '../api/gen/services.ts';
import type { FileAbout, LogWish, TerminalSize } from '../api/streams.ts';
import { ApiError } from '../base/errors.ts';
import { channelOptions } from './channels.ts';
import { fromStatus } from './codes.ts';

export interface PodTarget {
  readonly namespace: string;
  readonly pod: string;
  /** May be left out where the pod has one, or names one by its annotation. */
  readonly container?: string;
}

/**
 * Streams into pods through the API. Each lasts until it ends by itself or is aborted; there is no deadline but for the server's first
 * word. All reject or throw with ApiError. Nothing is read that is not taken, and a write resolves when more may be written.
 */
export interface PodStreams {
  /** What a container has written, cut anywhere; with `follow`, `onPosition` hears where that is after what was taken so far. */
  logs(
    target: PodTarget,
    wish: LogWish,
    signal: AbortSignal,
    onPosition?: (position: string) => void,
  ): AsyncIterable<Uint8Array>;
  exec(target: PodTarget, wish: ExecWish, signal: AbortSignal): PodProcess;
  attach(target: PodTarget, wish: { readonly stdin: boolean }, signal: AbortSignal): PodProcess;
  /** A connection to a port inside the pod. */
  connect(target: PodTarget, port: number, signal: AbortSignal): PodConnection;
  /** A file or folder as a tar. */
  readFiles(target: PodTarget, path: string, signal: AbortSignal): Promise<PodFiles>;
  /** Unpacks a tar into a folder that is there; resolves when all is written. */
  writeFiles(target: PodTarget, folder: string, tar: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  close(): void;
}

export interface ExecWish {
  readonly command: readonly string[];
  readonly stdin: boolean;
  readonly tty: boolean;
}

export interface PodProcess {
  /** One reader. Ends when the process has ended. */
  readonly output: AsyncIterable<{ readonly channel: 'stdout' | 'stderr'; readonly data: Uint8Array }>;
  /** After `output` has ended; undefined for a container that runs on. */
  readonly exitCode: number | undefined;
  /** What has ended takes everything and forgets it. */
  write(data: Uint8Array): Promise<void>;
  endInput(): void;
  resize(size: TerminalSize): void;
}

export interface PodConnection {
  readonly data: AsyncIterable<Uint8Array>;
  write(data: Uint8Array): Promise<void>;
  /** Ends this direction; the other goes on. */
  end(): void;
}

export interface PodFiles extends FileAbout {
  readonly tar: AsyncIterable<Uint8Array>;
}

export interface PodStreamsOptions {
  readonly address: string;
  readonly userAgent?: string;
  /** Within which the server must have heard a call; default 10 s. */
  readonly timeoutMs?: number;
}

const service = serviceOf.pods;
/** Larger pieces are cut: the server takes frames of up to 1 MiB, and small ones make way for each other. */
const frameBytes = 256 * 1024;

/** Connects when first used; a broken connection ends the streams on it, and the next stream makes a new one. */
export function newPodStreams(options: PodStreamsOptions): PodStreams {
  const client = new Client(options.address, credentials.createInsecure(), {
    ...channelOptions,
    'grpc.use_local_subchannel_pool': 1,
    ...(options.userAgent === undefined ? {} : { 'grpc.primary_user_agent': options.userAgent }),
  });
  const open = (method: string, signal: AbortSignal): Call => new Call(client, method, signal, options);

  function process(method: 'Exec' | 'Attach', start: object, signal: AbortSignal): PodProcess {
    const call = open(method, signal);
    let exitCode: number | undefined;
    void call.send({ start });
    return {
      output: (async function* () {
        for await (const reply of call.replies<Messages['ExecReply']>()) {
          if (reply.stdout !== undefined) yield { channel: 'stdout', data: reply.stdout } as const;
          else if (reply.stderr !== undefined) yield { channel: 'stderr', data: reply.stderr } as const;
          else if (reply.exit !== undefined) exitCode = reply.exit.code;
        }
      })(),
      get exitCode() {
        return exitCode;
      },
      write: (data) => call.sendBytes((stdin) => ({ stdin }), data),
      endInput: () => {
        call.end();
      },
      resize: (resize) => void call.send({ resize }),
    };
  }

  return {
    async *logs(target, wish, signal, onPosition) {
      const call = open('Logs', signal);
      void call.send({ target: message(target), ...logsMessage(wish) });
      call.end();
      for await (const { data, position } of call.replies<Messages['LogsReply']>()) {
        if (position === '') yield data;
        else onPosition?.(position);
      }
    },
    exec: (target, wish, signal) => process('Exec', { target: message(target), ...wish }, signal),
    attach: (target, wish, signal) => process('Attach', { target: message(target), ...wish }, signal),
    connect(target, port, signal) {
      const call = open('PortForward', signal);
      void call.send({ start: { target: message(target), port } });
      return {
        data: (async function* () {
          for await (const { data } of call.replies<Messages['PortForwardReply']>()) yield data;
        })(),
        write: (data) => call.sendBytes((part) => ({ data: part }), data),
        end: () => {
          call.end();
        },
      };
    },
    async readFiles(target, path, signal) {
      const call = open('ReadFiles', signal);
      void call.send({ target: message(target), path });
      call.end();
      const replies = call.replies<Messages['ReadFilesReply']>();
      const first = await replies.next();
      const about = first.done === true ? undefined : first.value.about;
      if (about === undefined) throw new ApiError('InternalError', `the server did not say what is at ${path}`);
      const tar = (async function* () {
        for await (const reply of replies) if (reply.tar !== undefined) yield reply.tar;
      })();
      return { name: about.name, sizeBytes: about.size_bytes, isFolder: about.is_folder, tar };
    },
    async writeFiles(target, path, tar, signal) {
      const call = open('WriteFiles', signal);
      void call.send({ start: { target: message(target), path } });
      const replies = call.replies<Messages['WriteFilesReply']>();
      const answer = replies.next();
      answer.catch(() => undefined); // it is awaited below, after what is sent
      try {
        for await (const part of tar) await call.sendBytes((bytes) => ({ tar: bytes }), part);
        call.end();
      } catch (error) {
        call.cancel();
        throw error;
      }
      if ((await answer).done === true)
        throw new ApiError('InternalError', 'the server did not say that all is written');
      await replies.next();
    },
    close: () => {
      client.close();
    },
  };
}

/** One bidirectional call, whatever its method: what the server sends one by one, what is sent only as fast as it is taken. */
class Call {
  readonly #call: ClientDuplexStream<object, object>;
  readonly #signal: AbortSignal;
  readonly #address: string;
  readonly #timeoutMs: number;
  #isOver = false;
  #isSilent = false;
  #ended = false;

  constructor(client: Client, method: string, signal: AbortSignal, { address, timeoutMs = 10_000 }: PodStreamsOptions) {
    const shape = services[service]?.[method];
    if (shape === undefined) throw new Error(`${service} has no method ${method}`);
    this.#signal = signal;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#call = client.makeBidiStreamRequest(
      `/${service}/${method}`,
      (value: object) => encodeMessage(shape.request, value),
      (bytes) => decodeMessage(shape.reply, bytes) as object,
      new Metadata(),
      {},
    );
    this.#call.on('error', () => undefined); // told to whoever reads
    const cancel = (): void => {
      this.cancel();
    };
    // The server greets at once; from then on keepalive tells whether it lives.
    const greeting = setTimeout(() => {
      this.#isSilent = true;
      this.cancel();
    }, timeoutMs);
    this.#call.once('metadata', () => {
      clearTimeout(greeting);
    });
    this.#call.once('status', () => {
      clearTimeout(greeting);
      this.#isOver = true;
      signal.removeEventListener('abort', cancel);
      this.#call.emit('drain'); // whoever waits to write more is let go
    });
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
  }

  async *replies<T>(): AsyncGenerator<T, void> {
    try {
      // Not the stream's own iterator, which would destroy the other direction at its end.
      for await (const reply of this.#call.iterator({ destroyOnReturn: false })) yield reply as T;
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.cancel(); // a reader that stopped early must not leave the rest on its way
    }
  }

  async send(frame: object): Promise<void> {
    if (this.#isOver || this.#ended) return;
    if (this.#call.write(frame)) return;
    await new Promise<void>((resolve) => this.#call.once('drain', resolve));
  }

  async sendBytes(frameOf: (bytes: Uint8Array) => object, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += frameBytes) await this.send(frameOf(data.subarray(at, at + frameBytes)));
  }

  end(): void {
    if (!this.#isOver && !this.#ended) this.#call.end();
    this.#ended = true;
  }

  cancel(): void {
    if (!this.#isOver) this.#call.cancel();
  }

  #failure(error: unknown): ApiError {
    if (this.#isSilent)
      return new ApiError(
        'ServiceUnavailable',
        `the server at ${this.#address} did not answer in ${this.#timeoutMs} ms`,
      );
    if (this.#signal.aborted) return new ApiError('Timeout', 'the caller gave the call up', {}, { cause: error });
    return fromStatus(error as ServiceError);
  }
}

const message = ({ namespace, pod, container = '' }: PodTarget): Messages['PodTarget'] => ({
  namespace,
  pod,
  container,
});

function logsMessage(wish: LogWish): object {
  const {
    follow = false,
    previous = false,
    timestamps = false,
    tailLines,
    sinceSeconds,
    sinceTime = '',
    limitBytes,
    after = '',
  } = wish;
  return {
    ...{ follow, previous, timestamps, since_time: sinceTime, after },
    ...{ tail_lines: tailLines, since_seconds: sinceSeconds, limit_bytes: limitBytes },
  };
}
