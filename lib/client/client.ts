import type { ErrorDetails, Reason } from '../base/errors.ts';
import type { Key } from '../api/keys.ts';
import type { AnyObject, Objects, Resource } from '../api/kinds.ts';
import type { Binding, Scale } from '../api/objects.ts';

/**
 * The API as our own processes use it: the published gRPC services and nothing else. Every call has a
 * deadline (`timeoutMs`, default 10 s) and rejects with ApiError. Absence on `get` is undefined.
 */
export interface Reader {
  get<R extends Resource>(resource: R, key: Key, call?: CallOptions): Promise<Objects[R] | undefined>;

  /** One consistent state and its revision: hand that to `watch` and nothing is missed. Pages through by itself. */
  list<R extends Resource>(resource: R, options?: ListOptions, call?: CallOptions): Promise<ListResult<Objects[R]>>;

  /**
   * Each change after `fromRevision`, in order, in batches, until aborted. Rejects with `Expired` when history is too short (list again)
   * and with `ServiceUnavailable` when the connection breaks (watch again from the last revision seen).
   * Bookmarks (no object) say that nothing of interest happened up to a revision.
   */
  watch<R extends Resource>(
    resource: R,
    options: ListOptions & { readonly fromRevision: string },
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<Objects[R]>[]>;

  /** The revision of the last change on a channel (a resource, or a resource on one node): cheap, for checking that nothing was missed. */
  position(resource: Resource, node?: string, call?: CallOptions): Promise<string>;
}

export interface Writer {
  /** Sets uid, resourceVersion and so on, and returns the stored object. AlreadyExists, Invalid. */
  create<R extends Resource>(resource: R, object: Draft<Objects[R]>, call?: WriteOptions): Promise<Objects[R]>;
  /** Many in one call; each succeeds or fails by itself, in the same order. */
  createMany<R extends Resource>(
    resource: R,
    objects: readonly Draft<Objects[R]>[],
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]>;
  /** Replaces spec and metadata; conditional on `metadata.resourceVersion` when set. Conflict, NotFound, Invalid. */
  update<R extends Resource>(resource: R, object: Objects[R], call?: WriteOptions): Promise<Objects[R]>;
  /** Replaces the status alone; conditional on `metadata.resourceVersion` when set. */
  updateStatus<R extends Resource>(resource: R, object: Objects[R], call?: WriteOptions): Promise<Objects[R]>;
  updateStatusMany<R extends Resource>(
    resource: R,
    objects: readonly Objects[R][],
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]>;
  /** JSON merge patch (RFC 7386) on the object, or on a part of it that has verbs of its own. */
  patch<R extends Resource>(
    resource: R,
    key: Key,
    patch: object,
    call?: WriteOptions & { readonly subresource?: Subresource },
  ): Promise<Objects[R]>;
  /** Asks for deletion. Resolves to the object's last state. NotFound; Conflict when a precondition fails. */
  delete<R extends Resource>(resource: R, key: Key, options?: DeleteOptions, call?: WriteOptions): Promise<Objects[R]>;
  deleteMany<R extends Resource>(
    resource: R,
    keys: readonly Key[],
    options?: DeleteOptions,
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]>;
  deleteCollection(resource: Resource, options: ListOptions & DeleteOptions, call?: WriteOptions): Promise<number>;
  /**
   * Deletes a pod if the disruption budget that selects it grants it now; resolves to its last state. TooManyRequests, with
   * the budget's words as the cause, when it does not; NotFound.
   */
  evict(key: Key, options?: DeleteOptions, call?: WriteOptions): Promise<Objects['pods']>;
  /** Gives pods their nodes; each succeeds or fails by itself: Conflict when a pod has a node already. */
  bindMany(bindings: readonly Binding[], call?: WriteOptions): Promise<readonly Outcome<Objects['pods']>[]>;
}

/** The methods of the contract that are about no stored object. */
export interface Caller {
  /** One question, one answer, in the JSON form of their messages; what is empty is absent. */
  call<T>(service: string, method: string, request: object, call?: CallOptions): Promise<T>;
}

export interface Client extends Reader, Writer, Caller {
  /** How many replicas an object should have and has. Undefined when there is no such object; MethodNotAllowed for kinds without a scale. */
  scale(resource: Resource, key: Key, call?: CallOptions): Promise<Scale | undefined>;
  close(): void;
}

/** A part of an object that has verbs of its own. */
export type Subresource = 'status' | 'scale' | 'ephemeralcontainers';

/** What a client sends: the server fills in uid, resourceVersion, creationTimestamp, defaults and status. */
export type Draft<T> = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: Partial<AnyObject['metadata']>;
} & { readonly [F in Exclude<keyof T, 'apiVersion' | 'kind' | 'metadata'>]?: DeepPartial<T[F]> };
type DeepPartial<T> = T extends readonly (infer E)[]
  ? readonly DeepPartial<E>[]
  : T extends object
    ? { readonly [F in keyof T]?: DeepPartial<T[F]> }
    : T;

export interface CallOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}
export interface WriteOptions extends CallOptions {
  /** Validate and default only; nothing is stored and nobody is told. */
  readonly dryRun?: boolean;
  /** What to do with fields the schema does not know: `Warn` (default) or `Strict`. */
  readonly fieldValidation?: 'Warn' | 'Strict' | 'Ignore';
  /** Called with each warning the server has about the request. */
  readonly onWarning?: (message: string) => void;
}
export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
}
export interface ListResult<T> {
  readonly items: readonly T[];
  readonly revision: string;
}
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly revision: string;
  /** The last state for DELETED; undefined for BOOKMARK. */
  readonly object: T | undefined;
}
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
}
/** One item's result of a batch verb. */
export type Outcome<T> =
  | { readonly ok: true; readonly object: T }
  | { readonly ok: false; readonly reason: Reason; readonly message: string; readonly details?: ErrorDetails };
