import { makeKey, type Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import type { Requirement } from '../../../lib/api/labels.ts';
import type { ApiObject, Labels } from '../../../lib/api/objects.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { extractedFields, indexedOf, isFiled, parseObject, type Indexed } from './indexed.ts';
import type { Selecting } from './selecting.ts';

/**
 * One object: its bytes, and what it is found by. Changed in place, so that its filings stay. The form that is served
 * and the index are made when first asked for, so that loading a large state costs little more than reading it.
 */
export class Entry {
  readonly key: Key;
  // Not #private: the engine makes those much more slowly, and there are tens of thousands.
  private readonly resource: Resource;
  private stored: Uint8Array;
  private served: Buffer | undefined;
  private known: Indexed | undefined;
  revision: number;
  /** Bytes of the stored form. */
  size: number;
  gone = false;
  /** Whether it is where its labels and fields say. */
  isFiled = false;

  constructor(resource: Resource, key: Key, stored: Uint8Array, revision: number) {
    this.resource = resource;
    this.key = key;
    this.stored = stored;
    this.revision = revision;
    this.size = stored.length;
  }

  /** As served. The stored form is not kept beside it: it is in here, but for the revision. */
  get json(): Buffer {
    if (this.served === undefined) this.stored = this.served = withRevision(this.stored, this.revision);
    return this.served;
  }
  get indexed(): Indexed {
    return (this.known ??= indexedOf(this.resource, this.key, this.stored));
  }

  /** As it is now, whatever becomes of it. */
  seen(): Seen {
    return new Seen(this, this.resource, this.served ?? this.stored, this.served !== undefined);
  }

  become(stored: Uint8Array, revision: number): void {
    this.stored = stored;
    this.revision = revision;
    this.size = stored.length;
    this.served = undefined;
    this.known = undefined;
  }
}

/**
 * An entry as it was at one moment. What is served is made when it is taken, and is the entry's own as long as that has not changed: a list of
 * many objects costs neither the time nor the memory of a copy of them.
 */
export class Seen {
  readonly key: Key;
  readonly revision: number;
  // Not #private, as in Entry.
  private readonly entry: Entry;
  private readonly resource: Resource;
  private readonly bytes: Uint8Array;
  private readonly isServed: boolean;

  constructor(entry: Entry, resource: Resource, bytes: Uint8Array, isServed: boolean) {
    this.key = entry.key;
    this.revision = entry.revision;
    this.entry = entry;
    this.resource = resource;
    this.bytes = bytes;
    this.isServed = isServed;
  }

  get json(): Buffer {
    if (this.entry.revision === this.revision) return this.entry.json;
    const { buffer, byteOffset, length } = this.bytes;
    return this.isServed ? Buffer.from(buffer, byteOffset, length) : withRevision(this.bytes, this.revision);
  }

  get indexed(): Indexed {
    if (this.entry.revision === this.revision) return this.entry.indexed;
    return indexedOf(this.resource, this.key, this.bytes);
  }
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
  /** Loaded, but not yet filed by label and field. */
  #unfiled: Entry[] = [];
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

  /** Takes in an object while the state is loaded; `fileSome` does the rest of the work later. */
  load(key: Key, stored: Uint8Array, revision: number): void {
    const known = this.#entries.get(key);
    if (known !== undefined) return void this.put(key, stored, revision);
    this.#unfiled.push(this.#add(key, stored, revision));
  }

  /** Files up to `limit` of the objects that were loaded. True when there are more. */
  fileSome(limit: number): boolean {
    for (const entry of this.#unfiled.splice(-limit)) if (!entry.gone) this.#file(entry, undefined);
    return this.#unfiled.length > 0;
  }

  /** Files an object or its new state, which must be newer; answers it. */
  put(key: Key, stored: Uint8Array, revision: number): Entry {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      const added = this.#add(key, stored, revision);
      this.#file(added, undefined);
      return added;
    }
    this.#bytes += stored.length - entry.size;
    const before = entry.isFiled ? entry.indexed : undefined;
    entry.become(stored, revision);
    if (before !== undefined) this.#file(entry, before);
    return entry;
  }

  remove(key: Key): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#bytes -= entry.size;
    if (entry.isFiled) this.#unfile(entry);
    entry.gone = true;
    this.#gone++;
  }

  #add(key: Key, stored: Uint8Array, revision: number): Entry {
    const entry = new Entry(this.#resource, key, stored, revision);
    this.#entries.set(key, entry);
    this.#added.push(entry);
    // A little now and then, so that no ordered read finds much to do.
    if (this.#added.length >= maxAdded) this.#order();
    this.#bytes += stored.length;
    return entry;
  }

  #file(entry: Entry, before: Indexed | undefined): void {
    entry.isFiled = true;
    this.#fileLabels(entry, before?.labels, entry.indexed.labels);
    this.#fileFields(entry, before, entry.indexed);
  }

  #unfile(entry: Entry): void {
    this.#fileLabels(entry, entry.indexed.labels, undefined);
    this.#fileFields(entry, entry.indexed, undefined);
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

  /**
   * What a selection may take, in key order, after `afterKey`, as it is at this moment; to be put to `selecting.matches` one by one. A selection
   * that takes all gets at most `limit`, and `remaining` is how many more there are.
   */
  glimpse(
    selecting: Selecting,
    afterKey: Key,
    limit: number,
  ): { readonly seen: readonly Seen[]; readonly remaining: number } {
    const { candidates, ordered } = this.#candidates(selecting);
    const all: readonly Entry[] = Array.isArray(candidates) ? candidates : [...candidates];
    const sorted = ordered ? all : all.toSorted(byKey);
    const start = afterKey === '' ? 0 : lowerBound(sorted, `${afterKey}\0`);
    const end = selecting.takesAll ? Math.min(sorted.length, start + limit) : sorted.length;
    const seen: Seen[] = [];
    for (let i = start; i < end; i++) {
      const entry = sorted[i];
      if (entry !== undefined) seen.push(entry.seen());
    }
    return { seen, remaining: sorted.length - end };
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
    if (filed.length > 0 || labels.length > 0) this.fileSome(Infinity);
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

/** So many new ones wait at most until they are put in order. */
const maxAdded = 1_024;
/** So few are put in one by one. */
const fewAdded = 32;

/** Few additions are put in one by one; many are merged in one pass. */
function merge(sorted: Entry[], added: readonly Entry[]): Entry[] {
  if (added.length <= fewAdded) {
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
