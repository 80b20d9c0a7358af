import type { Pod } from '../../lib/api/objects.ts';
import { inRunsOf } from '../../lib/base/parallel.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { downSubject, mostPodsTold, tell } from '../../lib/bus/traffic-facts.ts';

/**
 * Says what no agent can say any more: the pods of a lost node answer nobody. Proxies end the connections to them too, which would otherwise hang,
 * for there is no kernel left to end them.
 */
export const tellLost =
  (bus: EventBus | undefined, cluster: string, clock: Clock) =>
  (node: string, pods: readonly Pod[]): void => {
    if (bus === undefined) return;
    const dead = pods.map(({ metadata: { uid }, spec, status }) => ({
      uid,
      ip: spec.hostNetwork === true ? '' : (status.podIP ?? ''),
    }));
    for (const some of inRunsOf(mostPodsTold, dead))
      tell(bus, downSubject(cluster, node), { pods: some, reason: 'its node is lost', node, atMs: clock.now() });
  };
