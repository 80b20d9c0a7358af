import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting, isTerminal } from '../../lib/api/pods.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import { hasDiskLimit, outgrownDisk, type PodDisk } from './pod-disk.ts';
import type { EndOrder } from './pod-ending.ts';

export interface DiskWatchOptions {
  readonly pods: () => Iterable<Pod>;
  readonly measure: (pod: Pod) => Promise<PodDisk>;
  readonly evict: (podUid: string, order: EndOrder) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const everyMs = 10_000;
/** Measuring may take this part of the time: a node with much on its disk looks at it less often. */
const shareOfTime = 0.01;

/**
 * Ends pods that wrote more than their `ephemeral-storage` limits allow. The kernel does not tell, so that it is measured, one pod at a
 * time, and only of pods that have such a limit. Lasts until `signal` aborts.
 */
export async function watchDiskLimits({ pods, measure, evict, clock, log, signal }: DiskWatchOptions): Promise<void> {
  for (let waitMs = everyMs; !signal.aborted;) {
    await wait(clock, waitMs, signal).catch(() => undefined);
    const beganMs = clock.monotonic();
    for (const pod of [...pods()]) {
      if (signal.aborted) return;
      if (!hasDiskLimit(pod) || isTerminal(pod) || isDeleting(pod)) continue;
      try {
        const order = outgrownDisk(pod, await measure(pod));
        if (order !== undefined) evict(pod.metadata.uid, order);
      } catch (error) {
        log.debug({ uid: pod.metadata.uid, error: messageOf(error) }, 'what a pod wrote could not be measured');
      }
    }
    waitMs = Math.max(everyMs, (clock.monotonic() - beganMs) / shareOfTime);
  }
}
