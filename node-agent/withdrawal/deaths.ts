import type { Pod } from '../../lib/api/objects.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { downSubject, tell, upSubject } from '../../lib/bus/traffic-facts.ts';
import type { PodContainer } from '../labels.ts';
import type { NodeFacts, ServiceSource } from '../parts.ts';
import { isServed } from './served.ts';

export interface DeathOptions {
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly node: NodeFacts;
  readonly services: ServiceSource;
  readonly wall: () => number;
}

/** What must be known of a pod one of whose containers has died. */
export interface Bereaved {
  readonly pod: Pod;
  readonly containers: Iterable<PodContainer>;
  /** Whether this agent is ending the container. */
  isBeingStopped(containerId: string): boolean;
  /** True once for each container: kernel and engine both tell of a death. */
  firstWordOf(containerId: string): boolean;
}

/**
 * Says that a pod does not serve any more, the moment its node knows of the death and before any status is written (D2). The kernel itself
 * ends the open connections of a program that dies; only those into a sandbox that is gone have to be ended by whoever sends.
 */
export function tellDeath({ bus, cluster, node, services, wall }: DeathOptions, id: string, of: Bereaved): boolean {
  const { pod } = of;
  const dead = [...of.containers].find(({ is }) => is.id === id);
  const serves =
    dead !== undefined && dead.kind !== 'ephemeral' && (dead.kind !== 'init' || isSidecarOf(pod, dead.name));
  if (bus === undefined || !serves || of.isBeingStopped(id) || !isServed(pod, services)) return false;
  if (!of.firstWordOf(id)) return false;
  const ip = dead.kind === 'sandbox' && pod.spec.hostNetwork !== true ? (pod.status.podIP ?? '') : '';
  const pods = [{ uid: pod.metadata.uid, ip }];
  return tell(bus, downSubject(cluster, node.name), { pods, reason: `container ${dead.name} died`, atMs: wall() });
}

/** Takes the word of a death back, so that nobody has to wait for it to be outlived. A lost one costs the others three seconds. */
export function tellServing({ bus, cluster, node, wall }: Omit<DeathOptions, 'services'>, pod: Pod): void {
  if (bus !== undefined) tell(bus, upSubject(cluster, node.name), { pods: [{ uid: pod.metadata.uid }], atMs: wall() });
}

const isSidecarOf = ({ spec }: Pod, name: string): boolean =>
  spec.initContainers?.some((init) => init.name === name && init.restartPolicy === 'Always') === true;
