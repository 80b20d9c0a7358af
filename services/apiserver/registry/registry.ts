import type { Key } from '../../../lib/api/keys.ts';
import type { AnyObject } from '../../../lib/api/kinds.ts';
import type { ApiObject, Binding } from '../../../lib/api/objects.ts';
import type { PatchType } from '../../../lib/api/patch/patch.ts';
import type { Kind, KindSource } from './kinds.ts';

/**
 * The rules of the API over the store, the same for every door: defaults, validation, versions, deletion.
 * Doors (gRPC today, REST later) translate their wire form and call this; they add no rule of their own.
 * Objects leave as JSON bytes with their resourceVersion, unparsed where no field had to change.
 * Drafts, objects and patches that are passed in become the registry's: pass a copy of what you keep.
 * Rejects with ApiError only; `NotFound` for a resource that is not served.
 */
export interface Registry {
  /** What is served; a definition that was made by way of another server may be missing for a moment. */
  readonly kinds: KindSource;
  /** Resolves once every write acknowledged before the call can be seen. */
  fresh(): Promise<void>;
  /** The kind of a resource, definitions acknowledged before the call included. NotFound. */
  kind(resource: string, version?: string): Promise<Kind>;
  /** The kind at a path, likewise; undefined when there is none. */
  kindAt(group: string, version: string, plural: string): Promise<Kind | undefined>;

  /** The object, or undefined. */
  get(resource: string, key: Key): Promise<Served | undefined>;

  /** Consistent: sees every write acknowledged before the call. `Expired` when a continuation outlived history. */
  list(resource: string, selection: Selection & Paging): Promise<ServedList>;

  /**
   * Each change after `fromRevision` that concerns the selection, in order, in batches, until aborted: an object that
   * starts to match is ADDED, one that stops is DELETED. `Expired` when history is too short or the reader too slow.
   * A batch without changes but with a later `revision` is a bookmark.
   */
  watch(resource: string, selection: Selection, fromRevision: number, signal: AbortSignal): AsyncIterable<WatchBatch>;

  /**
   * The revision of the last change to a resource, or to its objects on one node; 0 when there was none. Never less than
   * the truth; after a restart of the apiserver it may be more, up to the revision at that moment, until the next change.
   */
  position(resource: string, node?: string): Promise<number>;

  create(resource: string, namespace: string | undefined, draft: unknown, options: WriteOptions): Promise<Written>;
  /**
   * `subresource` `status` replaces the status alone, `scale` the replica count from a Scale object, `ephemeralcontainers` that list of a
   * pod, which only ever grows.
   */
  update(resource: string, key: Key, object: unknown, options: WriteOptions & SubresourceOption): Promise<Written>;
  /** Applied to what is there now, retried on conflict unless the patch names a resourceVersion. */
  patch(
    resource: string,
    key: Key,
    patch: unknown,
    options: WriteOptions & SubresourceOption & PatchOptions,
  ): Promise<Written>;
  /** Asks for deletion; resolves to the object's last state, which is `gone` already or still terminating. */
  delete(
    resource: string,
    key: Key,
    options: WriteOptions & DeleteOptions,
  ): Promise<Written & { readonly gone: boolean }>;
  /** Deletes what matches, each as by `delete`; resolves to how many. */
  deleteCollection(resource: string, selection: Selection, options: WriteOptions & DeleteOptions): Promise<number>;
  /** Sets `spec.nodeName` and PodScheduled=True. Conflict when the pod has a node or is going away. */
  bind(binding: Binding, options: WriteOptions): Promise<Written>;
  /**
   * Deletes a pod if the PodDisruptionBudget that selects it, if there is one, grants it now. TooManyRequests with the
   * cause `DisruptionBudget` when it does not.
   */
  evict(key: Key, options: WriteOptions & DeleteOptions): Promise<Written & { readonly gone: boolean }>;
  /** The Scale of a replicationcontroller. */
  scale(resource: string, key: Key): Promise<Served | undefined>;
}

export interface Selection {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}
export interface Paging {
  readonly limit?: number;
  readonly continue?: string;
  /** Read the state as it was at this revision. */
  readonly atRevision?: number;
}
export interface Served {
  readonly json: Buffer;
  readonly revision: number;
}
export interface ServedList {
  readonly items: readonly Served[];
  readonly revision: number;
  readonly continue?: string;
  readonly remaining?: number;
}
export interface WatchBatch {
  /** Everything up to and including this revision has been told. */
  readonly revision: number;
  readonly changes: readonly { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly served: Served }[];
}
export interface WriteOptions {
  /** The version in which the caller speaks, for kinds that have several; default: what the object says, or that of the store. */
  readonly version?: string;
  readonly dryRun?: boolean;
  /** `Strict` refuses unknown fields, `Warn` reports them, `Ignore` does not look (trusted, hot paths). */
  readonly fieldValidation?: 'Strict' | 'Warn' | 'Ignore';
  /** In whose name fields are set, for objects whose managers are kept. */
  readonly fieldManager?: string;
  /** W3C trace context, kept with the object when its spec changes. */
  readonly traceparent?: string;
}
/** A part of an object with verbs of its own. */
export type Subresource = 'status' | 'scale' | 'ephemeralcontainers';
export interface SubresourceOption {
  readonly subresource?: Subresource;
}
export interface PatchOptions {
  /** How the patch is to be read; default: a merge patch. */
  readonly patchType?: PatchType;
  /** Apply: takes fields from others who set them to something else. */
  readonly force?: boolean;
}
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}
export interface Written {
  readonly served: Served;
  /** The stored object, for doors that must translate it. */
  readonly object: ApiObject | AnyObject;
  readonly warnings: readonly string[];
  /** An apply made the object, which was not there. */
  readonly created?: boolean;
}
