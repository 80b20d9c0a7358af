import type { Key } from '../api/keys.ts';
import type { Objects, Resource } from '../api/kinds.ts';

/**
 * A process's copy of one resource, kept current by pushed changes: subscribe, list, apply what is newer.
 * Reads are synchronous and may be late; nothing is served before `synced`. Objects are shared: never change one.
 */
export interface View<T> {
  get(key: Key): T | undefined;
  /** All, or those of one namespace. Iteration order is unspecified. */
  list(namespace?: string): readonly T[];
  /** The objects filed under `value` by an index declared when the view was made. */
  by(index: string, value: string): readonly T[];
  readonly size: number;

  /** True once the first complete snapshot is in. */
  readonly synced: boolean;

  /** Called after each change, in order; `after` is undefined for a deletion. Returns the way to stop. */
  onChange(listener: (change: Change<T>) => void): () => void;

  /** Files what the process itself just wrote (or saw deleted), so that its next read sees it. Older revisions are ignored. */
  wrote(object: T): void;
  wroteDeletion(object: T): void;
}

export interface Change<T> {
  readonly key: Key;
  readonly before: T | undefined;
  readonly after: T | undefined;
}

/** Values under which an object is filed, for one index. */
export type Indexer<T> = (object: T) => readonly string[];

/** One view per resource that a process asked for. */
export type Views = { readonly [R in Resource]?: View<Objects[R]> };
