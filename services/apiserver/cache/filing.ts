import { makeKey, type Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { Requirement } from '../../../lib/api/labels.ts';
import type { ApiObject, Labels } from '../../../lib/api/objects.ts';
import { extractedFields, isFiled, parseObject, type Indexed } from './indexed.ts';
import type { Selecting } from './selecting.ts';

/** One object: its bytes as they are served, and what it is found by. Changed in place, so that its filings stay. */
export interface Entry {
  readonly key: Key;
  json: Buffer;
  revision: number;
  indexed: Indexed;
  gone: boolean;
}

/** Entries by a value that most often belongs to one alone. */
class ValueFiles {
  readonly #files = new Map<string, Entry | Set<Entry>>();

  add(value: string, entry: Entry): void {
    const filed = this.#files.get(value);
    if (filed === undefined) this.#files.set(value, entry);
    else if (filed instanceof Set) filed.add(entry);
    else if (filed !== entry) this.#files.set(value, new Set([filed, entry]));
  }

  remove(value: string, entry: Entry): void {
    const filed = this.#files.get(value);
    if (filed === entry) this.#files.delete(value);
    else if (filed instanceof Set && filed.delete(entry) && filed.size === 0) this.#files.delete(value);
  }

  under(value: string): readonly Entry[] | ReadonlySet<Entry> {
    const filed = this.#files.get(value);
    if (filed === undefined) return [];
    return filed instanceof Set ? filed : [filed];
  }

  count(value: string): number {
    const filed = this.#files.get(value);
    return filed === undefined ? 0 : filed instanceof Set ? filed.size : 1;
  }

  values(): Iterable<string> {
    return this.#files.keys();
  }

  get empty(): boolean {
    return this.#files.size === 0;
  }
}

/** All objects of one resource: by key in order, by label and by the filed fields. */
export class Filing {
  readonly #resource: Resource;
  readonly #entries = new Map<Key, Entry>();
  /** In key order, with the gone still in it and the new not yet; put right when an ordered read needs it. */
  #sorted: Entry[] = [];
  #added: Entry[] = [];
  #gone = 0;
  readonly #labels = new Map<string, ValueFiles>();
  readonly #fields = new Map<number, ValueFiles>();
  #bytes = 0;

  constructor(resource: Resource) {
    this.#resource = resource;
    extractedFields(resource).forEach((field, index) => {
      if (isFiled(field)) this.#fields.set(index, new ValueFiles());
    });
  }

  get size(): number {
    return this.#entries.size;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get(key: Key): Entry | undefined {
    return this.#entries.get(key);
  }
  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Files an object or its new state. Older revisions than the present one are for the caller to leave out. */
  put(key: Key, json: Buffer, revision: number, indexed: Indexed): void {
    this.#bytes += json.length;
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const added: Entry = { key, json, revision, indexed, gone: false };
      this.#entries.set(key, added);
      this.#added.push(added);
      this.#fileLabels(added, undefined, indexed.labels);
      this.#fileFields(added, undefined, indexed);
      return;
    }
    this.#bytes -= entry.json.length;
    this.#fileLabels(entry, entry.indexed.labels, indexed.labels);
    this.#fileFields(entry, entry.indexed, indexed);
    entry.json = json;
    entry.revision = revision;
    entry.indexed = indexed;
  }

  remove(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.json.length;
    this.#fileLabels(entry, entry.indexed.labels, undefined);
    this.#fileFields(entry, entry.indexed, undefined);
    entry.gone = true;
    this.#gone++;
  }

  /** What a selection takes, in key order, after `afterKey`, at most `limit`; and how many more there are. */
  select(
    selecting: Selecting,
    afterKey: Key,
    limit: number,
  ): { readonly entries: readonly Entry[]; readonly remaining: number } {
    const { candidates, ordered } = this.#candidates(selecting);
    let found: Entry[] = [];
    let remaining = 0;
    for (const entry of candidates) {
      if (afterKey !== '' && entry.key <= afterKey) continue;
      if (!selecting.matches(entry.indexed, () => parseObject(entry.json))) continue;
      if (ordered && found.length >= limit) remaining++;
      else found.push(entry);
    }
    if (ordered) return { entries: found, remaining };
    found.sort(byKey);
    remaining = Math.max(0, found.length - limit);
    if (remaining > 0) found = found.slice(0, limit);
    return { entries: found, remaining };
  }

  /** Whether anything is in a namespace. */
  hasAny(namespace: string): boolean {
    const [start, end] = this.#range(namespace);
    return end > start;
  }

  /** The smallest set at hand that holds all that the selection takes. */
  #candidates(selecting: Selecting): { readonly candidates: Iterable<Entry>; readonly ordered: boolean } {
    const { namespace, name, filed, labels } = selecting;
    if (
      name !== undefined &&
      (namespace !== undefined || this.#resource === 'nodes' || this.#resource === 'namespaces')
    ) {
      const entry = this.#entries.get(makeKey(namespace, name));
      return { candidates: entry === undefined ? [] : [entry], ordered: true };
    }
    let best: { readonly count: number; readonly read: () => Iterable<Entry> } | undefined;
    const offer = (count: number, read: () => Iterable<Entry>): void => {
      if (best === undefined || count < best.count) best = { count, read };
    };
    for (const { index, value } of filed) {
      const files = this.#fields.get(index);
      if (files !== undefined) offer(files.count(value), () => files.under(value));
    }
    for (const requirement of labels) {
      const found = this.#byLabel(requirement);
      if (found !== undefined) offer(found.count, found.read);
    }
    const [start, end] = namespace === undefined ? [0, this.#order().length] : this.#range(namespace);
    const cheaper: typeof best = best;
    // Reading in order saves the sorting, so what is found otherwise must be clearly less.
    if (cheaper !== undefined && cheaper.count * 2 < end - start) return { candidates: cheaper.read(), ordered: false };
    const sorted = this.#sorted;
    return { candidates: start === 0 && end === sorted.length ? sorted : sorted.slice(start, end), ordered: true };
  }

  #byLabel({
    key,
    operator,
    values,
  }: Requirement): { readonly count: number; readonly read: () => Iterable<Entry> } | undefined {
    if (operator !== 'In' && operator !== 'Exists') return undefined;
    const files = this.#labels.get(key);
    if (files === undefined) return { count: 0, read: () => [] };
    const wanted = operator === 'In' ? values : [...files.values()];
    const count = wanted.reduce((sum, value) => sum + files.count(value), 0);
    return {
      count,
      *read() {
        for (const value of wanted) yield* files.under(value);
      },
    };
  }

  /** The part of the order that one namespace takes. */
  #range(namespace: string): readonly [number, number] {
    const sorted = this.#order();
    const prefix = `${namespace}/`;
    return [lowerBound(sorted, prefix), lowerBound(sorted, `${namespace}0`)]; // '0' follows '/'
  }

  #order(): readonly Entry[] {
    if (this.#gone > 0) {
      this.#sorted = this.#sorted.filter((entry) => !entry.gone);
      this.#added = this.#added.filter((entry) => !entry.gone);
      this.#gone = 0;
    }
    if (this.#added.length > 0) {
      this.#sorted = merge(this.#sorted, this.#added.sort(byKey));
      this.#added = [];
    }
    return this.#sorted;
  }

  #fileLabels(entry: Entry, before: Labels | undefined, after: Labels | undefined): void {
    if (before === after) return; // label sets are shared, so that the same labels are the same object
    for (const key in before) {
      const value = before[key] ?? '';
      if (after?.[key] === value) continue;
      const files = this.#labels.get(key);
      files?.remove(value, entry);
      if (files?.empty === true) this.#labels.delete(key);
    }
    for (const key in after) {
      const value = after[key] ?? '';
      if (before?.[key] === value) continue;
      let files = this.#labels.get(key);
      if (files === undefined) this.#labels.set(key, (files = new ValueFiles()));
      files.add(value, entry);
    }
  }

  #fileFields(entry: Entry, before: Indexed | undefined, after: Indexed | undefined): void {
    for (const [index, files] of this.#fields) {
      const [old, now] = [before?.fields[index] ?? '', after?.fields[index] ?? ''];
      if (old === now) continue;
      if (old !== '') files.remove(old, entry);
      if (now !== '') files.add(now, entry);
    }
  }
}

const byKey = (a: Entry, b: Entry): number => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);

function lowerBound(sorted: readonly Entry[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle]?.key ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Few additions to many are put in one by one; many are merged in one pass. */
function merge(sorted: Entry[], added: readonly Entry[]): Entry[] {
  if (added.length * 32 < sorted.length) {
    for (const entry of added) sorted.splice(lowerBound(sorted, entry.key), 0, entry);
    return sorted;
  }
  const merged: Entry[] = [];
  let i = 0;
  for (const entry of added) {
    for (let old = sorted[i]; old !== undefined && old.key < entry.key; old = sorted[++i]) merged.push(old);
    merged.push(entry);
  }
  return merged.concat(sorted.slice(i));
}

/** For rules that read whole objects. */
export const objectOf = <T extends ApiObject>(entry: Entry): T => parseObject(entry.json) as T;
