import { keepBase, masqueradeBase } from '../kernel/marks.ts';
import type { Backend, Target } from '../table/table.ts';

/**
 * Numbers for backends. A target's backends have consecutive numbers from `first` on, so that one round-robin counter
 * picks among them; the number is also the connection mark of their flows, and says by its top byte whether the
 * sender's address is to be hidden.
 */
export interface Slots {
  readonly first: number;
  readonly capacity: number;
  /** In the order of their numbers. */
  readonly backends: readonly Backend[];
}

const regionSize = 0x1000000;

/** One backend that moved in, out or to another number. */
export interface SlotChange {
  readonly slot: number;
  readonly before: Backend | undefined;
  readonly after: Backend | undefined;
}

/** Hands out ranges of numbers, sized in powers of two so that a target can grow where it is; freed ranges are used again. */
export class SlotSpace {
  readonly #byTarget = new Map<string, Slots>();
  readonly #free = new Map<string, number[]>();
  readonly #next = new Map<number, number>([
    [keepBase, keepBase + 1],
    [masqueradeBase, masqueradeBase + 1],
  ]);

  get(id: string): Slots | undefined {
    return this.#byTarget.get(id);
  }

  /**
   * Gives the target's backends their numbers with as few changes as possible, and says which numbers changed hands.
   * RangeError when no numbers are left: start over with a new space.
   */
  place(target: Target): { readonly slots: Slots; readonly changes: readonly SlotChange[] } {
    const before = this.#byTarget.get(target.id);
    const base = target.masquerade ? masqueradeBase : keepBase;
    const inRegion = before !== undefined && before.first > base && before.first < base + regionSize;
    const fits = inRegion && before.capacity >= target.backends.length;
    const slots = fits ? rearranged(before, target.backends) : this.#take(base, target.backends);
    const changes = fits ? changesBetween(before, slots) : [...this.#release(target.id), ...arrivals(slots)];
    this.#byTarget.set(target.id, slots);
    return { slots, changes };
  }

  /** Takes the numbers back, and says which were in use. */
  remove(id: string): readonly SlotChange[] {
    const changes = this.#release(id);
    this.#byTarget.delete(id);
    return changes;
  }

  #release(id: string): SlotChange[] {
    const slots = this.#byTarget.get(id);
    if (slots === undefined) return [];
    const key = freeKey(slots.first, slots.capacity);
    const free = this.#free.get(key);
    if (free === undefined) this.#free.set(key, [slots.first]);
    else free.push(slots.first);
    return slots.backends.map((before, i) => ({ slot: slots.first + i, before, after: undefined }));
  }

  #take(base: number, backends: readonly Backend[]): Slots {
    const capacity = Math.max(4, 2 ** Math.ceil(Math.log2(Math.max(1, backends.length))));
    const free = this.#free.get(freeKey(base, capacity))?.pop();
    if (free !== undefined) return { first: free, capacity, backends };
    const first = this.#next.get(base) ?? base + 1;
    if (first + capacity > base + regionSize) throw new RangeError(`no numbers left for ${capacity} backends`);
    this.#next.set(base, first + capacity);
    return { first, capacity, backends };
  }
}

const freeKey = (first: number, capacity: number): string => `${first >= masqueradeBase ? 'm' : 'k'}${capacity}`;

const arrivals = (slots: Slots): SlotChange[] =>
  slots.backends.map((after, i) => ({ slot: slots.first + i, before: undefined, after }));

/** Who stays keeps the number where that leaves no hole; newcomers and the last ones fill holes. */
function rearranged(before: Slots, wanted: readonly Backend[]): Slots {
  const stay = new Set(wanted);
  const known = new Set(before.backends);
  const waiting = wanted.filter((backend) => !known.has(backend));
  const placed: (Backend | undefined)[] = before.backends.map((backend) =>
    stay.has(backend) ? backend : waiting.shift(),
  );
  placed.push(...waiting);
  for (let i = 0; i < placed.length; i++) {
    while (placed.length > 0 && placed.at(-1) === undefined) placed.pop();
    if (i < placed.length && placed[i] === undefined) placed[i] = placed.pop();
  }
  return { ...before, backends: placed.filter((backend) => backend !== undefined) };
}

function changesBetween(before: Slots, after: Slots): SlotChange[] {
  const changes: SlotChange[] = [];
  for (let i = 0; i < Math.max(before.backends.length, after.backends.length); i++) {
    const [was, is] = [before.backends[i], after.backends[i]];
    if (was !== is) changes.push({ slot: before.first + i, before: was, after: is });
  }
  return changes;
}
