import { apiVersionOf, builtInInfo, type Objects, type Resource } from '../../lib/api/kinds.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { ApiObject, Binding, Scale } from '../../lib/api/objects.ts';
import { ApiError, isApiError } from '../../lib/base/errors.ts';
import type {
  Client,
  DeleteOptions,
  Draft,
  ListOptions,
  ListResult,
  Outcome,
  WatchEvent,
  Subresource,
  WriteOptions,
} from '../../lib/client/client.ts';
import type { Registry, Selection, Served, Written } from '../../services/apiserver/registry/registry.ts';

/**
 * The API without a wire: a Client that calls the registry in the same process, for tests that run all loops together.
 * `down` makes every call fail as if the apiserver were away.
 */
export class RegistryClient implements Client {
  #registry: Registry;
  down = false;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  /** From now on another apiserver answers, on a store of its own. */
  moveTo(registry: Registry): void {
    this.#registry = registry;
  }

  async call<T>(service: string, method: string): Promise<T> {
    throw new ApiError('ServiceUnavailable', `${service}/${method} is not served in one process`);
  }

  async get<R extends Resource>(resource: R, key: Key): Promise<Objects[R] | undefined> {
    this.#checkUp();
    const served = await this.#registry.get(resource, key);
    return served && parse(served);
  }

  async scale(resource: Resource, key: Key): Promise<Scale | undefined> {
    this.#checkUp();
    const served = await this.#registry.scale(resource, key);
    return served && (JSON.parse(served.json.toString('utf8')) as Scale);
  }

  async list<R extends Resource>(resource: R, options: ListOptions = {}): Promise<ListResult<Objects[R]>> {
    this.#checkUp();
    const { items, revision } = await this.#registry.list(resource, selection(options));
    return { items: items.map((item) => parse<Objects[R]>(item)), revision: String(revision) };
  }

  async *watch<R extends Resource>(
    resource: R,
    options: ListOptions & { readonly fromRevision: string },
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<Objects[R]>[]> {
    this.#checkUp();
    for await (const batch of this.#registry.watch(
      resource,
      selection(options),
      Number(options.fromRevision),
      signal,
    )) {
      this.#checkUp();
      const events = batch.changes.map(({ type, served }) => ({
        type,
        revision: String(served.revision),
        object: parse<Objects[R]>(served),
      }));
      yield [...events, { type: 'BOOKMARK', revision: String(batch.revision), object: undefined }];
    }
  }

  async position(resource: Resource, node?: string): Promise<string> {
    this.#checkUp();
    return String(await this.#registry.position(resource, node));
  }

  async create<R extends Resource>(
    resource: R,
    object: Draft<Objects[R]>,
    call: WriteOptions = {},
  ): Promise<Objects[R]> {
    this.#checkUp();
    const info = builtInInfo(resource);
    const draft = { ...(info === undefined ? {} : { apiVersion: apiVersionOf(info), kind: info.kind }), ...object };
    return this.#written(
      await this.#registry.create(resource, object.metadata.namespace, structuredClone(draft), call),
      call,
    );
  }

  createMany<R extends Resource>(
    resource: R,
    objects: readonly Draft<Objects[R]>[],
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return Promise.all(objects.map((object) => outcome(this.create(resource, object, call))));
  }

  async update<R extends Resource>(resource: R, object: Objects[R], call: WriteOptions = {}): Promise<Objects[R]> {
    this.#checkUp();
    return this.#written(await this.#registry.update(resource, keyOf(object), structuredClone(object), call), call);
  }

  async updateStatus<R extends Resource>(
    resource: R,
    object: Objects[R],
    call: WriteOptions = {},
  ): Promise<Objects[R]> {
    this.#checkUp();
    return this.#written(
      await this.#registry.update(resource, keyOf(object), structuredClone(object), { ...call, subresource: 'status' }),
      call,
    );
  }

  updateStatusMany<R extends Resource>(
    resource: R,
    objects: readonly Objects[R][],
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return Promise.all(objects.map((object) => outcome(this.updateStatus(resource, object, call))));
  }

  async patch<R extends Resource>(
    resource: R,
    key: Key,
    patch: object,
    call: WriteOptions & { readonly subresource?: Subresource } = {},
  ): Promise<Objects[R]> {
    this.#checkUp();
    return this.#written(await this.#registry.patch(resource, key, structuredClone(patch), call), call);
  }

  async delete<R extends Resource>(
    resource: R,
    key: Key,
    options: DeleteOptions = {},
    call: WriteOptions = {},
  ): Promise<Objects[R]> {
    this.#checkUp();
    return this.#written(await this.#registry.delete(resource, key, { ...call, ...options }), call);
  }

  deleteMany<R extends Resource>(
    resource: R,
    keys: readonly Key[],
    options?: DeleteOptions,
    call?: WriteOptions,
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return Promise.all(keys.map((key) => outcome(this.delete(resource, key, options, call))));
  }

  async deleteCollection(
    resource: Resource,
    options: ListOptions & DeleteOptions,
    call: WriteOptions = {},
  ): Promise<number> {
    this.#checkUp();
    return this.#registry.deleteCollection(resource, selection(options), { ...call, ...options });
  }

  async evict(key: Key, options: DeleteOptions = {}, call: WriteOptions = {}): Promise<Objects['pods']> {
    this.#checkUp();
    return this.#written<'pods'>(await this.#registry.evict(key, { ...call, ...options }), call);
  }

  bindMany(bindings: readonly Binding[], call: WriteOptions = {}): Promise<readonly Outcome<Objects['pods']>[]> {
    return Promise.all(
      bindings.map((binding) =>
        outcome(
          (async () => {
            this.#checkUp();
            return this.#written<'pods'>(await this.#registry.bind(binding, call), call);
          })(),
        ),
      ),
    );
  }

  close(): void {
    this.down = true;
  }

  #checkUp(): void {
    if (this.down) throw new ApiError('ServiceUnavailable', 'the apiserver is away');
  }

  #written<R extends Resource>(written: Written, call: WriteOptions): Objects[R] {
    written.warnings.forEach((warning) => call.onWarning?.(warning));
    return parse<Objects[R]>(written.served);
  }
}

const parse = <T extends ApiObject>(served: Served): T => JSON.parse(served.json.toString('utf8')) as T;

const selection = ({ namespace, labelSelector, fieldSelector }: ListOptions): Selection => ({
  ...(namespace !== undefined && { namespace }),
  ...(labelSelector !== undefined && { labelSelector }),
  ...(fieldSelector !== undefined && { fieldSelector }),
});

async function outcome<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, object: await work };
  } catch (error) {
    if (!isApiError(error)) throw error;
    return { ok: false, reason: error.reason, message: error.message, details: error.details };
  }
}
