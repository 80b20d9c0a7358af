import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting, isTerminal } from '../../lib/api/pods.ts';
import { unitsOf } from '../../lib/api/quantity.ts';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { EndOrder } from '../eviction/pod-ending.ts';

/** An emptyDir on disk with a limit that no file system keeps. */
export interface LimitedVolume {
  readonly podUid: string;
  readonly name: string;
  readonly limit: string;
  readonly limitBytes: number;
}

export interface SizeWatchOptions {
  readonly pods: () => readonly Pod[];
  /** Bytes on disk; undefined: it could not be measured now. */
  readonly usage: (podUid: string, volume: string) => Promise<number | undefined>;
  readonly evict: (podUid: string, order: EndOrder) => boolean;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const everyMs = 10_000;
/** Measuring may take this part of a core: a node with huge volumes looks at them less often. */
const shareOfTime = 0.01;
const graceMs = 1_000;

/**
 * Ends pods whose emptyDir has outgrown its sizeLimit. The kernel does not tell how large a folder is, so it is looked at every 10 s, one
 * volume at a time, and never for more than a hundredth of the time. Only volumes on disk that have a limit are looked at:
 * one in memory cannot outgrow its own. Lasts until `signal` aborts.
 */
export async function watchSizes(options: SizeWatchOptions): Promise<void> {
  const { clock, signal, log } = options;
  let waitMs = everyMs;
  while (!signal.aborted) {
    await wait(clock, waitMs, signal).catch(() => undefined);
    if (signal.aborted) return;
    const beganMs = clock.monotonic();
    for (const volume of options.pods().flatMap(limitedVolumes)) {
      try {
        const bytes = await options.usage(volume.podUid, volume.name);
        if (bytes !== undefined && bytes > volume.limitBytes) options.evict(volume.podUid, outgrown(volume));
      } catch (error) {
        log.debug(
          { uid: volume.podUid, volume: volume.name, error: messageOf(error) },
          'a volume could not be measured',
        );
      }
    }
    waitMs = Math.max(everyMs, (clock.monotonic() - beganMs) / shareOfTime);
  }
}

/** What of a pod has to be looked at. A limit of 0 is none. */
export function limitedVolumes(pod: Pod): readonly LimitedVolume[] {
  if (isTerminal(pod) || isDeleting(pod)) return [];
  return (pod.spec.volumes ?? []).flatMap(({ name, emptyDir }) => {
    const { sizeLimit, medium } = emptyDir ?? {};
    const limitBytes = sizeLimit === undefined ? 0 : unitsOf(sizeLimit);
    if (medium === 'Memory' || limitBytes === 0) return [];
    return [{ podUid: pod.metadata.uid, name, limit: String(sizeLimit), limitBytes }];
  });
}

const outgrown = ({ name, limit }: LimitedVolume): EndOrder => ({
  reason: 'Evicted',
  message: `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}".`,
  graceMs,
  disruption: false,
});
