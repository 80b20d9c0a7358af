import { getSystemErrorName } from 'node:util';
import type { Key } from '../../../lib/api/keys.ts';
import type { ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import { FlowEnds, type FlowEndsOptions } from '../kernel/flow-ends.ts';
import { NetlinkRelay } from '../kernel/netlink-relay.ts';
import { describeChanges, diff, type TableChanges } from '../table/diff.ts';
import { NftCounters } from './nft-counters.ts';
import { NftProcess } from './nft-process.ts';
import { readClients, readSkeleton, readTable } from './nft-read.ts';
import { batchOf, errorIn, type Operation } from './netlink.ts';
import { NftProgram } from './nft-script.ts';
import { rulesOfSkeleton, type NftOptions } from './skeleton.ts';
import type { Transaction } from './transaction.ts';
import type { TrafficRules } from '../rules.ts';
import { fewestBlocks } from '../table/sources.ts';
import { emptyTable, type Backend, type ProxyTable, type Target } from '../table/table.ts';

export type NftablesOptions = NftOptions & FlowEndsOptions;

/** The kernel does the work; this process only tells it what changed. Traffic goes on when the process ends. */
export class NftablesRules implements TrafficRules {
  readonly name = 'nftables';
  readonly #options: NftablesOptions;
  readonly #nft = new NftProcess();
  readonly #relay = new NetlinkRelay();
  readonly #program: NftProgram;
  readonly #flows: FlowEnds;
  readonly #counters: NftCounters;
  /** The table that was put into effect last. */
  #table: ProxyTable = emptyTable;

  constructor(options: NftablesOptions) {
    this.#options = options;
    this.#program = new NftProgram(options);
    this.#flows = new FlowEnds(options);
    this.#counters = new NftCounters(options.table, (command) => this.#nft.print(command));
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    const listing = await this.#list();
    const before = readTable(listing);
    await this.#nft.execute(this.#program.whole(table, readClients(listing)).text());
    this.#table = table;
    this.#relay.warm();
    this.#flows.warm();
    this.#flows.follow(before, table, diff(before, table));
  }

  async apply(
    before: ProxyTable,
    after: ProxyTable,
    changes: TableChanges,
    dead?: ReadonlySet<Backend>,
  ): Promise<void> {
    await this.#carryOut(this.#program.changes(changes));
    this.#table = after;
    this.#flows.follow(before, after, changes, dead);
  }

  async carried(services: ReadonlySet<Key>): Promise<readonly ServiceTraffic[]> {
    const counts = await this.#counters.read(services, this.#table);
    return [...counts].map(([service, connections]) => ({
      service,
      requests: 0,
      connections,
      active: 0,
      kernel: true,
    }));
  }

  async cut(ips: readonly string[]): Promise<void> {
    await this.#flows.cut(ips);
  }

  async settled(): Promise<void> {
    await this.#flows.settled();
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const listing = await this.#list();
    const broken = readSkeleton(listing, rulesOfSkeleton(this.#options));
    if (broken !== undefined) return [listing === '' ? `table ip ${this.#options.table} is gone` : broken];
    return describeChanges(diff(readTable(listing), asRead(expected)));
  }

  async close(): Promise<void> {
    this.#nft.close();
    this.#relay.close();
    await this.#flows.close();
  }

  async cleanup(): Promise<void> {
    await this.close();
    const { table } = this.#options;
    const listing = await this.#list();
    await this.#nft.execute(`add table ip ${table}\ndelete table ip ${table}`);
    this.#nft.close();
    await this.#flows.all(readTable(listing));
  }

  /** By the kernel's own messages where they can say it and the relay works, else by `nft`. */
  async #carryOut(transaction: Transaction): Promise<void> {
    const operations = this.#relay.usable ? transaction.operations() : undefined;
    if (operations === undefined) return this.#nft.execute(transaction.text());
    try {
      await this.#execute(operations);
    } catch (error) {
      this.#options.log.debug({ error }, 'a change did not get through to the kernel directly; nft tries');
      await this.#nft.execute(transaction.text());
    }
  }

  /** One transaction. Rejects when the kernel refuses it, which changes nothing, and when it is not known whether it took effect. */
  async #execute(operations: readonly Operation[]): Promise<void> {
    if (operations.length === 0) return;
    const error = errorIn(await this.#relay.exchange(batchOf(this.#options.table, operations)));
    if (error === 0) return;
    if (error === undefined) throw new Error('the kernel did not answer a change of its rules');
    throw new Error(`the kernel refused a change of its rules: ${getSystemErrorName(-error)}`);
  }

  #list(): Promise<string> {
    return this.#nft.list(`list table ip ${this.#options.table}`);
  }
}

/** What `readTable` answers for this table: it cannot tell what a target without backends would do with a connection. */
function asRead(table: ProxyTable): ProxyTable {
  const targets = [...table.targets].map(([id, target]): readonly [string, Target] => {
    const sources = target.sources === undefined ? {} : { sources: fewestBlocks(target.sources) };
    const idle = target.backends.length === 0 ? { affinitySeconds: 0, masquerade: false } : {};
    return [id, { ...target, ...sources, ...idle }];
  });
  return { ...table, targets: new Map(targets), conflicts: [] };
}
