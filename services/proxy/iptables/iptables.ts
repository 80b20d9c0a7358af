import { FlowEnds, type FlowEndsOptions } from '../kernel/flow-ends.ts';
import { Shell } from '../kernel/shell.ts';
import type { TrafficRules } from '../rules.ts';
import { diff, type TableChanges } from '../table/diff.ts';
import type { Backend, ProxyTable } from '../table/table.ts';
import type { IptablesOptions } from './chains.ts';
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
  readonly #shell = new Shell();

  constructor(options: IptablesRulesOptions) {
    this.#command = options.command ?? 'iptables';
    this.#program = new IptablesProgram(options);
    this.#flows = new FlowEnds(options);
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
    const { code, stdout } = await this.#shell.run(`${this.#command}-save`, [], { timeoutMs });
    if (code !== 0) throw new Error(`${this.#command}-save: ${firstLines(stdout)}`);
    return readListing(stdout);
  }

  async #restore(script: string): Promise<void> {
    if (script === '') return;
    const args = ['--noflush', '--wait', lockSeconds];
    const { code, stdout } = await this.#shell.run(`${this.#command}-restore`, args, { input: script, timeoutMs });
    if (code !== 0) throw new Error(`${this.#command}-restore: ${firstLines(stdout)}`);
  }
}

const firstLines = (text: string): string => text.trim().split('\n').slice(0, 4).join(' ').slice(0, 500);
