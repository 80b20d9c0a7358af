import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { forgetFlows, type FlowFilter } from './conntrack.ts';
import { describeChanges, diff, lostBackends, type LostBackend, type TableChanges } from './diff.ts';
import { NftProcess } from './nft-process.ts';
import { readClients, readSkeleton, readTable } from './nft-read.ts';
import { NftProgram, type NftOptions } from './nft-script.ts';
import type { TrafficRules } from './rules.ts';
import { emptyTable, frontendKey, type ProxyTable } from './table.ts';

export interface NftablesOptions extends NftOptions {
  /** How long an open TCP connection to a backend that left may go on. */
  readonly drainMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Flows that wait to be ended; beyond that, clients of a mass removal wait for their own time-outs. */
const mostPending = 20_000;

/** The kernel does the work; this process only tells it what changed. Traffic goes on when the process ends. */
export class NftablesRules implements TrafficRules {
  readonly name = 'nftables';
  readonly #options: NftablesOptions;
  readonly #nft = new NftProcess();
  readonly #program: NftProgram;
  readonly #drains = new Set<() => void>();
  /** What is in the kernel, as far as we have put it there. */
  #current: ProxyTable = emptyTable;
  readonly #toForget: FlowFilter[] = [];
  #forgetting: Promise<void> | undefined;

  constructor(options: NftablesOptions) {
    this.#options = options;
    this.#program = new NftProgram(options);
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    const listing = await this.#list();
    const before = readTable(listing);
    await this.#nft.execute(this.#program.whole(table, readClients(listing)));
    this.#current = table;
    this.#endFlows(before, table, diff(before, table));
  }

  async apply(before: ProxyTable, after: ProxyTable, changes: TableChanges): Promise<void> {
    await this.#nft.execute(this.#program.changes(changes));
    this.#current = after;
    this.#endFlows(before, after, changes);
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const listing = await this.#list();
    const broken = readSkeleton(listing);
    if (broken !== undefined) return [listing === '' ? `table ip ${this.#options.table} is gone` : broken];
    return describeChanges(diff(readTable(listing), asRead(expected)));
  }

  async close(): Promise<void> {
    for (const cancel of this.#drains) cancel();
    this.#drains.clear();
    this.#nft.close();
    this.#toForget.length = 0;
    await this.#forgetting;
  }

  async cleanup(): Promise<void> {
    await this.close();
    const { table } = this.#options;
    const listing = await this.#list();
    await this.#nft.execute(`add table ip ${table}\ndelete table ip ${table}`);
    this.#nft.close();
    this.#current = emptyTable;
    const before = readTable(listing);
    this.#forget(allFlows(before));
    await this.#forgetting;
  }

  #list(): Promise<string> {
    return this.#nft.list(`list table ip ${this.#options.table}`);
  }

  #endFlows(before: ProxyTable, after: ProxyTable, changes: TableChanges): void {
    const lost = lostBackends(before, after, changes);
    // A client that sent to a virtual address before it was one has a flow that leads nowhere and that its next datagram would keep alive.
    const fresh = changes.addedFrontends
      .filter((frontend) => frontend.protocol === 'UDP')
      .map((frontend) => ({ frontend }));
    this.#forget([...fresh, ...lost.map((each) => ({ ...each, opening: true }))]);
    const open = lost.filter(({ frontend }) => frontend.protocol !== 'UDP');
    if (open.length > 0) this.#drain(open);
  }

  #drain(lost: readonly LostBackend[]): void {
    const end = (): void => {
      this.#drains.delete(cancel);
      const stillLost = lost.filter(({ frontend, backend }) => {
        const now = this.#current.frontends.get(frontendKey(frontend));
        return now === undefined || !this.#current.targets.get(now.target)?.backends.includes(backend);
      });
      this.#forget(stillLost);
    };
    const cancel = this.#options.clock.after(this.#options.drainMs, end);
    this.#drains.add(cancel);
  }

  /** Without holding up the rules, which count more: a failure is told, and the rules stay as they are. */
  #forget(filters: readonly FlowFilter[]): void {
    this.#toForget.push(...filters.slice(0, mostPending - this.#toForget.length));
    this.#forgetting ??= this.#forgetPending().finally(() => (this.#forgetting = undefined));
  }

  async #forgetPending(): Promise<void> {
    while (this.#toForget.length > 0) {
      const filters = this.#toForget.splice(0);
      try {
        await forgetFlows(filters);
      } catch (error) {
        this.#options.log.warn({ error, flows: filters.length }, 'could not end flows to backends that left');
      }
    }
  }
}

/** What `readTable` answers for this table: it cannot tell what a target without backends would do with a connection. */
function asRead(table: ProxyTable): ProxyTable {
  const targets = [...table.targets].map(
    ([id, target]) =>
      [id, target.backends.length === 0 ? { ...target, affinitySeconds: 0, masquerade: false } : target] as const,
  );
  return { ...table, targets: new Map(targets), conflicts: [] };
}

const allFlows = (table: ProxyTable): FlowFilter[] =>
  [...table.frontends.values()].flatMap((frontend) =>
    (table.targets.get(frontend.target)?.backends ?? []).map((backend) => ({ frontend, backend })),
  );
