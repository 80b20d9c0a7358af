import { encodeMessage, typeOf } from '../../../lib/api/codec/message.ts';
import { toStatusObject } from '../../../lib/api/codec/status.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import { serviceOf } from '../../../lib/api/gen/services.ts';
import { kinds, resources, type BuiltIn } from '../../../lib/api/kinds.ts';
import { ApiError, notFound } from '../../../lib/base/errors.ts';
import type { TokenRequest } from '../../../lib/api/objects.ts';
import type { Identities } from '../identity/identities.ts';
import type { BuiltInKind } from '../registry/kinds.ts';
import type { Registry, Served, SubresourceOption, WatchBatch, Written } from '../registry/registry.ts';
import { scaled } from '../registry/scale.ts';
import type { CallContext, Methods, Send } from './calls.ts';
import type { FanOut } from '../door/fan-out.ts';
import { chunks, pagingOf, startOf } from './objects.ts';
import { deleteOptions, keyFor, namespaceFor, readObject, selectionFor, writeOptions } from '../door/requests.ts';
import { bindingOf, maxOperations, partOf } from './write.ts';

type Json = Readonly<Record<string, unknown>>;

interface NamedRequest {
  readonly namespace: string;
  readonly name: string;
}
interface SelectRequest {
  readonly selection?: Messages['Selection'];
  readonly limit: number;
  readonly continue: string;
  readonly at_revision: string;
}
interface FollowRequest {
  readonly selection?: Messages['Selection'];
  readonly from_revision: string;
}
interface WriteRequest {
  readonly object?: Json;
  readonly dry_run: boolean;
  readonly field_validation: string;
}
interface BatchRequest {
  readonly objects?: readonly Json[];
  readonly dry_run: boolean;
  readonly field_validation: string;
}
interface PatchRequest extends NamedRequest {
  readonly subresource: string;
  readonly patch: string;
  readonly dry_run: boolean;
  readonly field_validation: string;
}
interface DeleteRequest extends NamedRequest {
  readonly options?: Json;
}
interface DeleteSelectedRequest {
  readonly selection?: Messages['Selection'];
  readonly options?: Json;
}

/** The typed services: for each kind, the verbs of the contract over the same registry as the generic service. */
export function typedServices(
  registry: Registry,
  fanOut: FanOut,
  identities: Identities,
): Readonly<Record<string, Methods>> {
  const services = resources.map(
    (resource) => [serviceOf[resource], typedService(registry, fanOut, resource)] as const,
  );
  const found = new Map(services);
  found.set(serviceOf.serviceaccounts, { ...found.get(serviceOf.serviceaccounts), ...tokenMethods(identities) });
  return Object.fromEntries(found);
}

interface CreateTokenRequest extends NamedRequest {
  readonly request?: TokenRequest;
}

const tokenMethods = (identities: Identities): Methods => ({
  CreateToken({ namespace, name, request = {} }: CreateTokenRequest) {
    keyFor('serviceaccounts', namespace, name);
    return identities.createToken(namespace, name, request);
  },
});

function typedService(registry: Registry, fanOut: FanOut, resource: BuiltIn): Methods {
  const { kind } = kinds[resource];
  const encodeBatch = (batch: WatchBatch): Buffer =>
    encodeMessage(`${kind}WatchReply`, {
      revision: String(batch.revision),
      changes: batch.changes.map(({ type, served }) => ({
        type,
        revision: String(served.revision),
        object: objectOf(served),
      })),
    });
  return {
    async Get({ namespace, name }: NamedRequest) {
      const served = await registry.get(resource, keyFor(resource, namespace, name));
      if (served === undefined) throw notFound(resource, name);
      return objectOf(served);
    },

    async List(request: SelectRequest, _call: CallContext, send: Send) {
      const list = await registry.list(resource, {
        ...selectionFor(resource, request.selection),
        ...pagingOf(request),
      });
      const resourceVersion = String(list.revision);
      const end = {
        resourceVersion,
        ...(list.continue === undefined ? {} : { continue: list.continue }),
        ...(list.remaining === undefined ? {} : { remainingItemCount: list.remaining }),
      };
      for (const { items, isLast } of chunks(list.items.map((item) => item.json))) {
        await send({ metadata: isLast ? end : { resourceVersion }, items: items.map(parse) });
      }
    },

    async Watch(request: FollowRequest, call: CallContext, send: Send) {
      const selection = selectionFor(resource, request.selection);
      const from = await startOf(registry, resource, selection, request.from_revision);
      const topic = { resource, selection, form: 'message', encode: encodeBatch };
      for await (const bytes of fanOut.read(topic, from, call.signal)) await send(bytes);
      throw call.signal.reason as Error;
    },

    async Create(request: WriteRequest, call: CallContext) {
      return warned(call, await create(registry, resource, objectIn(request), writeOptions(request, call.traceparent)));
    },

    async CreateMany(request: BatchRequest, call: CallContext) {
      const options = writeOptions(request, call.traceparent);
      return outcomes(request.objects ?? [], (object) => create(registry, resource, object, options));
    },

    async Update(request: WriteRequest, call: CallContext) {
      return update(request, call, {});
    },

    async UpdateStatus(request: WriteRequest, call: CallContext) {
      return update(request, call, { subresource: 'status' });
    },

    async Patch(request: PatchRequest, call: CallContext) {
      const options = writeOptions(request, call.traceparent);
      const part = partOf(kinds[resource] as BuiltInKind, request.subresource);
      if (part.subresource === 'scale')
        throw new ApiError('MethodNotAllowed', 'the scale is set by UpdateScale', { resource });
      const { value, warnings } = readObject(Buffer.from(request.patch), options.fieldValidation);
      const written = await registry.patch(resource, keyFor(resource, request.namespace, request.name), value, {
        ...options,
        ...part,
      });
      return warned(call, written, warnings);
    },

    async Delete(request: DeleteRequest, call: CallContext) {
      const written = await registry.delete(resource, keyFor(resource, request.namespace, request.name), {
        ...writeOptions({}, call.traceparent),
        ...deleteOptions(request.options),
      });
      return warned(call, written);
    },

    async DeleteCollection(request: DeleteSelectedRequest, call: CallContext) {
      const deleted = await registry.deleteCollection(resource, selectionFor(resource, request.selection), {
        ...writeOptions({}, call.traceparent),
        ...deleteOptions(request.options),
      });
      return { deleted };
    },
    ...(resource === 'pods' ? bindMethods(registry) : {}),
    ...(isScaled(resource) ? scaleMethods(registry, resource) : {}),
    ...(resource === 'pods' ? { UpdateEphemeralContainers: updateEphemeral } : {}),
  };

  function updateEphemeral(request: WriteRequest, call: CallContext): Promise<object> {
    return update(request, call, { subresource: 'ephemeralcontainers' });
  }

  async function update(request: WriteRequest, call: CallContext, subresource: SubresourceOption): Promise<object> {
    const object = objectIn(request);
    const options = { ...writeOptions(request, call.traceparent), ...subresource };
    const written = await registry.update(resource, keyOfObject(resource, object), complete(kind, object), options);
    return warned(call, written);
  }
}

interface EvictRequest extends NamedRequest {
  readonly options?: Json;
  readonly dry_run: boolean;
}

function bindMethods(registry: Registry): Methods {
  return {
    async Evict({ namespace, name, options, dry_run }: EvictRequest, call: CallContext) {
      const written = await registry.evict(keyFor('pods', namespace, name), {
        ...deleteOptions(options),
        ...writeOptions({ dry_run }, call.traceparent),
      });
      return warned(call, written);
    },
    async Bind(request: { readonly binding?: Json; readonly dry_run: boolean }, call: CallContext) {
      return warned(call, await bind(registry, request.binding ?? {}, writeOptions(request, call.traceparent)));
    },
    async BindMany(request: { readonly bindings?: readonly Json[]; readonly dry_run: boolean }, call: CallContext) {
      const options = writeOptions(request, call.traceparent);
      return outcomes(request.bindings ?? [], (binding) => bind(registry, binding, options));
    },
  };
}

const isScaled = (resource: BuiltIn): boolean => (scaled as readonly string[]).includes(resource);

function scaleMethods(registry: Registry, resource: BuiltIn): Methods {
  return {
    async GetScale({ namespace, name }: NamedRequest) {
      const served = await registry.scale(resource, keyFor(resource, namespace, name));
      if (served === undefined) throw notFound(resource, name);
      return objectOf(served);
    },
    async UpdateScale(request: WriteRequest, call: CallContext) {
      const object = objectIn(request);
      const options = { ...writeOptions(request, call.traceparent), subresource: 'scale' as const };
      const written = await registry.update(
        resource,
        keyOfObject(resource, object),
        complete('Scale', object),
        options,
      );
      return warned(call, written);
    },
  };
}

function create(
  registry: Registry,
  resource: BuiltIn,
  object: Json,
  options: ReturnType<typeof writeOptions>,
): Promise<Written> {
  const namespace = namespaceFor(resource, metadataOf(object).namespace ?? '', false);
  return registry.create(resource, namespace, complete(kinds[resource].kind, object), options);
}

function bind(registry: Registry, binding: Json, options: ReturnType<typeof writeOptions>): Promise<Written> {
  const { namespace = '', name = '' } = metadataOf(binding);
  return registry.bind(bindingOf(binding, namespace, name), options);
}

/** Each item's own result, in order. RequestEntityTooLarge for too many. */
async function outcomes(items: readonly Json[], perform: (item: Json) => Promise<Written>): Promise<object> {
  if (items.length > maxOperations) {
    throw new ApiError(
      'RequestEntityTooLarge',
      `${items.length} objects in one call; at most ${maxOperations} are taken`,
    );
  }
  const results = await Promise.all(
    items.map(async (item) => {
      try {
        const written = await perform(item);
        return { object: objectOf(written.served), warnings: written.warnings };
      } catch (error) {
        return { error: toStatusObject(error) };
      }
    }),
  );
  return { results };
}

function warned(call: CallContext, written: Written, more: readonly string[] = []): object {
  call.warn([...more, ...written.warnings]);
  return objectOf(written.served);
}

function objectIn({ object }: WriteRequest): Json {
  if (object === undefined) throw new ApiError('BadRequest', 'object is required');
  return object;
}

/** An object with the apiVersion and kind that its message does not hold. */
const complete = (kind: string, object: Json): Json => ({ ...typeOf(kind), ...object });

const metadataOf = (object: Json): { readonly namespace?: string; readonly name?: string } => object.metadata ?? {};

function keyOfObject(resource: BuiltIn, object: Json): string {
  const { namespace = '', name = '' } = metadataOf(object);
  return keyFor(resource, namespace, name);
}

const objectOf = (served: Served): object => parse(served.json);
const parse = (json: Buffer): object => JSON.parse(json.toString('utf8')) as object;
