import { systemClock } from '../../lib/base/clock.ts';
import { newLog } from '../../lib/base/log.ts';
import { keyOf } from '../../lib/api/keys.ts';
import { diff } from '../../services/proxy/table/diff.ts';
import { NftablesRules } from '../../services/proxy/nftables/nftables.ts';
import { compile, partOf, recompile, type CompiledTable } from '../../services/proxy/table/table.ts';
import { aService, anEndpoints } from '../../test/support/builders.ts';
import { serveRequests } from '../../test/support/netns-requests.ts';

/** Many services in the kernel of a network of its own, one of whose endpoints changes again and again. */
const log = newLog('bench', { level: 'silent' });
const rules = new NftablesRules({
  ...{ table: 'troupe_bench', clusterCidr: '10.128.0.0/9', drainMs: 60_000, log },
  clock: systemClock,
});

serveRequests({
  async measure({ services: count, endpoints: each, changes }: Record<'services' | 'endpoints' | 'changes', number>) {
    const ipOf = (service: number, n: number): string => `10.${128 + (service >> 8)}.${service & 255}.${n + 1}`;
    const services = Array.from({ length: count }, (_, i) =>
      aService({ name: `s${i}`, clusterIP: `10.96.${i >> 8}.${i & 255}` }),
    );
    const ips = (service: number, from: number): string[] =>
      Array.from({ length: each }, (_, n) => ipOf(service, from + n));
    const endpoints = new Map(
      services.map((service, i) => [keyOf(service), anEndpoints({ name: `s${i}`, ips: ips(i, 0) })]),
    );
    const byKey = new Map(services.map((service) => [keyOf(service), service]));
    const snapshot = { service: (key: string) => byKey.get(key), endpoints: (key: string) => endpoints.get(key) };

    let begun = performance.now();
    let table: CompiledTable = compile(services, snapshot.endpoints, 'n1');
    await rules.replaceAll(table);
    const wholeMs = performance.now() - begun;

    const timesMs: number[] = [];
    for (let i = 0; i < changes; i++) {
      // Each service loses an endpoint and gets it back.
      const n = ((i >> 1) * 37) % count;
      const name = `s${n}`;
      const list = ips(n, 0).slice((i + 1) % 2);
      begun = performance.now();
      endpoints.set(`default/${name}`, anEndpoints({ name, ips: list }));
      const keys = [`default/${name}`];
      const next = recompile(table, keys, snapshot, 'n1');
      if (next === undefined) throw new Error('two services claim the same address');
      await rules.apply(table, next, diff(partOf(table, keys), partOf(next, keys)));
      timesMs.push(performance.now() - begun);
      table = next;
      await rules.settled(); // as the proxy does before it takes up the next change
    }
    begun = performance.now();
    const differences = await rules.differences(table);
    if (differences.length > 0) throw new Error(differences.join('; '));
    const checkMs = performance.now() - begun;
    await rules.close();
    return { timesMs, wholeMs, checkMs };
  },
});
