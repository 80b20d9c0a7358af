import type { Key } from '../../../lib/api/keys.ts';
import { GrowingCounts } from '../kernel/growing-counts.ts';
import { frontendKey, serviceOf, type Frontend, type ProxyTable } from '../table/table.ts';
import { frontendElement } from './elements.ts';
import { readCounters } from './nft-read.ts';

/** The maps of `skeleton.ts` by the frontends that they have. */
const maps = ['services', 'inside_services', 'node_services'] as const;
const mapOf = ({ address, inside }: Frontend): (typeof maps)[number] =>
  address === '*' ? 'node_services' : inside === true ? 'inside_services' : 'services';

/**
 * How many connections the kernel has begun for Services, read from the elements of their frontends when somebody asks: a sample, since the
 * kernel tells nobody. It costs a process of `nft` for each map and grows with what is asked for, not with what there is.
 */
export class NftCounters {
  readonly #table: string;
  readonly #print: (command: string) => Promise<string>;
  readonly #counts = new GrowingCounts();

  constructor(table: string, print: (command: string) => Promise<string>) {
    this.#table = table;
    this.#print = print;
  }

  /** By Service, of those that have a frontend here. Rejects when the rules changed meanwhile. */
  async read(
    services: ReadonlySet<Key>,
    { frontends }: Pick<ProxyTable, 'frontends'>,
  ): Promise<ReadonlyMap<Key, number>> {
    const asked = [...frontends.values()].filter(({ target }) => services.has(serviceOf(target)));
    const counters = new Map<string, number>();
    for (const map of maps) {
      const here = asked.filter((frontend) => mapOf(frontend) === map);
      if (here.length === 0) continue;
      const elements = here.map((frontend) => frontendElement(frontend).text).join(', ');
      const printed = await this.#print(`get element ip ${this.#table} ${map} { ${elements} }`);
      const more = map === 'inside_services' ? ({ inside: true } as const) : {};
      for (const [key, count] of readCounters(printed, more)) counters.set(key, count);
    }
    const byService = new Map<Key, Map<string, number>>();
    for (const frontend of asked) {
      const service = serviceOf(frontend.target);
      const counts = byService.get(service) ?? new Map<string, number>();
      byService.set(service, counts);
      const count = counters.get(frontendKey(frontend));
      if (count === undefined) throw new Error('the rules changed while their counters were read');
      counts.set(frontendKey(frontend), count);
    }
    return new Map([...byService].map(([service, counts]) => [service, this.#counts.read(service, counts)]));
  }
}
