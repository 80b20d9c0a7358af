import {
  connect,
  constants,
  performServerHandshake,
  type ClientHttp2Session,
  type ServerHttp2Session,
  type Settings,
} from 'node:http2';
import type { Socket } from 'node:net';
import type { Carried, CarrierOptions } from '../carried.ts';
import { dial, ignore, reset } from '../dial.ts';
import type { Member, Upstream, Use } from '../upstream.ts';
import { Http2Exchange, type OpenSession } from './http2-exchange.ts';

export interface Http2Options extends CarrierOptions {
  readonly sessions: Http2Sessions;
}

/** Of one stream so much is under way unread, of a connection so much: a slow reader holds up its own stream only. */
const streamWindow = 1_048_576;
const sessionWindow = 16_777_216;
const settings: Settings = { enablePush: false, initialWindowSize: streamWindow };
/** Streams of one client at a time; more wait at the client. */
const mostStreams = 1_000;

/** A client's HTTP/2 connection: each of its streams goes to a backend of its own. */
export class Http2Carried implements Carried {
  readonly #session: ServerHttp2Session;
  readonly #client: Socket;

  constructor(client: Socket, upstream: Upstream, options: Http2Options) {
    this.#client = client;
    client.allowHalfOpen = false;
    const what = { client: client.remoteAddress ?? '', clientPort: client.remotePort ?? 0 };
    this.#session = performServerHandshake(client, { settings: { ...settings, maxConcurrentStreams: mostStreams } });
    this.#session.on('error', ignore); // 'close' follows, and every stream hears it
    this.#session.setLocalWindowSize(sessionWindow);
    // A backend that is to be told who connects cannot share a connection between clients.
    const own = upstream.target.carriage?.proxyProtocol === undefined ? undefined : new Http2Sessions();
    const sessions = own ?? options.sessions;
    this.#session.on('stream', (stream, headers, flags) => {
      let sinceMs: number | undefined;
      const endsAtOnce = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      new Http2Exchange(stream, headers, {
        upstream,
        what,
        endsAtOnce,
        wait: async (waiter, tried) => {
          const { waiting, clock } = options;
          return waiting.takes(upstream, tried) && waiting.wait(upstream, waiter, (sinceMs ??= clock.monotonic()));
        },
        open: (at) => sessions.get(upstream, at, client),
      });
    });
    this.#session.on('close', () => own?.close());
    if (upstream.closing.aborted) this.rest();
  }

  /** GOAWAY: the client opens no more streams here, and those that are open go on. */
  rest(): void {
    if (!this.#session.closed) this.#session.close();
  }

  reset(): void {
    reset(this.#client); // first: a session that ends closes its connection in order
    this.#session.destroy();
  }
}

/** A connection to a backend that carries streams of any client. */
class BackendSession implements Use {
  readonly session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #member: Member;
  streams = 0;
  leaving = false;

  constructor(socket: Socket, member: Member, onLeaving: (session: BackendSession) => void) {
    this.#socket = socket;
    socket.allowHalfOpen = false; // a connection of HTTP/2 whose one direction has ended is over
    this.#member = member;
    this.session = connect(`http://${member.address}`, { createConnection: () => socket, settings });
    this.session.on('error', ignore);
    const leave = (): void => {
      this.leaving = true;
      onLeaving(this);
    };
    this.session.on('timeout', () => {
      if (this.streams === 0) this.left();
    });
    this.session.on('goaway', leave);
    this.session.on('close', () => {
      member.uses.delete(this);
      leave();
    });
    this.session.once('connect', () => this.session.setLocalWindowSize(sessionWindow));
    this.#onLeaving = leave;
    member.uses.add(this);
  }
  readonly #onLeaving: () => void;

  get hasRoom(): boolean {
    const most = this.session.remoteSettings?.maxConcurrentStreams ?? 100;
    return !this.leaving && !this.session.closed && !this.session.destroyed && this.streams < most;
  }

  /** Ends after the streams that are open (GOAWAY). */
  left(): void {
    this.#onLeaving();
    if (!this.session.closed) this.session.close();
  }

  cut(): void {
    this.#onLeaving();
    this.#member.uses.delete(this);
    reset(this.#socket);
    this.session.destroy();
  }
}

/** Connections to a backend at one time; more streams than they take wait in the last one. */
const mostSessions = 32;
/** A connection without streams for so long is closed. */
const idleMs = 10_000;

/** HTTP/2 connections to backends, shared by all clients. */
export class Http2Sessions {
  readonly #open = new Map<Member, BackendSession[]>();
  readonly #opening = new Map<Member, Promise<BackendSession | undefined>>();

  /** A connection with room for a stream; undefined when the backend cannot be reached. */
  async get(upstream: Upstream, member: Member, client: Socket): Promise<OpenSession | undefined> {
    for (;;) {
      const open = this.#open.get(member) ?? [];
      const found = open.find((each) => each.hasRoom) ?? (open.length >= mostSessions ? open.at(-1) : undefined);
      if (found !== undefined) return this.#lend(found);
      let opening = this.#opening.get(member);
      if (opening === undefined) {
        opening = this.#connect(upstream, member, client).finally(() => this.#opening.delete(member));
        this.#opening.set(member, opening);
      }
      const opened = await opening;
      if (opened === undefined) return undefined;
      if (opened.hasRoom) return this.#lend(opened);
    }
  }

  close(): void {
    for (const sessions of this.#open.values()) for (const each of [...sessions]) each.left();
  }

  #lend(backend: BackendSession): OpenSession {
    backend.streams++;
    backend.session.setTimeout(0);
    let over = false;
    return {
      session: backend.session,
      release: () => {
        if (over) return;
        over = true;
        if (--backend.streams === 0 && !backend.session.destroyed) backend.session.setTimeout(idleMs);
      },
    };
  }

  async #connect(upstream: Upstream, member: Member, client: Socket): Promise<BackendSession | undefined> {
    const dialling = dial(upstream, member, client);
    const use: Use = { left: () => dialling.giveUp(), cut: () => dialling.giveUp() };
    member.uses.add(use);
    const socket = await dialling.done;
    member.uses.delete(use);
    if (socket === undefined) return undefined;
    const backend = new BackendSession(socket, member, (gone) => this.#forget(member, gone));
    const known = this.#open.get(member);
    if (known === undefined) this.#open.set(member, [backend]);
    else known.push(backend);
    return backend;
  }

  #forget(member: Member, gone: BackendSession): void {
    const left = this.#open.get(member)?.filter((each) => each !== gone) ?? [];
    if (left.length === 0) this.#open.delete(member);
    else this.#open.set(member, left);
  }
}
