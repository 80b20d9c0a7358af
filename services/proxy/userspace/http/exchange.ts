import type { Socket } from 'node:net';
import { dial, join, type Dial } from '../dial.ts';
import type { Choice } from '../policy/policy.ts';
import type { CarrierOptions } from '../carried.ts';
import type { Member, Upstream, Use } from '../upstream.ts';
import { Drain } from '../drain.ts';
import { Body } from './body.ts';
import {
  BadMessage,
  fieldOf,
  parseResponse,
  requestText,
  responseText,
  type RequestHead,
  type ResponseHead,
} from './head.ts';
import type { Conversation, HttpConnection, HttpPool } from './pool.ts';

/** So much of a body is kept so that the request can be sent again. */
const maxReplay = 65_536;
/** Sent again at most so often: a request that kills backends must not go through all of them. */
const mostReplays = 2;
/** An answer's small body travels in one string with its head. */
const small = 8_192;
const maxHead = 65_536;

/** Requests that do the same when they are done twice (RFC 9110, 9.2.2). */
const idempotent = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']);
const outcomes = ['', '1xx', '2xx', '3xx', '4xx', '5xx'];

/** The client's connection, as an exchange needs it. */
export interface ClientSide {
  readonly client: Socket;
  readonly upstream: Upstream;
  readonly options: CarrierOptions & { readonly pool: HttpPool };
  /** The connection ends with the answer that is under way. */
  readonly lastAnswer: boolean;
  /** Answers in the place of a backend. */
  refuse(status: number, why: string, close: boolean): void;
  /** The exchange is over: the next one begins, or the connection ends. `unread` is the rest of a body that the backend did not want. */
  done(close: boolean, unread?: Body): void;
  reset(): void;
  /** From here on the bytes of the connection are somebody else's; what has arrived already is the answer. */
  giveAway(): Buffer | undefined;
}

/** An answer that has begun. `close`: the client's connection ends with it. */
interface Answer {
  readonly head: ResponseHead;
  readonly body: Body;
  readonly close: boolean;
}

/** What a backend is chosen for: one request of a client. */
class RequestChoice implements Choice {
  readonly client: string;
  readonly clientPort: number;
  readonly request;

  constructor(client: Socket, { method, target, fields }: RequestHead) {
    this.client = client.remoteAddress ?? '';
    this.clientPort = client.remotePort ?? 0;
    this.request = { method, target, header: (name: string) => fieldOf(fields.lines, name.toLowerCase()) };
  }
}

/**
 * One request and its answer. A request that a backend did not take, or that it lost before the first byte of an answer, goes to
 * another one: always when nothing of it was sent, else when doing it twice is harmless and all of its body is still at hand.
 */
export class Exchange implements Conversation, Use {
  readonly #carried: ClientSide;
  readonly #client: Socket;
  readonly #head: RequestHead;
  readonly #body: Body;
  readonly #what: RequestChoice;
  readonly #text: string;
  /** All of the body that has arrived, while it is not too much. */
  #replay: Buffer[] | undefined = [];
  #replayBytes = 0;
  #replays = 0;
  #waitsSinceMs: number | undefined;
  #waits = false;
  #tried: Set<Member> | undefined;
  #member: Member | undefined;
  #dial: Dial | undefined;
  #connection: HttpConnection | undefined;
  #response: Answer | undefined;
  #pending: Buffer | undefined;
  #over = false;

  constructor(carried: ClientSide, head: RequestHead, body: Body) {
    this.#carried = carried;
    this.#client = carried.client;
    this.#head = head;
    this.#body = body;
    this.#what = new RequestChoice(carried.client, head);
    this.#text = requestText(head, this.#what.client);
  }

  begin(body: Buffer): void {
    if (body.length > 0) this.#keep(body);
    this.#attempt();
  }

  // ---- The client's side ----

  /** The next bytes of the client; answers with those that are not this request's. Throws nothing: a broken body ends the connection. */
  take(data: Buffer): Buffer {
    if (this.#body.done) return data;
    let end: number;
    try {
      end = this.#body.take(data, 0);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.#client.destroy(); // its answer may have begun: nothing more can be said
      return data.subarray(data.length);
    }
    const part = end === data.length ? data : data.subarray(0, end);
    this.#keep(part);
    if (this.#connection === undefined) {
      if (this.#replayBytes > maxReplay) this.#client.pause(); // until there is a backend
    } else if (!this.#connection.socket.write(part)) this.#client.pause();
    return data.subarray(end);
  }

  clientDrained(): void {
    this.#connection?.socket.resume();
  }

  /** The client sends nothing more. An unfinished request can never be one; and who waits for an endpoint no longer is not told from who closed. */
  clientEnded(): void {
    if (!this.#body.done || this.#waits) this.#client.destroy();
  }

  /** The client is gone. */
  abandon(): void {
    if (this.#over) return;
    this.#member?.tally.request('client-gone');
    this.#release();
    this.#over = true;
    this.#dial?.giveUp();
    this.#connection?.end();
  }

  // ---- Reaching a backend ----

  #attempt(reuse = true): void {
    const { upstream, options } = this.#carried;
    const member = upstream.choose(this.#what, this.#tried);
    if (member === undefined) return this.#waitOrFail();
    this.#hold(member);
    const shared = reuse && upstream.target.carriage?.proxyProtocol === undefined;
    const kept = shared ? options.pool.take(member, idempotent.has(this.#head.method)) : undefined;
    if (kept !== undefined) return this.#send(kept);
    this.#dial = dial(upstream, member, this.#client);
    member.uses.add(this);
    void this.#dial.done.then((socket) => this.#dialled(member, socket));
  }

  /** Nobody is there, or nobody took it: nothing of the request was sent yet. */
  #waitOrFail(): void {
    const { upstream, options } = this.#carried;
    if (!options.waiting.takes(upstream, this.#tried?.size)) return this.#fail();
    if (this.#client.readableEnded) return void this.#client.destroy();
    this.#waitsSinceMs ??= options.clock.monotonic();
    this.#waits = true;
    void options.waiting.wait(upstream, this.#client, this.#waitsSinceMs).then((came) => {
      this.#waits = false;
      if (this.#over) return;
      if (!came) return this.#fail();
      this.#tried = undefined;
      this.#attempt();
    });
  }

  #dialled(member: Member, socket: Socket | undefined): void {
    this.#dial = undefined;
    member.uses.delete(this);
    if (this.#over) return void socket?.destroy();
    if (socket !== undefined) return this.#send(this.#carried.options.pool.open(socket, member));
    member.tally.request('unreachable');
    (this.#tried ??= new Set()).add(member);
    this.#release();
    this.#attempt();
  }

  #send(connection: HttpConnection): void {
    this.#connection = connection;
    connection.begin(this);
    this.#carried.upstream.chose(this.#what, connection.member);
    const { socket } = connection;
    const body = this.#replay ?? [];
    if (this.#replayBytes > maxReplay) this.#replay = undefined;
    if (body.length === 0) socket.write(this.#text, 'latin1');
    else {
      socket.cork();
      socket.write(this.#text, 'latin1');
      for (const part of body) socket.write(part);
      socket.uncork();
    }
    if (this.#client.isPaused() && !socket.writableNeedDrain) this.#client.resume();
  }

  /** The backend that is being dialled is one no longer. */
  left(): void {
    this.#dial?.giveUp();
  }
  cut(): void {
    this.#dial?.giveUp();
  }

  // ---- The backend's side ----

  receive(data: Buffer): void {
    try {
      if (this.#response === undefined) this.#receiveHead(data);
      else this.#pass(this.#response, data, 0);
    } catch (error) {
      if (!(error instanceof BadMessage)) throw error;
      this.#brokenAnswer(error.message);
    }
  }

  drained(): void {
    if (this.#client.isPaused()) this.#client.resume();
  }

  over(inOrder: boolean): void {
    if (this.#over) return;
    const response = this.#response;
    if (response?.head.framing.type === 'until-close' && inOrder) return this.#finish(response, false);
    this.#connection = undefined;
    if (response !== undefined) {
      this.#member?.tally.request('broken');
      this.#release();
      this.#over = true;
      return this.#carried.reset(); // the answer is not whole, and the client must see that
    }
    this.#lost();
  }

  #receiveHead(data: Buffer): void {
    let rest = this.#pending === undefined ? data : Buffer.concat([this.#pending, data]);
    this.#pending = undefined;
    for (;;) {
      const end = rest.indexOf('\r\n\r\n', 0, 'latin1');
      if (end > maxHead || (end < 0 && rest.length > maxHead))
        throw new BadMessage('the head of its answer exceeds 64 KiB');
      if (end < 0) return void (this.#pending = rest);
      const text = rest.toString('latin1', 0, end);
      const head = parseResponse(text, this.#head.method);
      if (head.status === 101) return this.#switchProtocols(text, head, rest.subarray(end + 4));
      if (head.status >= 200) return this.#answer(text, head, rest, end + 4);
      if (!this.#head.http10) this.#client.write(`${text}\r\n\r\n`, 'latin1');
      rest = rest.subarray(end + 4);
      if (rest.length === 0) return;
    }
  }

  #answer(text: string, head: ResponseHead, data: Buffer, at: number): void {
    const unaskedBody = this.#head.fields.expectsContinue && !this.#body.done;
    const close =
      this.#carried.lastAnswer || !this.#head.persistent || head.framing.type === 'until-close' || unaskedBody;
    const response = (this.#response = { head, body: new Body(head.framing), close });
    this.#replay = undefined;
    if (head.fields.untouched && !close) return this.#pass(response, data, 0, at);
    const out = responseText(text, head, close);
    const end = response.body.take(data, at);
    if (end - at <= small) this.#write(out + data.toString('latin1', at, end));
    else {
      this.#client.cork();
      this.#client.write(out, 'latin1');
      this.#write(data.subarray(at, end));
      this.#client.uncork();
    }
    if (response.body.done) this.#finish(response, end < data.length);
  }

  /** Passes bytes of the answer on; those from `from` to `bodyAt` are its head. */
  #pass(response: Answer, data: Buffer, from: number, bodyAt = from): void {
    const end = response.body.take(data, bodyAt);
    this.#write(from === 0 && end === data.length ? data : data.subarray(from, end));
    if (response.body.done) this.#finish(response, end < data.length);
  }

  #write(part: Buffer | string): void {
    if (!this.#client.write(part, 'latin1')) this.#connection?.socket.pause();
  }

  #finish({ head, close }: Answer, surplus: boolean): void {
    const connection = this.#connection;
    this.#over = true;
    this.#member?.tally.request(outcomes[Math.floor(head.status / 100)] ?? 'other');
    this.#release();
    if (connection !== undefined) {
      const { pool } = this.#carried.options;
      const plain = this.#carried.upstream.target.carriage?.proxyProtocol === undefined;
      const { keepsFor } = head.fields;
      if (!surplus && head.persistent && this.#body.done && plain)
        pool.put(connection, keepsFor === undefined ? undefined : keepsFor * 1000);
      else connection.end();
    }
    this.#carried.done(close, this.#body.done ? undefined : this.#body);
  }

  /** The connection speaks another protocol from here on (RFC 9110, 7.8): bytes both ways, as for any TCP connection. */
  #switchProtocols(text: string, head: ResponseHead, rest: Buffer): void {
    const [connection, member] = [this.#connection, this.#member];
    if (this.#head.fields.upgrade === undefined || connection === undefined || member === undefined)
      throw new BadMessage('it switched protocols without being asked to');
    const ahead = this.#carried.giveAway();
    const socket = connection.giveAway();
    member.tally.request('upgraded');
    this.#over = true;
    const { upstream, options } = this.#carried;
    const use = new Drain(upstream, member, { ...options, reset: () => this.#carried.reset() });
    member.uses.add(use);
    this.#client.once('close', () => {
      member.uses.delete(use);
      use.over();
      this.#release();
    });
    this.#client.write(responseText(text, head, false), 'latin1');
    if (rest.length > 0) this.#client.write(rest);
    if (ahead !== undefined) socket.write(ahead);
    join(this.#client, socket);
    if (!member.here) use.left();
  }

  // ---- What goes wrong ----

  /** The connection broke before any of the answer came. */
  #lost(): void {
    const member = this.#member;
    member?.tally.request('lost');
    this.#release();
    const again = this.#replay !== undefined && idempotent.has(this.#head.method) && this.#replays++ < mostReplays;
    if (!again) return this.#refuse(502, 'the backend broke the connection before it answered');
    // What rested may have been closed by a healthy backend; what was fresh has failed.
    this.#pending = undefined;
    this.#attempt(false);
  }

  #brokenAnswer(why: string): void {
    this.#member?.tally.request('broken');
    this.#release();
    this.#connection?.end();
    if (this.#response !== undefined) {
      this.#over = true;
      return this.#carried.reset();
    }
    this.#refuse(502, `the backend did not answer in HTTP: ${why}`);
  }

  #fail(): void {
    const [namespace, name] = this.#carried.upstream.target.id.split('/');
    const tried = this.#tried?.size ?? 0;
    if (tried === 0) return this.#refuse(503, `Service ${namespace}/${name} has no endpoint for this request`);
    this.#refuse(502, `none of ${tried} endpoints of Service ${namespace}/${name} could be reached`);
  }

  #refuse(status: number, why: string): void {
    this.#over = true;
    this.#carried.refuse(status, why, !this.#body.done);
  }

  // ---- Bookkeeping ----

  #keep(part: Buffer): void {
    this.#replayBytes += part.length;
    if (this.#replay === undefined) return;
    if (this.#replayBytes > maxReplay && this.#connection !== undefined) this.#replay = undefined;
    else this.#replay.push(part);
  }

  #hold(member: Member): void {
    this.#member = member;
    member.active++;
  }

  #release(): void {
    if (this.#member === undefined) return;
    this.#member.active--;
    this.#member = undefined;
  }
}
