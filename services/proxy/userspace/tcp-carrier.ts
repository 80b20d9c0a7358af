import type { Socket } from 'node:net';
import type { Carried, CarrierOptions } from './carried.ts';
import { dial, ignore, join, reset, type Dial } from './dial.ts';
import type { Choice } from './policy/policy.ts';
import { Drain } from './drain.ts';
import type { Member, Upstream, Use } from './upstream.ts';

/**
 * Joins a client to one backend for the life of its connection. A backend that refuses, does not answer in time, or leaves before it
 * has answered is passed over for the next; when none is left the client is reset. Where the Service lets it, it waits and tries again.
 */
export class TcpCarried implements Carried, Use {
  readonly #client: Socket;
  readonly #upstream: Upstream;
  readonly #options: CarrierOptions;
  #dial: Dial | undefined;
  #member: Member | undefined;
  #drain: Drain | undefined;

  constructor(client: Socket, upstream: Upstream, options: CarrierOptions) {
    this.#client = client;
    this.#upstream = upstream;
    this.#options = options;
    client.on('error', ignore); // 'close' follows and does the work
    client.on('close', () => {
      this.#dial?.giveUp();
      this.#release();
    });
    void this.#begin();
  }

  rest(): void {
    // A connection of unknown protocol is never known to rest: it goes on until one side ends it or its backend leaves.
  }

  reset(): void {
    reset(this.#client);
  }

  left(): void {
    if (this.#dial !== undefined) return this.#dial.giveUp(); // it goes on with the next backend
    if (this.#member === undefined) return;
    this.#drain = new Drain(this.#upstream, this.#member, { ...this.#options, reset: () => this.reset() });
    this.#drain.left();
  }

  cut(): void {
    if (this.#dial !== undefined) this.#dial.giveUp();
    else this.reset();
  }

  async #begin(): Promise<void> {
    const client = this.#client;
    const what: Choice = { client: client.remoteAddress ?? '', clientPort: client.remotePort ?? 0 };
    const { waiting, clock } = this.#options;
    const tried = new Set<Member>();
    const beganMs = clock.monotonic();
    do {
      tried.clear();
      if (await this.#tryAll(what, tried)) return;
    } while (waiting.takes(this.#upstream, tried.size) && (await waiting.wait(this.#upstream, client, beganMs)));
    this.reset();
  }

  /** Tries each backend that may be chosen, but those tried. Resolves to whether that was all there is to do: joined, or the client is gone. */
  async #tryAll(what: Choice, tried: Set<Member>): Promise<boolean> {
    const client = this.#client;
    if (client.destroyed) return true;
    for (let member; (member = this.#upstream.choose(what, tried)) !== undefined;) {
      tried.add(member);
      this.#hold(member);
      this.#dial = dial(this.#upstream, member, client);
      const server = await this.#dial.done;
      this.#dial = undefined;
      if (client.destroyed) {
        server?.destroy();
        return true;
      }
      member.tally.connection(server === undefined ? 'failed' : 'ok');
      if (server !== undefined) {
        this.#upstream.chose(what, member);
        join(client, server);
        return true;
      }
      this.#release();
    }
    return false;
  }

  #hold(member: Member): void {
    this.#member = member;
    member.active++;
    member.uses.add(this);
  }

  #release(): void {
    if (this.#member === undefined) return;
    this.#member.active--;
    this.#member.uses.delete(this);
    this.#member = undefined;
    this.#drain?.over();
  }
}
