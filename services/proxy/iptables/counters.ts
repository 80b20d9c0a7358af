import type { Key } from '../../../lib/api/keys.ts';
import { GrowingCounts } from '../kernel/growing-counts.ts';
import { serviceOf } from '../table/table.ts';
import type { ChainWriter } from './chains.ts';

/**
 * How many connections the kernel has begun for Services: what the rules have counted that lead from an address and port to a service port
 * (`chains.ts`). Only a connection's first packet comes by them. They stay as they are while endpoints change, and begin anew when a port of their
 * address comes or goes.
 */
export class IptablesCounters {
  readonly #writer: ChainWriter;
  readonly #counts = new GrowingCounts();

  constructor(writer: ChainWriter) {
    this.#writer = writer;
  }

  /** By Service, of those that the rules know; `text` is what `iptables-save --counters` prints. */
  read(services: ReadonlySet<Key>, text: string): ReadonlyMap<Key, number> {
    const byService = new Map<Key, Map<string, number>>();
    for (const [rule, count] of countedRules(text, this.#writer)) {
      const service = serviceOf(/--comment "?([^"\s]+)"? -j /.exec(rule)?.[1] ?? '');
      if (!services.has(service)) continue;
      const counts = byService.get(service) ?? new Map<string, number>();
      byService.set(service, counts);
      counts.set(rule, count);
    }
    return new Map([...byService].map(([service, counts]) => [service, this.#counts.read(service, counts)]));
  }
}

/** The rules of addresses and of node ports, with their chains. */
function* countedRules(text: string, writer: ChainWriter): Iterable<readonly [rule: string, packets: number]> {
  const [address, nodes] = [`${writer.named('A')}-`, `${writer.named('NODES')} `];
  for (const [, packets, rule = ''] of text.matchAll(/^\[(\d+):\d+\] -A (.*)$/gm))
    if (rule.startsWith(address) || rule.startsWith(nodes)) yield [rule, Number(packets)];
}
