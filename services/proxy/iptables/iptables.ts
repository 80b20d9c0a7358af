import type { Key } from '../../../lib/api/keys.ts';
import type { ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import { FlowEnds, type FlowEndsOptions } from '../kernel/flow-ends.ts';
import { Shell } from '../kernel/shell.ts';
import type { TrafficRules } from '../rules.ts';
import { diff, type TableChanges } from '../table/diff.ts';
import type { Backend, ProxyTable } from '../table/table.ts';
import type { IptablesOptions } from './chains.ts';
import { IptablesCounters } from './counters.ts';
import { differencesOf, readListing, readTable, type Listing } from './listing.ts';
import { IptablesProgram } from './program.ts';

export type IptablesRulesOptions = IptablesOptions &
  FlowEndsOptions & {
    /** The program's name before `-restore` and `-save`; `iptables` is whichever variant the system uses. */
    readonly command?: 'iptables' | 'iptables-legacy' | 'iptables-nft';
  };

const timeoutMs = 60_000;
/** How long to wait for somebody else's change to the rules. */
const lockSeconds = '10';

/** The kernel does the work by rules of iptables, for machines without nft. Each table takes effect whole; traffic goes on when the process ends. */
export class IptablesRules implements TrafficRules {
  readonly name = 'iptables';
  readonly #command: string;
  readonly #program: IptablesProgram;
  readonly #flows: FlowEnds;
  readonly #counters: IptablesCounters;
  readonly #shell = new Shell();

  constructor(options: IptablesRulesOptions) {
    this.#command = options.command ?? 'iptables';
    this.#program = new IptablesProgram(options);
    this.#flows = new FlowEnds(options);
    this.#counters = new IptablesCounters(this.#program.writer);
  }

  async replaceAll(table: ProxyTable): Promise<void> {
    const there = await this.#list();
    const before = readTable(there, this.#program.writer);
    await this.#restore(this.#program.whole(table, there).text());
    this.#flows.follow(before, table, diff(before, table));
  }

  async apply(
    before: ProxyTable,
    after: ProxyTable,
    changes: TableChanges,
    dead?: ReadonlySet<Backend>,
  ): Promise<void> {
    await this.#restore(this.#program.changes(changes).text());
    this.#flows.follow(before, after, changes, dead);
  }

  /** A look at all rules of NAT: it costs by what there is, in a process of its own. */
  async carried(services: ReadonlySet<Key>): Promise<readonly ServiceTraffic[]> {
    const counts = this.#counters.read(services, await this.#save(['--counters', '--table', 'nat']));
    const unknown = { requests: 0, active: 0, kernel: true };
    return [...counts].map(([service, connections]) => ({ service, connections, ...unknown }));
  }

  async cut(ips: readonly string[]): Promise<void> {
    await this.#flows.cut(ips);
  }

  async settled(): Promise<void> {
    await this.#flows.settled();
  }

  async differences(expected: ProxyTable): Promise<readonly string[]> {
    const { writer } = this.#program;
    return differencesOf(await this.#list(), this.#program.ruleset(expected), writer);
  }

  async close(): Promise<void> {
    await this.#flows.close();
    this.#shell.close();
  }

  async cleanup(): Promise<void> {
    await this.#flows.close();
    const there = await this.#list();
    await this.#restore(this.#program.nothing(there).text());
    await this.#flows.all(readTable(there, this.#program.writer));
    this.#shell.close();
  }

  async #list(): Promise<Listing> {
    return readListing(await this.#save([]));
  }

  async #save(args: readonly string[]): Promise<string> {
    const { code, stdout } = await this.#shell.run(`${this.#command}-save`, args, { timeoutMs });
    if (code !== 0) throw new Error(`${this.#command}-save: ${firstLines(stdout)}`);
    return stdout;
  }

  async #restore(script: string): Promise<void> {
    if (script === '') return;
    const args = ['--noflush', '--wait', lockSeconds];
    const { code, stdout } = await this.#shell.run(`${this.#command}-restore`, args, { input: script, timeoutMs });
    if (code !== 0) throw new Error(`${this.#command}-restore: ${firstLines(stdout)}`);
  }
}

const firstLines = (text: string): string => text.trim().split('\n').slice(0, 4).join(' ').slice(0, 500);
