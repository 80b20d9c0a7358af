import type { Key } from '../../lib/api/keys.ts';
import type { ServiceTraffic } from '../../lib/bus/traffic-figures.ts';
import type { TableChanges } from './table/diff.ts';
import type { Backend, ProxyTable } from './table/table.ts';

/**
 * Where a table takes effect: the kernel, or sockets of this process. One caller, one call at a time.
 *
 * Every call takes effect whole or not at all. New connections follow the new table once the call has resolved;
 * a connection to a backend that is still in the table is never disturbed. A backend that left was asked to leave, as a rule:
 * its UDP flows and its TCP connections still being opened move at once, open TCP connections go on until it ends them,
 * at most for the drain time. One that is dead is said so by `cut`.
 */
export interface TrafficRules {
  /** `nftables` or `userspace`, for people. */
  readonly name: string;

  /** Makes exactly `table` so, whatever was there before. Affinity of clients is kept where their backend is. */
  replaceAll(table: ProxyTable): Promise<void>;

  /**
   * Goes from `before`, which is what the last call left, to `after` by `changes` alone. When it rejects, use `replaceAll`. Of those that left
   * the `dead` are not asked to stop any more: `settled` does not wait for what may still be opening to them.
   */
  apply(before: ProxyTable, after: ProxyTable, changes: TableChanges, dead?: ReadonlySet<Backend>): Promise<void>;

  /**
   * Ends every connection to these addresses of pods at once, open ones too, so that clients notice and try again elsewhere. It changes
   * no table: whoever calls it has taken the addresses out of it before.
   */
  cut(ips: readonly string[]): Promise<void>;

  /** Resolves when the connections that the last call moves have been moved; new ones follow the table before that. */
  settled(): Promise<void>;

  /** One sentence for each difference between `expected` and what is in effect; empty when there is none. At most 10. */
  differences(expected: ProxyTable): Promise<readonly string[]>;

  /** What each service port has carried, in the form of Prometheus; absent where the kernel carries all. */
  figures?(): string;

  /** What Services of these have carried since the start, as far as it is counted; absent where nothing is. Rejects where it cannot be read now. */
  carried?(services: ReadonlySet<Key>): Promise<readonly ServiceTraffic[]>;

  /** Lets go of processes, timers and sockets. Rules in the kernel stay, so that traffic goes on without us. */
  close(): Promise<void>;

  /** Takes away everything that was ever made here. */
  cleanup(): Promise<void>;
}

/** What the rules have caught up with: everything up to these revisions is in effect; -1 while nothing can be said. */
export interface Programmed {
  /** The life of the chain of changes that the revisions belong to; empty while it is not known. */
  readonly epoch: string;
  readonly services: number;
  readonly endpoints: number;
}
