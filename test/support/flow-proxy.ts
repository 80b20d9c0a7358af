import { createNoopMeter, trace } from '@opentelemetry/api';
import { silentLog } from '../../lib/base/log.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { tellProgrammed } from '../../lib/bus/teller.ts';
import type { Client } from '../../lib/client/client.ts';
import { newViews } from '../../lib/view/views.ts';
import { endpointsIndexes } from '../../services/proxy/cuts.ts';
import { hearDeaths } from '../../services/proxy/deaths.ts';
import { Proxy } from '../../services/proxy/proxy.ts';
import type { TrafficRules } from '../../services/proxy/rules.ts';
import { emptyTable, type ProxyTable } from '../../services/proxy/table/table.ts';

export interface FlowProxyOptions {
  readonly node: string;
  readonly cluster: string;
  readonly client: Client;
  readonly bus: EventBus;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** What it takes to put a table into effect. */
  readonly applyMs: number;
}

export interface FlowProxy {
  /** Where it would send connections now. */
  addresses(): ReadonlySet<string>;
  /** While set, nothing is put into effect: its process stands still, what was in effect stays. */
  stands: boolean;
}

/** A proxy that is the real one but for its rules, which are a table in memory. */
export function startFlowProxy(options: FlowProxyOptions): FlowProxy {
  const { node, cluster, client, bus, clock, signal, applyMs } = options;
  let inEffect: ProxyTable = emptyTable;
  const self: FlowProxy = {
    addresses: () =>
      new Set([...inEffect.targets.values()].flatMap(({ backends }) => backends.map((at) => at.split(':')[0] ?? ''))),
    stands: false,
  };
  const reach = async (table: ProxyTable): Promise<void> => {
    do await wait(clock, applyMs, signal);
    while (self.stands);
    inEffect = table;
  };
  const rules: TrafficRules = {
    name: 'memory',
    replaceAll: reach,
    apply: (_, after) => reach(after),
    cut: async () => undefined,
    settled: async () => undefined,
    differences: async () => [],
    close: async () => undefined,
    cleanup: async () => undefined,
  };
  const meter = createNoopMeter();
  const shared = { client, bus, cluster, clock, log: silentLog, meter, signal };
  const views = newViews({ services: {}, endpoints: { indexes: endpointsIndexes } }, shared);
  const position = () => ({
    epoch: views.endpoints.position.epoch,
    services: views.services.position.revision,
    endpoints: views.endpoints.position.revision,
  });
  const tracer = trace.getTracer('flow');
  const proxy = new Proxy({ ...shared, ...views, position, rules, nodeName: node, tracer, checkMs: 30_000 });
  tellProgrammed({ bus, cluster, who: { kind: 'proxy', name: node }, sender: proxy, mode: 'memory', clock, signal });
  hearDeaths({ bus, cluster, proxy, log: silentLog, meter, signal });
  views.synced().then(
    () => {
      proxy.start();
    },
    () => undefined,
  );
  signal.addEventListener('abort', () => void proxy.stop());
  return self;
}
