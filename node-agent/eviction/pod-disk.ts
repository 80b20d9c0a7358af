import type { Container, Pod } from '../../lib/api/objects.ts';
import { togetherOf } from '../../lib/api/pods.ts';
import { bytesQuantity, unitsOf } from '../../lib/api/quantity.ts';
import type { PodContainer } from '../labels.ts';
import type { PodStorage } from '../pod-storage.ts';
import type { ContainerRuntime } from '../runtime/runtime.ts';
import type { EndOrder } from './pod-ending.ts';

/** What of the node's disk a pod takes that ends with it: what containers wrote beside their images, their output, emptyDirs. */
export interface PodDisk {
  /** Under the container's name, all its attempts together. */
  readonly containers: ReadonlyMap<string, number>;
  readonly volumesBytes: number;
}

export const totalOf = ({ containers, volumesBytes }: PodDisk): number =>
  [...containers.values()].reduce((sum, bytes) => sum + bytes, volumesBytes);

/** Measures it; what cannot be measured now counts with nothing. */
export async function podDisk(
  { pod, containers }: { readonly pod: Pod; readonly containers: Iterable<PodContainer> },
  {
    runtime,
    storage,
  }: { readonly runtime: Pick<ContainerRuntime, 'diskUsage'>; readonly storage: Pick<PodStorage, 'usage'> },
): Promise<PodDisk> {
  const sums = new Map<string, number>();
  for (const { kind, name, is } of containers) {
    if (kind === 'sandbox') continue;
    const used = await runtime.diskUsage(is.id).catch(() => undefined);
    sums.set(name, (sums.get(name) ?? 0) + (used === undefined ? 0 : used.writtenBytes + used.logBytes));
  }
  let volumesBytes = 0;
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    if (emptyDir === undefined || emptyDir.medium === 'Memory') continue;
    volumesBytes += (await storage.usage(pod.metadata.uid, name)) ?? 0;
  }
  return { containers: sums, volumesBytes };
}

const limitOf = ({ resources }: Pick<Container, 'resources'>): number | undefined => {
  const limit = resources.limits?.['ephemeral-storage'];
  return limit === undefined ? undefined : unitsOf(limit);
};
const containersOf = ({ spec }: Pod): readonly Container[] => [...(spec.initContainers ?? []), ...spec.containers];

/** Whether there is anything to hold the pod to. */
export const hasDiskLimit = (pod: Pod): boolean =>
  containersOf(pod).some((container) => limitOf(container) !== undefined);

/**
 * Why the pod must end for what it wrote; undefined while it keeps to its limits. A container is held to its own; the pod,
 * emptyDirs included, to the sum of them where every container has one.
 */
export function outgrownDisk(pod: Pod, disk: PodDisk): EndOrder | undefined {
  const order = (message: string): EndOrder => ({ reason: 'Evicted', message, graceMs: 1_000, disruption: false });
  const all = containersOf(pod);
  for (const container of all) {
    const limit = limitOf(container);
    if (limit !== undefined && (disk.containers.get(container.name) ?? 0) > limit) {
      const text = String(container.resources.limits?.['ephemeral-storage']);
      return order(`Container ${container.name} exceeded its local ephemeral storage limit "${text}".`);
    }
  }
  if (!all.every((container) => limitOf(container) !== undefined)) return undefined;
  const limit = togetherOf(pod.spec, (container) => limitOf(container as Container) ?? 0);
  return totalOf(disk) > limit
    ? order(`Pod ephemeral local storage usage exceeds the total limit of containers ${bytesQuantity(limit)}.`)
    : undefined;
}
