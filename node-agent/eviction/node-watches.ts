import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import type { Agent } from '../agent.ts';
import type { PodCgroups } from '../cgroups/pod-cgroups.ts';
import type { ImageKeeper } from '../images/image-keeper.ts';
import { watchImages } from '../images/image-watch.ts';
import type { Telling } from '../parts.ts';
import type { PodStorage } from '../pod-storage.ts';
import type { ContainerRuntime } from '../runtime/runtime.ts';
import { candidatesOf } from './candidates.ts';
import { watchDiskLimits } from './disk-watch.ts';
import { watchEviction, type EvictionWatch } from './eviction-watch.ts';
import { tooManyEnded } from './ended-pods.ts';
import { podDisk, totalOf, type PodDisk } from './pod-disk.ts';
import type { Rooms, Threshold } from './thresholds.ts';

export interface NodeWatchesOptions {
  readonly node: string;
  /** Asked for late: the agent itself needs what is made here. */
  readonly agent: () => Pick<Agent, 'pods' | 'evict' | 'tidy' | 'checkNode'>;
  readonly runtime: Pick<ContainerRuntime, 'diskUsage'>;
  readonly storage: Pick<PodStorage, 'usage'>;
  readonly cgroups: PodCgroups | undefined;
  readonly images: ImageKeeper;
  readonly rooms: () => Promise<Rooms>;
  readonly thresholds: readonly Threshold[];
  readonly imageHigh: number;
  readonly imageLow: number;
  readonly holdMs: number;
  readonly telling: Telling;
  readonly onImagesRemoved: (count: number) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const tidyEveryMs = 60_000;

/** Everything that keeps the node from running short: eviction, limits of what pods write, unused images. Lasts until `signal` aborts. */
export function watchNode(options: NodeWatchesOptions): EvictionWatch {
  const { agent, runtime, storage, cgroups, images, rooms, telling, node, clock, log, signal } = options;
  const run = { clock, log, signal };
  const tell = (reason: string, message: string): void => {
    telling.event({ apiVersion: 'v1', kind: 'Node', name: node, uid: node, namespace: '' }, 'Warning', reason, message);
  };
  const pods = () => [...agent().pods()].map(({ pod }) => pod);
  const measure = (uid: string): Promise<PodDisk> => {
    const found = [...agent().pods()].find(({ pod }) => pod.metadata.uid === uid);
    return found === undefined
      ? Promise.resolve({ containers: new Map(), volumesBytes: 0 })
      : podDisk(found, { runtime, storage });
  };
  const diskUsage = async (pod: { readonly metadata: { readonly uid: string } }): Promise<number> =>
    totalOf(await measure(pod.metadata.uid));

  void watchImages({
    ...run,
    keeper: images,
    room: async () => (await rooms())['imagefs.available'],
    high: options.imageHigh,
    low: options.imageLow,
    onFreed: options.onImagesRemoved,
    tell,
  });
  void watchDiskLimits({
    ...run,
    pods,
    measure: (pod) => measure(pod.metadata.uid),
    evict: (uid, order) => agent().evict(uid, order),
  });
  const tidyNowAndThen = (): void => {
    agent().tidy(tooManyEnded(pods()).map(({ metadata }) => metadata.uid));
    if (!signal.aborted) clock.after(tidyEveryMs, tidyNowAndThen);
  };
  clock.after(tidyEveryMs, tidyNowAndThen);
  return watchEviction({
    ...run,
    thresholds: options.thresholds,
    holdMs: options.holdMs,
    rooms,
    pods,
    candidates: (kind) => candidatesOf(pods(), kind, { cgroups, diskUsage }),
    evict: (uid, order) => agent().evict(uid, order),
    async reclaim() {
      const tidied = agent().tidy();
      const freed = await images.free(Infinity);
      options.onImagesRemoved(freed.images);
      return tidied || freed.images > 0;
    },
    onChange: () => {
      agent().checkNode();
    },
    tell,
  });
}
