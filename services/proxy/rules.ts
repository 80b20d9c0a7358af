import type { TableChanges } from './diff.ts';
import type { ProxyTable } from './table.ts';

/**
 * Where a table takes effect: the kernel, or sockets of this process. One caller, one call at a time.
 *
 * Every call takes effect whole or not at all. New connections follow the new table once the call has resolved;
 * a connection to a backend that is still in the table is never disturbed. Connections to a backend that left
 * are ended: at once for UDP and for TCP still being opened, after the drain time for TCP that is open.
 */
export interface TrafficRules {
  /** `nftables` or `userspace`, for people. */
  readonly name: string;

  /** Makes exactly `table` so, whatever was there before. Affinity of clients is kept where their backend is. */
  replaceAll(table: ProxyTable): Promise<void>;

  /** Goes from `before`, which is what the last call left, to `after` by `changes` alone. When it rejects, use `replaceAll`. */
  apply(before: ProxyTable, after: ProxyTable, changes: TableChanges): Promise<void>;

  /** One sentence for each difference between `expected` and what is in effect; empty when there is none. At most 10. */
  differences(expected: ProxyTable): Promise<readonly string[]>;

  /** Lets go of processes, timers and sockets. Rules in the kernel stay, so that traffic goes on without us. */
  close(): Promise<void>;

  /** Takes away everything that was ever made here. */
  cleanup(): Promise<void>;
}

/** What the rules have caught up with: revisions of the objects last changed. Decimal, 0 before the first. */
export interface Programmed {
  readonly services: number;
  readonly endpoints: number;
}
