import type { Operation } from './netlink.ts';

/** An element of a set or map: as `nft` writes it, and as the kernel holds it where that is needed to change it without `nft`. */
export interface Element {
  /** `1.2.3.4` or `1.2.3.4 : jump somewhere` */
  readonly text: string;
  readonly key?: () => Buffer;
  readonly data?: () => Buffer;
}

/**
 * Collects the changes of one transaction in an order that the kernel accepts: names first, uses next, removals last. What it
 * collects can be said to `nft`, and, when it is nothing but elements and counting rules, to the kernel itself.
 */
export class Transaction {
  readonly #table: string;
  readonly #head: string[] = [];
  readonly #names: string[] = [];
  readonly #rules: string[] = [];
  readonly #ends: string[] = [];
  readonly #deletions = new Map<string, Element[]>();
  readonly #additions = new Map<string, Element[]>();
  readonly #counts: Operation[] = [];
  #plain = true;

  constructor(table: string) {
    this.#table = table;
  }

  /** Text that comes before all else. */
  begin(text: string): void {
    this.#plain = false;
    this.#head.push(text);
  }

  /** `add` a chain or a set: `chain a`, `set b { … }`. */
  make(kind: 'chain' | 'set', name: string, rest = ''): void {
    this.#plain = false;
    this.#names.push(`add ${kind} ip ${this.#table} ${name}${rest}`);
  }

  /** `delete` a chain or a set, once nothing uses it any more. */
  remove(kind: 'chain' | 'set', name: string): void {
    this.#plain = false;
    if (kind === 'chain') this.#ends.push(`flush chain ip ${this.#table} ${name}`);
    this.#ends.push(`delete ${kind} ip ${this.#table} ${name}`);
  }

  /** Gives a chain these rules in place of those it has. */
  rewrite(chain: string, rules: readonly string[]): void {
    this.#plain = false;
    this.#write(chain, rules, true);
  }

  /** As `rewrite`, for a chain that was made in this transaction. */
  write(chain: string, rules: readonly string[]): void {
    this.#write(chain, rules, false);
  }

  /** As `rewrite`, with the one rule that counts through `count` numbers from `first` on; no rule for none. */
  count(chain: string, count: number, first: number): void {
    this.#write(chain, count === 0 ? [] : [countingRule(count, first)], true);
    this.#counts.push({ type: 'count', chain, count, first });
  }

  add(set: string, element: Element): void {
    this.#plain &&= element.key !== undefined;
    push(this.#additions, set, element);
  }

  delete(set: string, element: Element): void {
    this.#plain &&= element.key !== undefined;
    push(this.#deletions, set, element);
  }

  /** All of it as an `nft` script. */
  text(): string {
    const elements = (verb: string, sets: Map<string, Element[]>): string[] =>
      [...sets].flatMap(([set, list]) =>
        inChunks(list, 1000).map(
          (part) => `${verb} element ip ${this.#table} ${set} { ${part.map(({ text }) => text).join(', ')} }`,
        ),
      );
    const [deletions, additions] = [elements('delete', this.#deletions), elements('add', this.#additions)];
    return [...this.#head, ...this.#names, ...this.#rules, ...deletions, ...additions, ...this.#ends].join('\n');
  }

  /** All of it as the kernel's own messages; undefined when there is something in it that only `nft` can say. */
  operations(): readonly Operation[] | undefined {
    if (!this.#plain) return undefined;
    const elements = (type: 'add' | 'delete', sets: Map<string, Element[]>): Operation[] =>
      [...sets].flatMap(([set, list]) =>
        list.flatMap(({ key, data }): Operation | [] =>
          key === undefined ? [] : { type, set, key: key(), ...(data === undefined ? {} : { data: data() }) },
        ),
      );
    return [...this.#counts, ...elements('delete', this.#deletions), ...elements('add', this.#additions)];
  }

  #write(chain: string, rules: readonly string[], flush: boolean): void {
    if (flush) this.#rules.push(`flush chain ip ${this.#table} ${chain}`);
    for (const rule of rules) this.#rules.push(`add rule ip ${this.#table} ${chain} ${rule}`);
  }
}

export const countingRule = (count: number, first: number): string =>
  `ct mark set numgen inc mod ${count} offset ${first}`;

function push(lists: Map<string, Element[]>, key: string, value: Element): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [value]);
  else list.push(value);
}

const inChunks = <T>(list: readonly T[], size: number): (readonly T[])[] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
