import type { EventEmitter } from 'node:events';
import type { Key } from '../../../lib/api/keys.ts';
import type { Clock } from '../../../lib/base/clock.ts';
import type { Upstream } from './upstream.ts';

export interface WaitingRoomOptions {
  readonly clock: Clock;
  /** Told of Services that clients wait for: at once, and again every second as long as they do. */
  readonly onWanted: ((services: readonly Key[]) => void) | undefined;
  /** Told of a target whose client did not get a backend, and why. */
  readonly onInVain: ((target: string, why: string) => void) | undefined;
}

/** More clients do not wait: they are refused at once. Each costs a connection and what it has sent ahead, 64 KiB at most. */
export const mostWaiting = { ofService: 500, ofProxy: 5_000 } as const;

/** So often it is said again that a Service is wanted: what a lost word costs. */
const againMs = 1_000;

/** Endpoints that took nobody are tried again after a part of the time that the client has waited, within these bounds. */
const retry = { part: 1 / 8, leastMs: 25, mostMs: 1_000 };

/** Clients that wait until their Service has an endpoint that takes them, each no longer than its Service allows. */
export class WaitingRoom {
  readonly #options: WaitingRoomOptions;
  readonly #waiting = new Map<Key, number>();
  #total = 0;
  /** Services told of since the last round: one that is wanted for moments, over and over, is told of once in each. */
  #told = new Set<Key>();
  #cancelRound: (() => void) | undefined;

  constructor(options: WaitingRoomOptions) {
    this.#options = options;
  }

  /** Whether a client that found nobody may wait: its Service has no endpoint, or those that it has were `tried` and cannot be reached yet. */
  takes(upstream: Upstream, tried = 0): boolean {
    return upstream.holdMs !== undefined && !upstream.closing.aborted && (upstream.members.length === 0 || tried > 0);
  }

  /**
   * Resolves to true when it is time to try, or try again: there is an endpoint, or those there had a moment. To false at once where nobody
   * may wait or too many do, and when the time since `sinceMs` is over, the port is one no longer, or the client closed.
   */
  async wait(upstream: Upstream, client: EventEmitter, sinceMs: number): Promise<boolean> {
    const { holdMs, service } = upstream;
    if (holdMs === undefined || upstream.closing.aborted) return false;
    const { id } = upstream.target;
    const { clock } = this.#options;
    const waitedMs = clock.monotonic() - sinceMs;
    const tried = upstream.members.length > 0;
    const pauseMs = Math.min(retry.mostMs, Math.max(retry.leastMs, waitedMs * retry.part));
    const leftMs = Math.max(0, holdMs - waitedMs);
    const waiting = this.#waiting.get(service) ?? 0;
    if (waiting >= mostWaiting.ofService || this.#total >= mostWaiting.ofProxy) {
      this.#options.onInVain?.(id, `has no endpoint, and as many connections as may wait for one do already`);
      return false;
    }
    this.#enter(upstream, waiting);
    const came = await new Promise<boolean>((resolve) => {
      const end = (answer: boolean): void => {
        for (const undo of undos) undo();
        resolve(answer);
      };
      const left = (): void => end(false);
      client.once('close', left);
      upstream.closing.addEventListener('abort', left);
      const undos = [
        () => client.off('close', left),
        () => upstream.closing.removeEventListener('abort', left),
        upstream.onAble(() => end(true)),
        tried && pauseMs < leftMs
          ? clock.after(pauseMs, () => end(true))
          : clock.after(leftMs, () => {
              const why = tried ? 'no endpoint that could be reached' : 'no endpoint';
              this.#options.onInVain?.(
                id,
                `had ${why}: connections waited for ${holdMs / 1000} s, and were then refused`,
              );
              end(false);
            }),
      ];
    });
    this.#leave(upstream);
    return came;
  }

  #enter(upstream: Upstream, waiting: number): void {
    upstream.waiting++;
    this.#total++;
    this.#waiting.set(upstream.service, waiting + 1);
    if (this.#told.has(upstream.service)) return;
    this.#told.add(upstream.service);
    this.#options.onWanted?.([upstream.service]);
    this.#cancelRound ??= this.#options.clock.after(againMs, () => this.#round());
  }

  #leave(upstream: Upstream): void {
    upstream.waiting--;
    this.#total--;
    const waiting = (this.#waiting.get(upstream.service) ?? 1) - 1;
    if (waiting > 0) this.#waiting.set(upstream.service, waiting);
    else this.#waiting.delete(upstream.service);
  }

  #round(): void {
    this.#cancelRound = undefined;
    this.#told = new Set(this.#waiting.keys());
    if (this.#told.size === 0) return;
    this.#options.onWanted?.([...this.#told]);
    this.#cancelRound = this.#options.clock.after(againMs, () => this.#round());
  }
}
