import type { PolicyBackend, PolicyConnection } from '../../services/proxy/userspace/policy/policy.ts';
import { kindOf, type Kind } from './commands.ts';
import { Lane, type Call, type Side } from './lane.ts';
import { Cutter, findCommand, ProtocolError, type Command } from './resp.ts';

export interface SplitOptions {
  /** Names of Services. */
  readonly master: string;
  readonly replicas: string;
  readonly ownWritesMs: number;
  readonly waitMs: number;
}

/** Commands that wait for their replies, of one client; more stay in the client's socket. */
const mostWaiting = 1_024;
const mostBytes = 4 * 2 ** 20;
/** A command is sent to no more servers than this. */
const mostTries = 4;
const retryMs = 20;

/**
 * One client. Its commands go to the master or to a replica, and the replies back in the order of the commands, whoever was quicker.
 * One replica serves a client for as long as it can, so that what the client reads does not go back in time.
 */
export class Session {
  readonly #connection: PolicyConnection;
  readonly #options: SplitOptions;
  readonly #commands = new Cutter();
  /** Every command without its reply passed on, in the client's order. */
  readonly #calls: Call[] = [];
  readonly #lanes = new Map<Side, Lane>();
  /** Commands that wait until a server can be had, by the side that they want. */
  readonly #held: Record<Side, Call[]> = { master: [], replica: [] };
  readonly #opening = new Set<Side>();
  /** What the client has said of itself, for servers that it meets later. */
  readonly #told = new Map<string, Command>();
  #inMulti = false;
  #watches = false;
  #lastWriteMs = -Infinity;
  #nextReplica = Math.floor(Math.random() * 1_000);
  /** A command that waits until all before it are answered, and before which none after it is taken. */
  #barrier: { readonly call: Call; readonly kind: 'session' | 'pin' } | undefined;
  #quitting = false;
  /** Of the commands in `#calls`. */
  #bytes = 0;

  constructor(connection: PolicyConnection, options: SplitOptions) {
    this.#connection = connection;
    this.#options = options;
    const { client, closing } = connection;
    client.on('data', (data) => this.#receive(data));
    client.on('end', () => this.#quit());
    client.on('close', () => this.#endAll());
    client.on('drain', () => this.#lanes.forEach(({ socket }) => socket.resume()));
    closing.addEventListener('abort', () => this.#quit());
    client.resume();
  }

  #receive(data: Buffer): void {
    this.#commands.add(data);
    this.#advance();
  }

  /** Takes as many commands as may wait at one time. */
  #advance(): void {
    const { client } = this.#connection;
    try {
      while (this.#barrier === undefined && !this.#quitting && !this.#isFull()) {
        const command = this.#commands.next(findCommand);
        if (command === undefined) break;
        if (command.words[0] !== '') this.#take(command);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#answer(`-ERR Protocol error: ${error.message}\r\n`);
      return this.#quit();
    }
    const full = this.#isFull() || this.#barrier !== undefined;
    if (full && !client.isPaused()) client.pause();
    else if (!full && client.isPaused()) client.resume();
  }

  #isFull(): boolean {
    return this.#calls.length >= mostWaiting || this.#bytes >= mostBytes;
  }

  #take(command: Command): void {
    const kind = kindOf(command.words);
    if (kind === 'quit') {
      this.#answer('+OK\r\n');
      return this.#quit();
    }
    const call = newCall(command, { side: this.#sideFor(kind), repeatable: kind === 'read' });
    this.#calls.push(call);
    this.#bytes += command.bytes.length;
    if (kind !== 'session' && kind !== 'pin') return this.#send(call.side, call);
    // What comes before was said by another user, of another database, or in another way: it must be over.
    this.#barrier = { call, kind };
    this.#passBarrier();
  }

  #passBarrier(): void {
    if (this.#barrier === undefined || this.#calls[0] !== this.#barrier.call || this.#barrier.call.tries > 0) return;
    const { call, kind } = this.#barrier;
    if (kind === 'pin') return void this.#pin(call);
    this.#send('master', call);
    const replica = this.#lanes.get('replica');
    if (replica?.usable === true) replica.send(newCall(call.command, { side: 'replica', wanted: false }));
  }

  #sideFor(kind: Kind): Side {
    const inTransaction = this.#inMulti || this.#watches;
    if (kind === 'multi') this.#inMulti = true;
    if (kind === 'watch') this.#watches = true;
    if (kind === 'done') this.#inMulti = this.#watches = false;
    if (kind === 'write' || kind === 'multi' || kind === 'done') this.#lastWriteMs = performance.now();
    const ownWrites = performance.now() - this.#lastWriteMs < this.#options.ownWritesMs;
    return kind === 'read' && !inTransaction && !ownWrites ? 'replica' : 'master';
  }

  // ---- Servers ----

  #send(side: Side, call: Call): void {
    const lane = this.#lanes.get(side);
    // What waits goes first.
    if (lane?.usable === true && this.#held[side].length === 0) {
      call.tries++;
      return lane.send(call);
    }
    this.#held[side].push(call);
    if (!this.#opening.has(side)) void this.#open(side);
  }

  /** Finds a server for what is held; a replica's commands go to the master when no replica can be had. */
  async #open(side: Side): Promise<void> {
    this.#opening.add(side);
    const { waitMs } = this.#options;
    const deadline = performance.now() + waitMs;
    const { client } = this.#connection;
    let lane: Lane | undefined;
    while (lane === undefined && !client.destroyed) {
      for (const backend of this.#backends(side)) {
        lane = await Lane.open(this.#connection, backend, this.#events(side));
        if (lane !== undefined) break;
      }
      if (lane !== undefined || side === 'replica' || performance.now() > deadline) break;
      await new Promise((resolve) => setTimeout(resolve, retryMs)); // a new master is made ready meanwhile
    }
    this.#opening.delete(side);
    const held = this.#held[side].splice(0);
    if (client.destroyed) return lane?.end();
    if (lane === undefined) {
      if (side === 'replica') for (const call of held) this.#send('master', call);
      else for (const call of held) this.#reply(call, '-ERR no master can be reached; the command was not done\r\n');
      return;
    }
    this.#lanes.set(side, lane);
    for (const command of this.#told.values()) lane.send(newCall(command, { side, wanted: false }));
    for (const call of held) this.#send(side, call);
  }

  #backends(side: Side): readonly PolicyBackend[] {
    const { master, replicas } = this.#options;
    const all = this.#connection.backends(side === 'master' ? master : replicas);
    if (side === 'master' || all.length === 0) return all;
    const first = this.#nextReplica++ % all.length;
    return [...all.slice(first), ...all.slice(0, first)];
  }

  #events(side: Side): { onReply(call: Call): void; onEnd(unanswered: readonly Call[]): void } {
    return {
      onReply: (call) => this.#onReply(side, call),
      onEnd: (unanswered) => this.#onLaneEnd(side, unanswered),
    };
  }

  #onReply(side: Side, call: Call): void {
    const { reply } = call;
    if (!call.wanted || reply === undefined) return;
    const failed = reply[0] === 45; /* - */
    const backend = this.#lanes.get(side)?.backend;
    // A replica that has lost its master, or reads its file, says so: another one knows.
    if (side === 'replica' && failed && /^-(LOADING|MASTERDOWN) /.test(reply.toString('latin1', 0, 12))) {
      if (backend !== undefined) this.#connection.count(backend, 'not-ready');
      call.reply = undefined;
      return this.#again(call);
    }
    if (backend !== undefined) this.#connection.count(backend, side === 'master' ? 'write' : 'read');
    if (!failed && this.#barrier?.call === call) this.#remember(call.command);
    this.#flush();
  }

  #onLaneEnd(side: Side, unanswered: readonly Call[]): void {
    const lane = this.#lanes.get(side);
    if (lane?.over === true) this.#lanes.delete(side);
    const wanted = unanswered.filter((call) => call.wanted);
    if (this.#connection.client.destroyed) return;
    // Whether a lost write was done is not known, and a transaction's state is lost with its connection: the client must see that.
    const lostState = side === 'master' && (this.#inMulti || this.#watches);
    if (lostState || wanted.some((call) => !call.repeatable)) return void this.#connection.client.destroy();
    for (const call of wanted) this.#again(call);
  }

  /** A read that got no answer: another server of its side, and in the end the master. */
  #again(call: Call): void {
    if (call.tries >= mostTries) return this.#reply(call, '-ERR no server answered this command\r\n');
    this.#send(call.tries < mostTries - 1 ? call.side : 'master', call);
  }

  /** The last of each kind counts, who the client is before what it does. */
  #remember(command: Command): void {
    const [name = '', second = ''] = command.words;
    const key = name === 'CLIENT' ? `CLIENT ${second.toUpperCase()}` : name;
    this.#told.delete(key);
    this.#told.set(key, command);
  }

  // ---- Replies ----

  #reply(call: Call, text: string): void {
    call.reply = Buffer.from(text, 'latin1');
    this.#flush();
  }

  /** A reply of the session's own, in its turn. */
  #answer(text: string): void {
    const call = newCall({ words: [], bytes: Buffer.alloc(0) }, { side: 'master' });
    this.#calls.push(call);
    this.#reply(call, text);
  }

  #flush(): void {
    const { client } = this.#connection;
    const ready: Buffer[] = [];
    for (let call = this.#calls[0]; call?.reply !== undefined; call = this.#calls[0]) {
      ready.push(call.reply);
      this.#calls.shift();
      this.#bytes -= call.command.bytes.length;
      if (call === this.#barrier?.call) this.#barrier = undefined;
    }
    if (ready.length === 0) return;
    if (!client.write(ready.length === 1 && ready[0] !== undefined ? ready[0] : Buffer.concat(ready)))
      this.#lanes.forEach(({ socket }) => socket.pause());
    if (this.#quitting && this.#calls.length === 0) return void client.end();
    this.#passBarrier();
    this.#advance();
  }

  // ---- Ends ----

  /** Nothing more is taken; what is under way is answered first. */
  #quit(): void {
    this.#quitting = true;
    if (this.#calls.length === 0) this.#connection.client.end();
  }

  #endAll(): void {
    for (const lane of [...this.#lanes.values()]) lane.end();
  }

  /** From here on the connection is the master's, byte by byte: subscriptions and the like. */
  async #pin(call: Call): Promise<void> {
    call.tries++;
    const { client } = this.#connection;
    if (this.#lanes.get('master')?.usable !== true) await this.#open('master');
    const lane = this.#lanes.get('master');
    await lane?.rested();
    if (client.destroyed || lane?.usable !== true) return void client.destroy();
    this.#connection.count(lane.backend, 'pinned');
    const server = lane.giveAway();
    this.#lanes.delete('master');
    this.#endAll();
    for (const event of ['data', 'end', 'drain']) client.removeAllListeners(event);
    server.write(Buffer.concat([call.command.bytes, this.#commands.rest()]));
    server.on('close', () => client.destroy());
    client.on('close', () => server.destroy());
    client.pipe(server);
    server.pipe(client);
  }
}

const newCall = (
  command: Command,
  { side, repeatable = true, wanted = true }: { side: Side; repeatable?: boolean; wanted?: boolean },
): Call => ({ command, side, repeatable, wanted, reply: undefined, tries: 0 });
