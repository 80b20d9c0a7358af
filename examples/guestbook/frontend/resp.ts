import { connect, type Socket } from 'node:net';

/** What Redis answers: text, a number, nothing, or a list of these. */
export type Reply = string | number | null | readonly Reply[];

/**
 * A Redis client of just what the Guestbook needs: one connection, made when first used and again after it broke; one
 * command is one promise. Commands that got no answer are not sent again: the caller knows whether that is safe.
 */
export class Redis {
  readonly #host: string;
  readonly #port: number;
  readonly #timeoutMs: number;
  #socket: Socket | undefined;
  #waiting: { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }[] = [];
  #received: Buffer = Buffer.alloc(0);

  constructor(host: string, port: number, timeoutMs = 2000) {
    this.#host = host;
    this.#port = port;
    this.#timeoutMs = timeoutMs;
  }

  /** Sends one command. Rejects with the error that Redis names, or when no answer comes in time. */
  send(...words: readonly string[]): Promise<Reply> {
    const socket = (this.#socket ??= this.#open());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#drop(new Error(`${this.#host}:${this.#port} did not answer within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      this.#waiting.push({
        resolve: (reply) => {
          clearTimeout(timer);
          resolve(reply);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`);
    });
  }

  close(): void {
    this.#drop(new Error('closed'));
  }

  #open(): Socket {
    const socket = connect({ host: this.#host, port: this.#port, noDelay: true });
    socket.on('data', (chunk) => {
      if (socket === this.#socket) this.#read(chunk);
    });
    const ended = (error?: Error): void => {
      if (socket === this.#socket) this.#drop(error ?? new Error(`${this.#host}:${this.#port} closed the connection`));
    };
    socket.on('error', ended);
    socket.on('close', () => {
      ended();
    });
    return socket;
  }

  /** Every command that waits fails, since answers come in order and one of them is missing. */
  #drop(error: Error): void {
    const waiting = this.#waiting;
    this.#socket?.destroy();
    this.#socket = undefined;
    this.#waiting = [];
    this.#received = Buffer.alloc(0);
    for (const { reject } of waiting) reject(error);
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    for (;;) {
      const parsed = parseReply(this.#received, 0);
      if (parsed === undefined) return;
      this.#received = this.#received.subarray(parsed.end);
      const waiter = this.#waiting.shift();
      if (parsed.reply instanceof Error) waiter?.reject(parsed.reply);
      else waiter?.resolve(parsed.reply);
    }
  }
}

/** One reply of the Redis protocol (RESP 2) from `at` on; undefined when it is not all there yet. */
export function parseReply(
  data: Buffer,
  at: number,
): { readonly reply: Reply | Error; readonly end: number } | undefined {
  const lineEnd = data.indexOf('\r\n', at);
  if (lineEnd < 0) return undefined;
  const line = data.toString('utf8', at + 1, lineEnd);
  const next = lineEnd + 2;
  switch (String.fromCharCode(data[at] ?? 0)) {
    case '+':
      return { reply: line, end: next };
    case '-':
      return { reply: new Error(line), end: next };
    case ':':
      return { reply: Number(line), end: next };
    case '$': {
      const length = Number(line);
      if (length < 0) return { reply: null, end: next };
      if (data.length < next + length + 2) return undefined;
      return { reply: data.toString('utf8', next, next + length), end: next + length + 2 };
    }
    case '*': {
      const items: Reply[] = [];
      let end = next;
      for (let n = Number(line); n > 0; n--) {
        const item = parseReply(data, end);
        if (item === undefined) return undefined;
        items.push(item.reply instanceof Error ? item.reply.message : item.reply);
        end = item.end;
      }
      return { reply: items, end };
    }
    default:
      return { reply: new Error(`not an answer of Redis: ${line}`), end: next };
  }
}
