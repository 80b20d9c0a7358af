import type { Socket } from 'node:net';
import type { Clock } from '../../../../lib/base/clock.ts';
import { ignore, reset, wasReset } from '../dial.ts';
import type { Member, Use } from '../upstream.ts';

/** Connections at rest, per backend and in all. The oldest of a backend give way. */
const mostIdlePerBackend = 128;
const mostIdle = 4_096;
/** Short, so that a server that closes what rests (after 5 s by many defaults, 2 s by some) is seldom met doing so; a new connection costs little here. */
const idleMs = 1_500;
const sweepMs = 500;
const freshMs = 100;

/** Hears what a backend says on a connection while it has it. */
export interface Conversation {
  receive(data: Buffer): void;
  /** The backend takes more again. */
  drained(): void;
  /** The connection is over: `inOrder` when the backend closed it, having sent all it had. */
  over(inOrder: boolean): void;
}

/** A connection to a backend that carries one request after the other. */
export class HttpConnection implements Use {
  readonly socket: Socket;
  readonly member: Member;
  restsSinceMs = 0;
  expiresMs = 0;
  /** Its backend is one no longer: it carries what is under way and then ends. */
  leaving = false;
  #conversation: Conversation | undefined;
  #ended = false;
  readonly #onIdleLost: (connection: HttpConnection) => void;

  constructor(socket: Socket, member: Member, onIdleLost: (connection: HttpConnection) => void) {
    this.socket = socket;
    this.member = member;
    this.#onIdleLost = onIdleLost;
    member.uses.add(this);
    if (!member.here) this.leaving = true;
    socket.on('error', ignore);
    socket.on('data', (data: Buffer) => {
      if (this.#conversation === undefined)
        this.end(); // nobody asked for anything
      else this.#conversation.receive(data);
    });
    socket.on('drain', () => this.#conversation?.drained());
    socket.on('end', () => this.#over(!wasReset(socket)));
    socket.on('close', () => this.#over(false));
  }

  /** Whether another request may be sent on it. */
  get usable(): boolean {
    return !this.leaving && !this.#ended && this.socket.writable && !this.socket.readableEnded;
  }

  begin(conversation: Conversation): void {
    this.#conversation = conversation;
  }

  /** The conversation is over; what comes now was not asked for. */
  release(): void {
    this.#conversation = undefined;
    if (this.socket.isPaused()) this.socket.resume();
  }

  /** Hands the socket to somebody else, who ends it; `left` and `cut` are his to hear. */
  giveAway(): Socket {
    this.#conversation = undefined;
    this.#ended = true;
    this.member.uses.delete(this);
    for (const event of ['data', 'drain', 'end', 'close']) this.socket.removeAllListeners(event);
    return this.socket;
  }

  end(): void {
    this.#conversation = undefined;
    this.socket.destroy();
  }

  left(): void {
    this.leaving = true;
    if (this.#conversation === undefined) this.#onIdleLost(this);
  }

  cut(): void {
    this.leaving = true;
    reset(this.socket);
  }

  #over(inOrder: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.member.uses.delete(this);
    const conversation = this.#conversation;
    this.#conversation = undefined;
    if (conversation === undefined) this.#onIdleLost(this);
    else conversation.over(inOrder);
    this.socket.destroy();
  }
}

/** Connections to backends that are at rest, to be used again by any client's next request. */
export class HttpPool {
  readonly #clock: Clock;
  /** Latest used last. */
  readonly #idle = new Map<Member, HttpConnection[]>();
  #count = 0;
  #sweeping = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#count;
  }

  open(socket: Socket, member: Member): HttpConnection {
    return new HttpConnection(socket, member, this.#lose);
  }

  /**
   * The connection used last, which is the likeliest to be alive; undefined when none rests. Where the backend closes it at the very moment, what is
   * sent on it is lost: a request that must not be sent twice (`repeatable` is false) is given only one that has hardly rested.
   */
  take(member: Member, repeatable: boolean): HttpConnection | undefined {
    const idle = this.#idle.get(member);
    for (let connection; (connection = idle?.at(-1)) !== undefined;) {
      const now = this.#clock.monotonic();
      const alive = connection.usable && now < connection.expiresMs;
      if (alive && !repeatable && now - connection.restsSinceMs > freshMs) return undefined;
      idle?.pop();
      this.#count--;
      if (idle?.length === 0) this.#idle.delete(member);
      if (alive) return connection;
      connection.end();
    }
    return undefined;
  }

  /** `keepsForMs`: how long the backend says it keeps a connection at rest. */
  put(connection: HttpConnection, keepsForMs = Infinity): void {
    connection.release();
    if (!connection.usable || this.#count >= mostIdle) return connection.end();
    let idle = this.#idle.get(connection.member);
    if (idle === undefined) this.#idle.set(connection.member, (idle = []));
    if (idle.length >= mostIdlePerBackend) {
      idle.shift()?.end();
      this.#count--;
    }
    connection.restsSinceMs = this.#clock.monotonic();
    connection.expiresMs = connection.restsSinceMs + Math.min(idleMs, keepsForMs / 2);
    idle.push(connection);
    this.#count++;
    if (!this.#sweeping) this.#sweepLater();
  }

  readonly #lose = (connection: HttpConnection): void => {
    const idle = this.#idle.get(connection.member);
    const at = idle?.indexOf(connection) ?? -1;
    if (at >= 0) {
      idle?.splice(at, 1);
      this.#count--;
    }
    if (idle?.length === 0) this.#idle.delete(connection.member);
    connection.end();
  };

  #sweepLater(): void {
    this.#sweeping = true;
    this.#clock.after(sweepMs, () => {
      const now = this.#clock.monotonic();
      for (const [member, idle] of this.#idle) {
        while (idle[0] !== undefined && idle[0].expiresMs <= now) {
          idle.shift()?.end();
          this.#count--;
        }
        if (idle.length === 0) this.#idle.delete(member);
      }
      this.#sweeping = false;
      if (this.#count > 0) this.#sweepLater();
    });
  }
}
