import { isDeepStrictEqual } from 'node:util';
import { matchesFields, parseFieldSelector } from '../../../lib/api/fields.ts';
import { keyOf, type Key } from '../../../lib/api/keys.ts';
import { apiVersionOf, kinds, type BuiltIn, type Objects, type Resource } from '../../../lib/api/kinds.ts';
import { matches, parseSelector } from '../../../lib/api/labels.ts';
import { applyMergePatch } from '../../../lib/api/patch/merge.ts';
import { alreadyExists, ApiError, conflict, notFound } from '../../../lib/base/errors.ts';
import type {
  Client,
  DeleteOptions,
  Draft,
  ListOptions,
  ListResult,
  Outcome,
  WatchEvent,
  WriteOptions,
} from '../../../lib/client/client.ts';
import { epoch, uidOf } from '../../support/builders.ts';

type AnyOf = Objects[Resource];
interface Stored {
  readonly resource: Resource;
  readonly object: AnyOf;
}
interface Change {
  readonly resource: Resource;
  readonly event: WatchEvent<AnyOf>;
}

/** An API in a map: versions, conflicts, selectors and watches as the real one has them; no defaults, no rules. */
export class FakeClient implements Client {
  readonly #objects = new Map<string, Stored>();
  readonly #changes: Change[] = [];
  readonly #watchers = new Set<() => void>();
  #revision = 0;
  /** Every write, as `verb resource key`, with what was sent. */
  readonly writes: { readonly what: string; readonly body: unknown; readonly options: unknown }[] = [];
  /** Called before each write; may throw, or change the state as another client would. */
  beforeWrite: (what: string) => void = () => undefined;
  /** Deleting a pod leaves it there with a deletionTimestamp until `remove`. */
  gracefulPods = false;
  warning: string | undefined;

  /** Puts an object there, as another client would. */
  put<R extends Resource>(resource: R, object: Objects[R]): Objects[R] {
    const before = this.#objects.get(this.#id(resource, keyOf(object)));
    const stored = this.#stamped(object);
    this.#store(resource, stored, before === undefined ? 'ADDED' : 'MODIFIED');
    return stored;
  }

  remove(resource: Resource, key: Key): void {
    const id = this.#id(resource, key);
    const found = this.#objects.get(id);
    if (found === undefined) return;
    this.#objects.delete(id);
    this.#tell(resource, 'DELETED', this.#stamped(found.object));
  }

  peek<R extends Resource>(resource: R, key: Key): Objects[R] | undefined {
    return this.#objects.get(this.#id(resource, key))?.object as Objects[R] | undefined;
  }

  /** What other methods answer, by `service/method`; the questions are kept. */
  readonly answers = new Map<string, (request: object) => object>();
  async call<T>(service: string, method: string, request: object): Promise<T> {
    const answer = this.answers.get(`${service}/${method}`);
    if (answer === undefined) throw new ApiError('ServiceUnavailable', `nothing answers ${service}/${method}`);
    return answer(request) as T;
  }

  async get<R extends Resource>(resource: R, key: Key): Promise<Objects[R] | undefined> {
    return this.peek(resource, key);
  }

  async scale(): Promise<undefined> {
    throw new ApiError('MethodNotAllowed', 'nothing here has a scale');
  }

  async list<R extends Resource>(resource: R, options: ListOptions = {}): Promise<ListResult<Objects[R]>> {
    const selects = selection(resource, options);
    const items = [...this.#objects.values()]
      .filter((stored) => stored.resource === resource && selects(stored.object))
      .map(({ object }) => object as Objects[R]);
    return { items, revision: String(this.#revision) };
  }

  async *watch<R extends Resource>(
    resource: R,
    options: ListOptions & { readonly fromRevision: string },
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<Objects[R]>[]> {
    const selects = selection(resource, options);
    let next = this.#changes.findIndex(({ event }) => Number(event.revision) > Number(options.fromRevision));
    if (next < 0) next = this.#changes.length;
    while (!signal.aborted) {
      const batch = this.#changes
        .slice(next)
        .filter(({ resource: of, event }) => of === resource && event.object !== undefined && selects(event.object))
        .map(({ event }) => event as WatchEvent<Objects[R]>);
      next = this.#changes.length;
      if (batch.length > 0) yield batch;
      if (next < this.#changes.length) continue;
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#watchers.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#watchers.add(wake);
        signal.addEventListener('abort', wake);
      });
    }
    throw new ApiError('ServiceUnavailable', 'the stream was cancelled');
  }

  /** How many watches wait for a change now. */
  get watching(): number {
    return this.#watchers.size;
  }

  async position(): Promise<string> {
    return String(this.#revision);
  }

  async create<R extends Resource>(resource: R, draft: Draft<Objects[R]>, call?: WriteOptions): Promise<Objects[R]> {
    const key = keyOf(draft as unknown as AnyOf);
    this.#record(`create ${resource} ${key}`, draft, call);
    if (this.peek(resource, key) !== undefined) throw alreadyExists(resource, draft.metadata.name ?? '');
    const info = kinds[resource as BuiltIn];
    const object = {
      ...draft,
      apiVersion: apiVersionOf(info),
      kind: info.kind,
      metadata: { ...draft.metadata, uid: uidOf(key), creationTimestamp: epoch },
      status: {},
    } as unknown as Objects[R];
    return call?.dryRun === true ? object : this.put(resource, object);
  }

  async patch<R extends Resource>(resource: R, key: Key, patch: object, call?: WriteOptions): Promise<Objects[R]> {
    this.#record(`patch ${resource} ${key}`, patch, call);
    const current = this.peek(resource, key);
    if (current === undefined) throw notFound(resource, key);
    const seen = (patch as { metadata?: { resourceVersion?: string } }).metadata?.resourceVersion;
    if (seen !== undefined && seen !== current.metadata.resourceVersion) throw conflict(resource, key);
    const next = applyMergePatch(current, patch) as Objects[R];
    if (call?.dryRun === true || isDeepStrictEqual(next, current)) return next;
    return this.put(resource, next);
  }

  async deleteMany<R extends Resource>(
    resource: R,
    keys: readonly Key[],
    options?: DeleteOptions,
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return keys.map((key) => {
      this.#record(`delete ${resource} ${key}`, options, call);
      const object = this.peek(resource, key);
      if (object === undefined) return { ok: false, reason: 'NotFound', message: `${resource} "${key}" not found` };
      if (this.gracefulPods && resource === 'pods') {
        this.put(resource, { ...object, metadata: { ...object.metadata, deletionTimestamp: epoch } });
      } else this.remove(resource, key);
      return { ok: true, object };
    });
  }

  close(): void {
    this.closed = true;
  }
  closed = false;

  readonly createMany = unused;
  readonly update = unused;
  readonly updateStatus = unused;
  readonly updateStatusMany = unused;
  readonly delete = unused;
  readonly deleteCollection = unused;
  readonly evict = unused;
  readonly bindMany = unused;

  #record(what: string, body: unknown, options: WriteOptions | undefined): void {
    this.beforeWrite(what);
    this.writes.push({ what, body, options });
    if (this.warning !== undefined) options?.onWarning?.(this.warning);
  }

  #id = (resource: Resource, key: Key): string => `${resource} ${key}`;

  #stamped<O extends AnyOf>(object: O): O {
    return { ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } };
  }

  #store(resource: Resource, object: AnyOf, type: 'ADDED' | 'MODIFIED'): void {
    this.#objects.set(this.#id(resource, keyOf(object)), { resource, object });
    this.#tell(resource, type, object);
  }

  #tell(resource: Resource, type: WatchEvent<AnyOf>['type'], object: AnyOf): void {
    this.#changes.push({ resource, event: { type, revision: object.metadata.resourceVersion, object } });
    for (const wake of [...this.#watchers]) wake();
  }
}

const unused = (): Promise<never> => Promise.reject(new Error('the command line does not use this verb'));

function selection(resource: Resource, options: ListOptions): (object: AnyOf) => boolean {
  const labels = parseSelector(options.labelSelector ?? '');
  const fields = parseFieldSelector(resource, options.fieldSelector ?? '');
  return (object) =>
    (options.namespace === undefined || object.metadata.namespace === options.namespace) &&
    matches(labels, object.metadata.labels) &&
    matchesFields(resource, fields, object);
}
