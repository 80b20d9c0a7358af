import type { Meter } from '@opentelemetry/api';
import type { Log } from '../../lib/base/log.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { allDown, allUp, isWrong, readDown, readUp } from '../../lib/bus/traffic-facts.ts';
import type { Proxy } from './proxy.ts';

export interface DeathOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly proxy: Pick<Proxy, 'cut' | 'serves'>;
  readonly log: Log;
  readonly meter: Meter;
  readonly signal: AbortSignal;
}

/** Hears which pods answer nobody any more, and which do again, before the API knows. A lost word costs time: the Endpoints tell the same. */
export function hearDeaths({ bus, cluster, proxy, log, meter, signal }: DeathOptions): void {
  const cut = meter.createCounter('troupe_proxy_cut_pods', {
    description: 'Pods taken out of traffic by the word of their node, ahead of the Endpoints',
  });
  const downs = bus.subscribe(
    allDown(cluster),
    (message) => {
      const fact = readDown(message);
      if (isWrong(fact)) return log.warn({ subject: message.subject, wrong: fact.wrong }, 'a fact cannot be read');
      log.debug({ pods: fact.pods.length, reason: fact.reason, ageMs: Date.now() - fact.atMs }, 'pods are down');
      cut.add(fact.pods.length);
      proxy.cut(fact.pods);
    },
    () => undefined,
  );
  const ups = bus.subscribe(
    allUp(cluster),
    (message) => {
      const fact = readUp(message);
      if (isWrong(fact)) return log.warn({ subject: message.subject, wrong: fact.wrong }, 'a fact cannot be read');
      proxy.serves(fact.pods.map(({ uid }) => uid));
    },
    () => undefined,
  );
  signal.addEventListener('abort', () => {
    for (const subscription of [downs, ups]) subscription.close();
  });
}
