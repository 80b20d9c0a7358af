import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '../../lib/base/clock.ts';
import type { NodeStatus } from '../../lib/api/objects.ts';
import type { HeldImage } from '../runtime/runtime.ts';

export type ToldImages = NonNullable<NodeStatus['images']>;

export interface NodeImagesOptions {
  /** What is told has changed. */
  readonly onChange: () => void;
  readonly clock: Clock;
}

/** The largest ones: they are worth going to. Every change of a Node is heard by many, so that its size counts. */
const maxImages = 50;
const maxNames = 5;
/** Between two changes that are told; many pulls in a row are one change. */
const everyMs = 30_000;

/** What the Node says of the images that its engine holds: bounded, and changed seldom. */
export class NodeImages {
  readonly #options: NodeImagesOptions;
  #list: ToldImages | undefined;
  #next: ToldImages | undefined;
  #toldMs = -Infinity;
  #waits = false;

  constructor(options: NodeImagesOptions) {
    this.#options = options;
  }

  /** As it is to be told now; undefined until the engine's images are known. */
  get list(): ToldImages | undefined {
    return this.#list;
  }

  /** Hears what the engine holds now. */
  held(images: Iterable<Pick<HeldImage, 'names' | 'sizeBytes'>>): void {
    this.#next = toldOf(images);
    this.#tell();
  }

  #tell(): void {
    const { clock, onChange } = this.#options;
    if (this.#waits || this.#next === undefined || isDeepStrictEqual(this.#next, this.#list)) return;
    const early = this.#toldMs + everyMs - clock.monotonic();
    if (early > 0) {
      this.#waits = true;
      clock.after(early, () => {
        this.#waits = false;
        this.#tell();
      });
      return;
    }
    this.#list = this.#next;
    this.#toldMs = clock.monotonic();
    onChange();
  }
}

/** Images that have names, the largest first; of their names tags before digests. */
export function toldOf(images: Iterable<Pick<HeldImage, 'names' | 'sizeBytes'>>): ToldImages {
  return [...images]
    .filter(({ names }) => names.length > 0)
    .map(({ names, sizeBytes }) => ({ names: names.toSorted(tagsFirst).slice(0, maxNames), sizeBytes }))
    .sort((a, b) => b.sizeBytes - a.sizeBytes || compare(a.names[0] ?? '', b.names[0] ?? ''))
    .slice(0, maxImages);
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const tagsFirst = (a: string, b: string): number => Number(a.includes('@')) - Number(b.includes('@')) || compare(a, b);
