import { systemClock } from '../../../lib/base/clock.ts';
import { newLog } from '../../../lib/base/log.ts';
import { LoopbackAddresses } from '../../../services/proxy/userspace/addresses.ts';
import { countChanges, diff } from '../../../services/proxy/table/diff.ts';
import { IptablesRules } from '../../../services/proxy/iptables/iptables.ts';
import { NftablesRules } from '../../../services/proxy/nftables/nftables.ts';
import type { TrafficRules } from '../../../services/proxy/rules.ts';
import { compile, emptyTable, type ProxyTable } from '../../../services/proxy/table/table.ts';
import { policyAnnotation } from '../../../lib/api/carriage.ts';
import { StagedRules } from '../../../services/proxy/staged/staged.ts';
import { builtIn } from '../../../services/proxy/userspace/policy/registry.ts';
import { UserspaceRules } from '../../../services/proxy/userspace/userspace.ts';
import type { Endpoints, Service } from '../../../lib/api/objects.ts';
import type { ProxyUnderTest } from './bed.ts';
import { serveRequests } from '../../support/netns-requests.ts';

/** Rules under test in a process of their own, inside the node's namespace. */
const log = newLog('rules-host', { level: 'silent' });
const unserved = new Map<string, string>();
const told = { wanted: [] as string[], 'in vain': [] as string[] };
const userspace = {
  ...{ clusterCidr: '10.244.0.0/16', policies: builtIn, nodeName: 'n1', endpoints: () => undefined },
  onUnserved: (target: string, why: string) => void unserved.set(target, why),
  onWanted: (services: readonly string[]) => void told.wanted.push(...services),
  onInVain: (target: string, why: string) => void told['in vain'].push(`${target} ${why}`),
};
let rules: TrafficRules | undefined;
let table: ProxyTable = emptyTable;
let staged = false;

interface Wanted {
  readonly kind: ProxyUnderTest['kind'];
  readonly drainMs: number;
  readonly command?: ProxyUnderTest['command'];
  readonly staged?: boolean;
}

interface Snapshot {
  readonly services: readonly Service[];
  readonly endpoints: readonly Endpoints[];
}

const compiled = ({ services, endpoints }: Snapshot): ProxyTable => {
  const byName = new Map(endpoints.map((each) => [`${each.metadata.namespace}/${each.metadata.name}`, each]));
  const asked = staged ? services.map(withPolicy) : services;
  return compile(asked, (key) => byName.get(key), 'n1');
};
/** What the kernel cannot do, and comes to the same. */
const withPolicy = (service: Service): Service => ({
  ...service,
  metadata: {
    ...service.metadata,
    annotations: { ...service.metadata.annotations, [policyAnnotation]: 'round-robin' },
  },
});
const own = (): TrafficRules => {
  if (rules === undefined) throw new Error('not made yet');
  return rules;
};

serveRequests({
  make({ kind, drainMs, command, staged: behindKernel = false }: Wanted) {
    const shared = { drainMs, clock: systemClock, log, table: 'troupe_test', clusterCidr: '10.244.0.0/16' };
    const stage = new UserspaceRules({ ...shared, ...userspace, addresses: new LoopbackAddresses('troupe_test') });
    staged = behindKernel;
    rules =
      kind === 'nftables'
        ? new NftablesRules(shared)
        : kind === 'iptables'
          ? new IptablesRules({ ...shared, ...(command === undefined ? {} : { command }) })
          : stage;
    // As the proxy itself: the kernel leads to userspace what it cannot do.
    if (kind !== 'userspace')
      rules = new StagedRules({ kernel: rules, stage, address: '169.254.84.1', byRequest: false });
  },
  async replaceAll(snapshot: Snapshot) {
    table = compiled(snapshot);
    await own().replaceAll(table);
    await own().settled();
  },
  /** Resolves to the number of separate changes that were made. */
  async apply({ dead = [], ...snapshot }: Snapshot & { readonly dead?: readonly string[] }) {
    const next = compiled(snapshot);
    const changes = diff(table, next);
    await own().apply(table, next, changes, new Set(dead));
    await own().settled(); // as the proxy does
    table = next;
    return countChanges(changes);
  },
  /** What the rules have told that they cannot serve, by target. */
  unserved: () => [...unserved],
  /** What it has said of clients that wait, since it was last told to forget that. */
  told: ({ kind }: { readonly kind: keyof typeof told }) => told[kind],
  forget: () => {
    for (const each of Object.values(told)) each.length = 0;
  },
  /** Connections of a Service that are open or wait, as far as userspace carries them. */
  active: async ({ service }: { readonly service: string }) =>
    ((await own().carried?.(new Set([service]))) ?? []).reduce((sum, { active }) => sum + active, 0),
  /** Connections of a Service that were carried so far; null where nobody counts them. */
  carried: async ({ service }: { readonly service: string }) =>
    (await own().carried?.(new Set([service])))?.[0]?.connections ?? null,
  differences: () => own().differences(table),
  cut: ({ ips }: { readonly ips: readonly string[] }) => own().cut(ips),
  settled: () => own().settled(),
  cleanup: () => own().cleanup(),
});
