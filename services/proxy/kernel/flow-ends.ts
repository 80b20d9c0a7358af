import { networkInterfaces } from 'node:os';
import { wait, type Clock } from '../../../lib/base/clock.ts';
import type { Log } from '../../../lib/base/log.ts';
import { lostBackends, narrowedFrontends, type TableChanges } from '../table/diff.ts';
import { admitting } from '../table/sources.ts';
import { emptyTable, frontendKey, type Backend, type Frontend, type ProxyTable } from '../table/table.ts';
import { Drains } from './drains.ts';
import { filtersWith, flowsOf, selectionsFor, selectionsTo, strangersAmong, type FlowFilter } from './conntrack.ts';
import type { Flow, Selection } from './flow.ts';
import { Flows } from './flows.ts';

export interface FlowEndsOptions {
  /** How long an open TCP connection to a backend that left may go on. */
  readonly drainMs: number;
  /** Addresses of pods; empty: not known. */
  readonly clusterCidr: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Flows that wait to be ended, and backends whose flows may go on for a time; beyond that, clients of a mass removal wait for their own time-outs. */
const mostPending = 20_000;

/**
 * A connection whose opening packet is under way to a backend that left is given so long to open: on a busy node packets lie in queues for tens
 * of milliseconds, and the pod answers until it is stopped. Then the kernel forgets it, and the client tries again at once, and elsewhere.
 */
const openingMs = 250;
/**
 * Each look costs the kernel a walk through its whole table of connections, however few there are: 17 ms of CPU where that has 262144 places, in
 * which nothing else runs on that core. So the pauses grow, and are never shorter than a look takes.
 */
const [firstPauseMs, mostPauseMs] = [4, 40];

/** A flow that may still be opening to a backend that left. */
interface Opening extends FlowFilter {
  readonly backend: string;
  readonly sinceMs: number;
  /** `Infinity`: nobody waits for it. */
  readonly turn: number;
}

/**
 * Ends the kernel's flows that a changed table no longer wants: to backends that left, and of clients that may not connect any more.
 * It does not hold up the rules, which count more: what fails is told, and the rules stay as they are.
 */
export class FlowEnds {
  readonly #options: FlowEndsOptions;
  readonly #drains: Drains;
  readonly #flows: Flows;
  #current: ProxyTable = emptyTable;
  #filters: FlowFilter[] = [];
  #narrowed = new Map<string, Frontend>();
  #openings: Opening[] = [];
  /** To backends that are dead: looked at once, when their time to open is over. */
  #later: Opening[] = [];
  #cancelLater: (() => void) | undefined;
  #working: Promise<void> | undefined;
  readonly #closing = new AbortController();
  /** Counts the tables that were followed, so that each waits for its own flows only. */
  #turn = 0;
  #waiting: { readonly turn: number; readonly resolve: () => void }[] = [];

  constructor(options: FlowEndsOptions) {
    this.#options = options;
    const { drainMs, clock, log } = options;
    this.#flows = new Flows(log);
    this.#drains = new Drains({ drainMs, clock, most: mostPending, end: (over) => this.#end(over) });
  }

  /**
   * The rules have gone from `before` to `after`. Nobody waits until the `dead` may be stopped, and whoever can still answer for them does so by
   * itself: to look at once would only hold up the other changes of that moment.
   */
  follow(before: ProxyTable, after: ProxyTable, changes: TableChanges, dead?: ReadonlySet<Backend>): void {
    this.#current = after;
    const lost = lostBackends(before, after, changes);
    // A client that sent to a virtual address before it was one has a flow that leads nowhere and that its next datagram would keep alive.
    const fresh = changes.addedFrontends
      .filter((frontend) => frontend.protocol === 'UDP')
      .map((frontend) => ({ frontend }));
    for (const frontend of narrowedFrontends(after, changes)) this.#narrowed.set(frontendKey(frontend), frontend);
    const isTcp = ({ frontend }: FlowFilter): boolean => frontend.protocol === 'TCP';
    this.#turn++;
    const sinceMs = this.#options.clock.monotonic();
    for (const each of lost.filter(isTcp))
      if (dead?.has(each.backend) === true) this.#later.push({ ...each, sinceMs, turn: Infinity });
      else this.#openings.push({ ...each, sinceMs, turn: this.#turn });
    this.#openings.splice(0, this.#openings.length - mostPending);
    this.#lookLater();
    this.#end([...fresh, ...lost.filter((each) => !isTcp(each))]);
    const open = lost.filter(({ frontend }) => frontend.protocol !== 'UDP');
    if (open.length > 0) this.#drains.add(open);
  }

  /** Ends every flow that went through `table`. */
  async all(table: ProxyTable): Promise<void> {
    this.#current = emptyTable;
    this.#end(
      [...table.frontends.values()].flatMap((frontend) =>
        (table.targets.get(frontend.target)?.backends ?? []).map((backend) => ({ frontend, backend })),
      ),
    );
    await this.#working;
  }

  /** Ends every flow through us to these addresses, whatever its state. Rejects when the kernel could not be told. */
  async cut(ips: readonly string[]): Promise<void> {
    const dead = new Set(ips);
    const flows = await this.#list(selectionsTo(ips));
    await this.#flows.end(flows.filter(({ backend }) => dead.has(backend.slice(0, backend.lastIndexOf(':')))));
  }

  /**
   * Resolves when everything that has been begun by the tables so far leads where they say: datagrams go elsewhere, and no packet that
   * opens a connection is under way to a backend that left. Whoever is told so may stop the backend.
   */
  async settled(): Promise<void> {
    if (this.#working === undefined) return;
    const turn = this.#turn;
    await new Promise<void>((resolve) => this.#waiting.push({ turn, resolve }));
  }

  /** Starts what is needed before it is needed. */
  warm(): void {
    this.#flows.warm();
  }

  /** Drops what is pending. */
  async close(): Promise<void> {
    this.#drains.close();
    this.#filters = [];
    this.#narrowed.clear();
    this.#openings = [];
    this.#later = [];
    this.#cancelLater?.();
    this.#closing.abort(new Error('the rules are let go of'));
    await this.#working;
    this.#flows.close();
  }

  #lookLater(): void {
    this.#later.splice(0, this.#later.length - mostPending);
    if (this.#later.length === 0 || this.#closing.signal.aborted) return;
    this.#cancelLater ??= this.#options.clock.after(openingMs, () => {
      this.#cancelLater = undefined;
      this.#openings.push(...this.#later.splice(0));
      this.#end([]);
    });
  }

  #insiders(): (ip: string) => boolean {
    const own = new Set(
      Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)),
    );
    const { clusterCidr } = this.#options;
    const isPod = clusterCidr === '' ? () => false : admitting([clusterCidr]);
    return (ip) => own.has(ip) || isPod(ip);
  }

  /** Whether new connections go there now: what was to be ended is wanted again. */
  #leads({ frontend, backend }: FlowFilter): boolean {
    const now = this.#current.frontends.get(frontendKey(frontend));
    return (
      now !== undefined &&
      backend !== undefined &&
      this.#current.targets.get(now.target)?.backends.includes(backend) === true
    );
  }

  #end(filters: readonly FlowFilter[]): void {
    this.#filters.push(...filters.slice(0, mostPending - this.#filters.length));
    if (this.#pending === 0) return;
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
      this.#tellSettled();
    });
  }

  get #pending(): number {
    return this.#filters.length + this.#narrowed.size + this.#openings.length;
  }

  async #work(): Promise<void> {
    const { clock, log } = this.#options;
    for (let pauseMs = firstPauseMs; this.#pending > 0;) {
      const [filters, narrowed] = [
        this.#filters.filter((filter) => !this.#leads(filter)),
        [...this.#narrowed.values()],
      ];
      const openings = this.#openings.filter((each) => !this.#leads(each));
      this.#filters = [];
      this.#narrowed.clear();
      this.#openings = [];
      const beganMs = clock.monotonic();
      try {
        if (filters.length > 0) await this.#endFlows(filters);
        if (narrowed.length > 0) await this.#endStrangers(narrowed);
        if (openings.length > 0) this.#openings.unshift(...(await this.#stillOpening(openings)));
      } catch (error) {
        const flows = filters.length + narrowed.length + openings.length;
        log.warn({ error, flows }, 'could not end flows that are not wanted any more');
      }
      this.#tellSettled();
      if (this.#filters.length + this.#narrowed.size > 0 || this.#openings.length === 0) continue;
      const tookMs = clock.monotonic() - beganMs;
      await wait(clock, Math.max(pauseMs, tookMs), this.#closing.signal).catch(() => undefined);
      pauseMs = Math.min(mostPauseMs, pauseMs * 2);
    }
  }

  #tellSettled(): void {
    if (this.#waiting.length === 0 || this.#filters.length + this.#narrowed.size > 0) return;
    const oldest = Math.min(...this.#openings.map(({ turn }) => turn), Infinity);
    const done = this.#waiting.filter(({ turn }) => turn < oldest);
    this.#waiting = this.#waiting.filter(({ turn }) => turn >= oldest);
    for (const { resolve } of done) resolve();
  }

  async #endFlows(filters: readonly FlowFilter[]): Promise<void> {
    const flows = await this.#list(selectionsFor(filters));
    const left = filters.filter((filter) => !this.#leads(filter)); // some may have come back meanwhile
    await this.#flows.end(flowsOf(left, flows));
  }

  async #endStrangers(narrowed: readonly Frontend[]): Promise<void> {
    const flows = await this.#flows.list({ ours: true });
    await this.#flows.end(strangersAmong(flows, narrowed, this.#current, this.#insiders()));
  }

  /** Those to which something is under way, and whose time is not over; where it is, the kernel forgets the flow. */
  async #stillOpening(openings: readonly Opening[]): Promise<Opening[]> {
    const flows = (await this.#flows.list({ ours: true, unanswered: true })).filter(({ opening }) => opening);
    if (flows.length === 0) return [];
    const nowMs = this.#options.clock.monotonic();
    const under = new Set<FlowFilter>(filtersWith(openings, flows));
    const still = openings.filter((each) => under.has(each) && !this.#leads(each));
    const late = still.filter(({ sinceMs }) => nowMs - sinceMs >= openingMs);
    await this.#flows.end(flowsOf(late, flows));
    return still.filter((each) => !late.includes(each));
  }

  async #list(selections: readonly Selection[]): Promise<readonly Flow[]> {
    const lists = await Promise.all(selections.map((selection) => this.#flows.list(selection)));
    return lists.flat();
  }
}
