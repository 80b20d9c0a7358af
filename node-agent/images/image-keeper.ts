import { readFile, rename, writeFile } from 'node:fs/promises';
import type { Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Log } from '../../lib/base/log.ts';
import type { ContainerRuntime, HeldImage, ImageInfo } from '../runtime/runtime.ts';
import { recorded, refreshed, removable, type ImageRecord } from './image-garbage.ts';
import { listedName } from '../../lib/api/image-reference.ts';

export interface ImageKeeperOptions {
  readonly runtime: Pick<ContainerRuntime, 'images' | 'removeImage'>;
  /** Where it remembers what it pulled. */
  readonly file: string;
  /** Hears what the engine holds: as listed for its own work, and after each pull. Default: nobody does. */
  readonly onHeld?: (images: Iterable<Pick<HeldImage, 'names' | 'sizeBytes'>>) => void;
  readonly clock: Clock;
  readonly log: Log;
}

/** What was taken away. */
export interface Freed {
  readonly images: number;
  /** As the engine says; layers that others share are counted though they stay. */
  readonly bytes: number;
}

/** How long an image must have been unused. */
export const minAgeMs = 120_000;

/** Remembers on disk which images the agent pulled, and removes those alone. Several calls at once go one after another. */
export class ImageKeeper {
  readonly #options: ImageKeeperOptions;
  #records: ReadonlyMap<string, ImageRecord> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  /** By id; undefined before the first list. */
  #held: Map<string, Pick<HeldImage, 'names' | 'sizeBytes'>> | undefined;

  constructor(options: ImageKeeperOptions) {
    this.#options = options;
  }

  /**
   * Says that the agent pulled an image; `wasThere`: what the name meant on this machine before. Never rejects: an image that
   * could not be written down stays, as if somebody else had brought it.
   */
  async pulled(image: string, info: ImageInfo, wasThere: ImageInfo | undefined): Promise<void> {
    const { clock, log } = this.#options;
    this.#pulled(listedName(image), info);
    const pull = { name: listedName(image), id: info.id, wasThere: wasThere?.id, nowMs: clock.now() };
    await this.#inTurn(async () => this.#save(recorded(await this.#load(), pull))).catch((error: unknown) => {
      log.warn(
        { image, error: messageOf(error) },
        'a pulled image could not be written down; it will never be removed',
      );
    });
  }

  /** Looks what is in use, so that it is known later what has not been for the longest time. */
  look(): Promise<void> {
    return this.#inTurn(async () => void (await this.#refresh()));
  }

  /** Removes unused images, the longest unused first, until so many bytes are free or none is left that may go. */
  free(bytes: number): Promise<Freed> {
    return this.#inTurn(async () => {
      const held = await this.#refresh();
      let freed: Freed = { images: 0, bytes: 0 };
      for (const image of removable(held, await this.#load(), { nowMs: this.#options.clock.now(), minAgeMs })) {
        if (freed.bytes >= bytes) break;
        if (await this.#remove(image)) freed = { images: freed.images + 1, bytes: freed.bytes + image.sizeBytes };
      }
      return freed;
    });
  }

  /** A tag that moved is no longer a name of the image that had it. */
  #pulled(name: string, { id, sizeBytes }: ImageInfo): void {
    if (this.#held === undefined) return;
    for (const [other, image] of this.#held)
      if (image.names.includes(name))
        this.#held.set(other, { ...image, names: image.names.filter((each) => each !== name) });
    this.#held.set(id, { sizeBytes, names: [...(this.#held.get(id)?.names ?? []), name] });
    this.#options.onHeld?.(this.#held.values());
  }

  async #remove(image: HeldImage): Promise<boolean> {
    const { runtime, log } = this.#options;
    const tags = image.names.filter((name) => !name.includes('@'));
    try {
      for (const name of tags.length === 0 ? [image.id] : tags) await runtime.removeImage(name);
    } catch (error) {
      log.info({ image: image.names[0] ?? image.id, error: messageOf(error) }, 'an unused image could not be removed');
      return false;
    }
    log.info({ image: image.names[0] ?? image.id, bytes: image.sizeBytes }, 'removed an unused image');
    this.#held?.delete(image.id);
    this.#options.onHeld?.(this.#held?.values() ?? []);
    const records = new Map(await this.#load());
    records.delete(image.id);
    await this.#save(records);
    return true;
  }

  async #refresh(): Promise<readonly HeldImage[]> {
    const held = await this.#options.runtime.images();
    this.#held = new Map(held.map(({ id, names, sizeBytes }) => [id, { names, sizeBytes }]));
    this.#options.onHeld?.(this.#held.values());
    await this.#save(refreshed(await this.#load(), held, this.#options.clock.now()));
    return held;
  }

  async #load(): Promise<ReadonlyMap<string, ImageRecord>> {
    this.#records ??= recordsFrom(await readFile(this.#options.file, 'utf8').catch(() => ''));
    return this.#records;
  }

  /** Written beside and moved into place: a death in between leaves what was. */
  async #save(records: ReadonlyMap<string, ImageRecord>): Promise<void> {
    if (records === this.#records) return;
    this.#records = records;
    const { file } = this.#options;
    await writeFile(`${file}.new`, JSON.stringify({ images: [...records.values()] }));
    await rename(`${file}.new`, file);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(work, work);
    this.#turn = next.catch(() => undefined);
    return next;
  }
}

/** What cannot be read is forgotten: then those images are nobody's to remove. */
function recordsFrom(text: string): ReadonlyMap<string, ImageRecord> {
  try {
    const { images } = JSON.parse(text) as { readonly images?: readonly Partial<ImageRecord>[] };
    return new Map(
      (images ?? []).flatMap(({ id, names, usedAtMs }) =>
        typeof id === 'string' && Array.isArray(names) && typeof usedAtMs === 'number'
          ? [[id, { id, names, usedAtMs }]]
          : [],
      ),
    );
  } catch {
    return new Map();
  }
}
