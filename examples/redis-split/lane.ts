import type { PolicyBackend, PolicyConnection, PolicyDial } from '../../services/proxy/userspace/policy/policy.ts';
import { Cutter, findReply, type Command } from './resp.ts';

export type Side = 'master' | 'replica';

/** One command of the client with the place of its reply in the order of replies. */
export interface Call {
  readonly command: Command;
  readonly side: Side;
  /** Whether doing it twice is harmless. */
  readonly repeatable: boolean;
  /** The client waits for it; false for what a server is told behind the client's back. */
  readonly wanted: boolean;
  reply: Buffer | undefined;
  tries: number;
}

export interface LaneEvents {
  onReply(call: Call): void;
  /** The connection is over; these calls got no reply. */
  onEnd(unanswered: readonly Call[]): void;
}

/** A connection to one Redis: commands go in, replies come out in the same order. */
export class Lane {
  readonly backend: PolicyBackend;
  readonly #dial: PolicyDial;
  readonly #replies = new Cutter();
  readonly #waiting: Call[] = [];
  readonly #events: LaneEvents;
  #whenRested: (() => void)[] = [];
  #over = false;

  private constructor(dial: PolicyDial, events: LaneEvents) {
    this.#dial = dial;
    this.backend = dial.backend;
    this.#events = events;
    const { socket } = dial;
    socket.on('data', (data) => this.#receive(data));
    socket.on('end', () => this.end());
    socket.on('error', () => this.end());
    socket.on('close', () => this.end());
    dial.leaving.addEventListener('abort', () => {
      if (this.#waiting.length === 0) this.end();
    });
  }

  /** Undefined when the backend cannot be had. */
  static async open(
    connection: PolicyConnection,
    backend: PolicyBackend,
    events: LaneEvents,
  ): Promise<Lane | undefined> {
    const dial = await connection.dial(backend);
    return dial === undefined ? undefined : new Lane(dial, events);
  }

  /** Whether new commands may go there. */
  get usable(): boolean {
    return !this.#over && !this.#dial.leaving.aborted;
  }

  get over(): boolean {
    return this.#over;
  }

  get socket(): PolicyDial['socket'] {
    return this.#dial.socket;
  }

  send(call: Call): void {
    this.#waiting.push(call);
    this.socket.write(call.command.bytes);
  }

  /** Resolves when every command is answered, or the connection is over. */
  async rested(): Promise<void> {
    if (this.#waiting.length > 0 && !this.#over) await new Promise<void>((resolve) => this.#whenRested.push(resolve));
  }

  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.socket.destroy();
    this.#rest();
    this.#events.onEnd(this.#waiting.splice(0));
  }

  /** Its bytes are somebody else's from here on. Nothing must be under way. */
  giveAway(): PolicyDial['socket'] {
    this.#over = true;
    for (const event of ['data', 'end', 'close']) this.socket.removeAllListeners(event);
    return this.socket;
  }

  #receive(data: Buffer): void {
    this.#replies.add(data);
    try {
      for (let reply; !this.#over && (reply = this.#replies.next(findReply)) !== undefined;) {
        const call = this.#waiting.shift();
        if (call === undefined) return this.end(); // it speaks unasked
        call.reply = reply;
        this.#events.onReply(call);
      }
    } catch {
      return this.end();
    }
    if (this.#waiting.length > 0 || this.#over) return;
    this.#rest();
    if (this.#dial.leaving.aborted) this.end();
  }

  #rest(): void {
    for (const resolve of this.#whenRested.splice(0)) resolve();
  }
}
