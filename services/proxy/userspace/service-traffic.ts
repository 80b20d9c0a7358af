import type { Key } from '../../../lib/api/keys.ts';
import type { ServiceTraffic } from '../../../lib/bus/traffic-figures.ts';
import type { ProxyTable } from '../table/table.ts';
import type { Told } from './tally.ts';

/**
 * What a few Services have carried, from the tallies of their ports. An attempt that reached nobody is no connection: it is made again, or
 * elsewhere. Who waits for an endpoint is under way. A Service that is served here and was not used yet has zeros.
 */
export function carriedBy(
  services: ReadonlySet<Key>,
  table: ProxyTable,
  upstreams: ReadonlyMap<string, { told(): Told }>,
): readonly ServiceTraffic[] {
  const sums = new Map<Key, { requests: number; connections: number; active: number }>();
  const sumOf = (target: string): { requests: number; connections: number; active: number } | undefined => {
    const [namespace = '', name = ''] = target.split('/');
    const service = `${namespace}/${name}`;
    if (!services.has(service)) return undefined;
    const known = sums.get(service) ?? { requests: 0, connections: 0, active: 0 };
    sums.set(service, known);
    return known;
  };
  for (const { target } of table.frontends.values()) sumOf(target);
  for (const [target, upstream] of upstreams) {
    const sum = sumOf(target);
    if (sum === undefined) continue;
    const { backends, gone, waiting } = upstream.told();
    sum.active += waiting;
    const tallies = [gone];
    for (const { tally, active } of backends) {
      tallies.push(tally);
      sum.active += active;
    }
    for (const { requests, connections } of tallies) {
      for (const [outcome, count] of requests) if (outcome !== 'unreachable') sum.requests += count;
      for (const [outcome, count] of connections) if (outcome !== 'failed') sum.connections += count;
    }
  }
  return [...sums].map(([service, sum]) => ({ service, ...sum }));
}
