import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { Room } from '../eviction/thresholds.ts';
import type { ImageKeeper } from './image-keeper.ts';

export interface ImageWatchOptions {
  readonly keeper: Pick<ImageKeeper, 'look' | 'free'>;
  /** Of the disk that holds images; undefined where it is out of sight. */
  readonly room: () => Promise<Room | undefined>;
  /** Shares of the disk: above `high` unused images go until `low` is reached. */
  readonly high: number;
  readonly low: number;
  readonly onFreed: (images: number) => void;
  /** An Event about the node. */
  readonly tell: (reason: string, message: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const everyMs = 60_000;
/** How exactly it is known when an image was last used. */
const lookEveryMs = 300_000;

/** Removes unused images where the disk fills, long before pods have to go. Lasts until `signal` aborts. */
export async function watchImages(options: ImageWatchOptions): Promise<void> {
  const { keeper, clock, log, signal } = options;
  let lookedMs = -Infinity;
  while (!signal.aborted) {
    try {
      const room = await options.room();
      const bytes = room === undefined ? 0 : bytesToFree(room, options);
      if (bytes > 0) {
        const freed = await keeper.free(bytes);
        options.onFreed(freed.images);
        if (freed.bytes < bytes) options.tell('FreeDiskSpaceFailed', failure(bytes, freed.bytes));
      } else if (clock.monotonic() - lookedMs >= lookEveryMs) {
        await keeper.look();
        lookedMs = clock.monotonic();
      }
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'images could not be looked at; trying on');
    }
    await wait(clock, everyMs, signal).catch(() => undefined);
  }
}

/** How much has to go now; 0 while the disk is not full enough. */
export function bytesToFree(
  { available, capacity }: Room,
  { high, low }: { readonly high: number; readonly low: number },
): number {
  const used = capacity - available;
  return used < high * capacity ? 0 : Math.ceil(used - low * capacity);
}

const failure = (wanted: number, freed: number): string =>
  `Wanted to free ${wanted} bytes of images and freed ${freed}: the others are in use, or were not brought by this agent`;
