import { fromStatusDetails, isReason, type StatusDetails } from '../api/codec/status.ts';
import type { Messages } from '../api/gen/messages.ts';
import { makeKey, splitKey, type Key } from '../api/keys.ts';
import { apiVersionOf, builtInInfo, type Objects, type Resource } from '../api/kinds.ts';
import type { Binding, Scale } from '../api/objects.ts';
import { ApiError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { activeTraceparent } from '../base/trace.ts';
import { newBatches, maxOperations, maxWriteBytes, type Batches } from './batches.ts';
import { newChannels, type Channels } from './channels.ts';
import type {
  CallOptions,
  Client,
  DeleteOptions,
  Draft,
  ListOptions,
  ListResult,
  Outcome,
  WatchEvent,
  Subresource,
  WriteOptions,
} from './client.ts';

export interface ClientOptions {
  /** `host:port` of an apiserver. */
  readonly address: string;
  /** Connections to it, used in turn. One serves some 4,000 calls a second; default 1. */
  readonly channels?: number;
  readonly log?: Log;
  readonly userAgent?: string;
  /** The deadline of a call that names none; default 10 s. */
  readonly timeoutMs?: number;
  /** Says who calls; asked for each call, since tokens end and are renewed. */
  readonly token?: () => string;
}

type Operation = Messages['WriteOperation'];
type Result = Messages['WriteResult'];

/** The Client over the generic gRPC service `Objects`. It connects when first used and reconnects by itself. */
export function newClient(options: ClientOptions): Client {
  return new GrpcClient(newChannels(options));
}

class GrpcClient implements Client {
  readonly #channels: Channels;
  readonly #writes: Batches<Operation>;
  readonly #reads: Batches<Messages['GetRequest']>;

  constructor(channels: Channels) {
    this.#channels = channels;
    this.#writes = newBatches<Operation>(
      (operations, call) => this.#write(operations, call),
      ({ json: bytes }) => bytes.length,
    );
    this.#reads = newBatches<Messages['GetRequest']>(async (objects, call) => {
      const { results } = await this.#channels.unary('GetMany', { objects }, call);
      return sameCount(results, objects.length);
    });
  }

  get<R extends Resource>(resource: R, key: Key, call: CallOptions = {}): Promise<Objects[R] | undefined> {
    return this.#get<Objects[R]>(resource, key, '', call);
  }

  scale(resource: Resource, key: Key, call: CallOptions = {}): Promise<Scale | undefined> {
    return this.#get<Scale>(resource, key, 'scale', call);
  }

  async #get<T>(
    resource: Resource,
    key: Key,
    subresource: '' | Subresource,
    call: CallOptions,
  ): Promise<T | undefined> {
    const { namespace = '', name } = splitKey(key);
    const outcome = outcomeOf<T>(await this.#reads.put({ resource, namespace, name, subresource }, call), call);
    if (outcome.ok) return outcome.object;
    // A NotFound about anything else, such as the resource, is the caller's mistake.
    if (outcome.reason === 'NotFound' && outcome.details?.name === name) return undefined;
    throw new ApiError(outcome.reason, outcome.message, outcome.details);
  }

  async list<R extends Resource>(
    resource: R,
    options: ListOptions = {},
    call: CallOptions = {},
  ): Promise<ListResult<Objects[R]>> {
    const items: Objects[R][] = [];
    let revision = '';
    let more = '';
    do {
      const request = { resource, selection: selectionOf(options), limit: 0, continue: more, at_revision: '' };
      more = '';
      for await (const chunk of this.#channels.stream('List', request, call)) {
        for (const item of chunk.items) items.push(parse<Objects[R]>(item));
        if (chunk.revision !== '') revision = chunk.revision;
        more = chunk.continue;
      }
    } while (more !== '');
    return { items, revision };
  }

  async *watch<R extends Resource>(
    resource: R,
    options: ListOptions & { readonly fromRevision: string },
    signal: AbortSignal,
  ): AsyncIterable<readonly WatchEvent<Objects[R]>[]> {
    const request = { resource, selection: selectionOf(options), from_revision: options.fromRevision };
    for await (const reply of this.#channels.follow('Watch', request, signal)) {
      const events = reply.changes.map((change): WatchEvent<Objects[R]> => ({
        type: change.type as WatchEvent<Objects[R]>['type'],
        revision: change.revision,
        object: parse<Objects[R]>(change.json),
      }));
      if (events.at(-1)?.revision !== reply.revision) {
        events.push({ type: 'BOOKMARK', revision: reply.revision, object: undefined });
      }
      yield events;
    }
  }

  async position(resource: Resource, node = '', call: CallOptions = {}): Promise<string> {
    return (await this.#channels.unary('Position', { resource, node }, call)).revision;
  }

  create<R extends Resource>(resource: R, object: Draft<Objects[R]>, call: WriteOptions = {}): Promise<Objects[R]> {
    return this.#writeOne(creation(resource, object), call);
  }

  createMany<R extends Resource>(
    resource: R,
    objects: readonly Draft<Objects[R]>[],
    call: WriteOptions = {},
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return this.#writeMany(
      objects.map((object) => creation(resource, object)),
      call,
    );
  }

  update<R extends Resource>(resource: R, object: Objects[R], call: WriteOptions = {}): Promise<Objects[R]> {
    return this.#writeOne(replacement(resource, object, ''), call);
  }

  updateStatus<R extends Resource>(resource: R, object: Objects[R], call: WriteOptions = {}): Promise<Objects[R]> {
    return this.#writeOne(replacement(resource, object, 'status'), call);
  }

  updateStatusMany<R extends Resource>(
    resource: R,
    objects: readonly Objects[R][],
    call: WriteOptions = {},
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return this.#writeMany(
      objects.map((object) => replacement(resource, object, 'status')),
      call,
    );
  }

  patch<R extends Resource>(
    resource: R,
    key: Key,
    patch: object,
    call: WriteOptions & { readonly subresource?: Subresource } = {},
  ): Promise<Objects[R]> {
    return this.#writeOne({ ...target('patch', resource, key, patch), subresource: call.subresource ?? '' }, call);
  }

  delete<R extends Resource>(
    resource: R,
    key: Key,
    options: DeleteOptions = {},
    call: WriteOptions = {},
  ): Promise<Objects[R]> {
    return this.#writeOne(target('delete', resource, key, options), call);
  }

  deleteMany<R extends Resource>(
    resource: R,
    keys: readonly Key[],
    options: DeleteOptions = {},
    call: WriteOptions = {},
  ): Promise<readonly Outcome<Objects[R]>[]> {
    return this.#writeMany(
      keys.map((key) => target('delete', resource, key, options)),
      call,
    );
  }

  async deleteCollection(
    resource: Resource,
    options: ListOptions & DeleteOptions,
    call: WriteOptions = {},
  ): Promise<number> {
    const { namespace: _n, labelSelector: _l, fieldSelector: _f, ...deletion } = options;
    const request = {
      resource,
      selection: selectionOf(options),
      options: json(deletion),
      dry_run: call.dryRun ?? false,
    };
    return (await this.#channels.unary('DeleteCollection', request, call)).deleted;
  }

  evict(key: Key, options: DeleteOptions = {}, call: WriteOptions = {}): Promise<Objects['pods']> {
    return this.#writeOne(target('evict', 'pods', key, options), call);
  }

  bindMany(bindings: readonly Binding[], call: WriteOptions = {}): Promise<readonly Outcome<Objects['pods']>[]> {
    return this.#writeMany(
      bindings.map((binding) =>
        target('bind', 'pods', makeKey(binding.metadata.namespace, binding.metadata.name), binding),
      ),
      call,
    );
  }

  async call<T>(service: string, method: string, request: object, call: CallOptions = {}): Promise<T> {
    return (await this.#channels.call(service, method, request, call)) as T;
  }

  close(): void {
    this.#channels.close();
  }

  async #writeOne<T>(operation: Operation, call: WriteOptions): Promise<T> {
    const outcome = outcomeOf<T>(await this.#writes.put(operation, call), call);
    if (outcome.ok) return outcome.object;
    throw new ApiError(outcome.reason, outcome.message, outcome.details);
  }

  async #writeMany<T>(operations: readonly Operation[], call: WriteOptions): Promise<readonly Outcome<T>[]> {
    const results: Result[] = [];
    for (const portion of portions(operations)) results.push(...(await this.#write(portion, call)));
    return results.map((result) => outcomeOf<T>(result, call));
  }

  async #write(operations: readonly Operation[], call: WriteOptions): Promise<readonly Result[]> {
    const { dryRun = false, fieldValidation = '' } = call;
    const request = { operations, dry_run: dryRun, field_validation: fieldValidation };
    const { results } = await this.#channels.unary('Write', request, call);
    return sameCount(results, operations.length);
  }
}

function sameCount(results: readonly Result[], asked: number): readonly Result[] {
  if (results.length === asked) return results;
  throw new ApiError('InternalError', `the server answered ${asked} operations with ${results.length} results`);
}

/** The operations cut, in order, into calls that the server takes. */
function* portions(operations: readonly Operation[]): Generator<readonly Operation[]> {
  let portion: Operation[] = [];
  let bytes = 0;
  for (const operation of operations) {
    if (portion.length === maxOperations || (portion.length > 0 && bytes + operation.json.length > maxWriteBytes)) {
      yield portion;
      portion = [];
      bytes = 0;
    }
    portion.push(operation);
    bytes += operation.json.length;
  }
  if (portion.length > 0) yield portion;
}

function outcomeOf<T>(result: Result, call: WriteOptions): Outcome<T> {
  for (const warning of result.warnings) call.onWarning?.(warning);
  if (result.reason === '') return { ok: true, object: parse<T>(result.json) };
  const details = result.json.length === 0 ? {} : fromStatusDetails(parse<StatusDetails>(result.json));
  return {
    ok: false,
    reason: isReason(result.reason) ? result.reason : 'InternalError',
    message: result.message,
    details,
  };
}

function creation<R extends Resource>(resource: R, object: Draft<Objects[R]>): Operation {
  const info = builtInInfo(resource);
  const { namespace = '', name = '' } = object.metadata;
  // Only who knows a custom kind can say what its objects are called.
  const draft = { ...(info === undefined ? {} : { apiVersion: apiVersionOf(info), kind: info.kind }), ...object };
  return { ...place('create', resource), namespace, name, json: json(draft) };
}

const replacement = <R extends Resource>(resource: R, object: Objects[R], subresource: string): Operation => ({
  ...target('update', resource, makeKey(object.metadata.namespace, object.metadata.name), object),
  subresource,
});

const place = (verb: string, resource: Resource): Omit<Operation, 'namespace' | 'name' | 'json'> => ({
  ...{ verb, resource, subresource: '' },
  traceparent: activeTraceparent() ?? '',
});

function target(verb: string, resource: Resource, key: Key, body: object): Operation {
  const { namespace = '', name } = splitKey(key);
  return { ...place(verb, resource), namespace, name, json: json(body) };
}

const selectionOf = (options: ListOptions): Messages['Selection'] => ({
  namespace: options.namespace ?? '',
  label_selector: options.labelSelector ?? '',
  field_selector: options.fieldSelector ?? '',
});

const json = (value: object): Buffer => Buffer.from(JSON.stringify(value));
const parse = <T>(bytes: Uint8Array): T =>
  JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as T;
