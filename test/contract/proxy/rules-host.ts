import { systemClock } from '../../../lib/base/clock.ts';
import { newLog } from '../../../lib/base/log.ts';
import { LoopbackAddresses } from '../../../services/proxy/addresses.ts';
import { countChanges, diff } from '../../../services/proxy/diff.ts';
import { NftablesRules } from '../../../services/proxy/nftables.ts';
import type { TrafficRules } from '../../../services/proxy/rules.ts';
import { compile, emptyTable, type ProxyTable } from '../../../services/proxy/table.ts';
import { UserspaceRules } from '../../../services/proxy/userspace.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import { serveRequests } from '../../support/netns-requests.ts';

/** Rules under test in a process of their own, inside the node's namespace. */
const log = newLog('rules-host', { level: 'silent' });
let rules: TrafficRules | undefined;
let table: ProxyTable = emptyTable;

interface Snapshot {
  readonly services: readonly Service[];
  readonly endpoints: readonly Endpoints[];
}

const compiled = ({ services, endpoints }: Snapshot): ProxyTable => {
  const byName = new Map(endpoints.map((each) => [`${each.metadata.namespace}/${each.metadata.name}`, each]));
  return compile(services, (key) => byName.get(key), 'n1');
};
const own = (): TrafficRules => {
  if (rules === undefined) throw new Error('not made yet');
  return rules;
};

serveRequests({
  make({ kind, drainMs }: { readonly kind: 'nftables' | 'userspace'; readonly drainMs: number }) {
    const shared = { drainMs, clock: systemClock, log };
    rules =
      kind === 'nftables'
        ? new NftablesRules({ ...shared, table: 'troupe_test', clusterCidr: '10.244.0.0/16' })
        : new UserspaceRules({ ...shared, addresses: new LoopbackAddresses('troupe_test') });
  },
  async replaceAll(snapshot: Snapshot) {
    table = compiled(snapshot);
    await own().replaceAll(table);
  },
  /** Resolves to the number of separate changes that were made. */
  async apply(snapshot: Snapshot) {
    const next = compiled(snapshot);
    const changes = diff(table, next);
    await own().apply(table, next, changes);
    table = next;
    return countChanges(changes);
  },
  differences: () => own().differences(table),
  cleanup: () => own().cleanup(),
});
