import { encodeMessage } from '../../../lib/api/codec/message.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { ApiError, notFound } from '../../../lib/base/errors.ts';
import type { Paging, Registry, Selection, Served, WatchBatch } from '../registry/registry.ts';
import type { CallContext, Methods } from './calls.ts';
import type { FanOut } from '../door/fan-out.ts';
import { deleteOptions, keyFor, readObject, revisionOf, selectionFor, writeOptions } from '../door/requests.ts';
import { applyAll, checkCount, failureOf, partOf } from './write.ts';

/** JSON bytes of one List message: well below what clients take by default (4 MiB), well above what a message costs. */
export const chunkBytes = 1024 * 1024;

/** The generic service: objects of every kind as JSON bytes, which pass through as the registry has them. */
export function objectsService(registry: Registry, fanOut: FanOut): Methods {
  return {
    async Get(request: Messages['GetRequest']) {
      const { json, revision } = await read(registry, request);
      return { json, revision: String(revision) };
    },

    async GetMany({ objects }: Messages['GetManyRequest']) {
      checkCount(objects.length);
      const results = objects.map(async (object): Promise<Messages['WriteResult']> => {
        try {
          const { json, revision } = await read(registry, object);
          return { reason: '', message: '', json, revision: String(revision), warnings: [] };
        } catch (error) {
          return failureOf(error);
        }
      });
      return { results: await Promise.all(results) };
    },

    async List(request: Messages['ListRequest'], call: CallContext, send: (message: object) => Promise<void>) {
      const kind = await registry.kind(request.resource);
      const list = await registry.list(kind.resource, {
        ...selectionFor(kind, request.selection),
        ...pagingOf(request),
      });
      const end = { revision: String(list.revision), continue: list.continue ?? '' };
      for (const { items, isLast } of chunks(list.items.map((item) => item.json))) {
        await send({ items, ...(isLast ? end : { revision: '', continue: '' }) });
      }
    },

    async Watch(request: Messages['WatchRequest'], call: CallContext, send: (message: Buffer) => Promise<void>) {
      const kind = await registry.kind(request.resource);
      const { resource } = kind;
      const selection = selectionFor(kind, request.selection);
      const from = await startOf(registry, resource, selection, request.from_revision);
      const topic = { resource, selection, form: 'json', encode: encodeBatch };
      for await (const bytes of fanOut.read(topic, from, call.signal)) await send(bytes);
      throw call.signal.reason as Error;
    },

    async Position({ resource, node }: Messages['PositionRequest']) {
      const revision = await registry.position(
        (await registry.kind(resource)).resource,
        node === '' ? undefined : node,
      );
      return { revision: String(revision) };
    },

    async Write(request: Messages['WriteRequest'], call: CallContext) {
      return { results: await applyAll(registry, request.operations, writeOptions(request, call.traceparent)) };
    },

    async DeleteCollection(request: Messages['DeleteCollectionRequest'], call: CallContext) {
      const kind = await registry.kind(request.resource);
      const body = request.options.length === 0 ? undefined : readObject(request.options, 'Ignore').value;
      const deleted = await registry.deleteCollection(kind.resource, selectionFor(kind, request.selection), {
        ...writeOptions({ dry_run: request.dry_run }, call.traceparent),
        ...deleteOptions(body),
      });
      return { deleted };
    },
  };
}

async function read(registry: Registry, request: Messages['GetRequest']): Promise<Served> {
  const { namespace, name, subresource } = request;
  const kind = await registry.kind(request.resource);
  const { resource } = kind;
  const key = keyFor(kind, namespace, name);
  const part = partOf(kind, subresource);
  const served = await (part.subresource === 'scale' ? registry.scale(resource, key) : registry.get(resource, key));
  if (served === undefined) throw notFound(resource, name);
  return served;
}

/** Limit, continuation and revision of a list request. */
export function pagingOf(request: { limit: number; continue: string; at_revision: string }): Paging {
  if (request.limit < 0) throw new ApiError('BadRequest', `limit ${request.limit} must not be negative`);
  return {
    ...(request.limit === 0 ? {} : { limit: request.limit }),
    ...(request.continue === '' ? {} : { continue: request.continue }),
    ...(request.at_revision === '' ? {} : { atRevision: revisionOf(request.at_revision, 'at_revision') }),
  };
}

/** Where a watch starts: where the request says, or now. */
export async function startOf(
  registry: Registry,
  resource: Resource,
  selection: Selection,
  text: string,
): Promise<number> {
  if (text !== '') return revisionOf(text, 'from_revision');
  return (await registry.list(resource, { ...selection, limit: 1 })).revision;
}

/** The objects in portions of about a message each; at least one portion, even of nothing. */
export function* chunks(
  items: readonly Buffer[],
): Generator<{ readonly items: readonly Buffer[]; readonly isLast: boolean }> {
  let start = 0;
  let bytes = 0;
  for (const [index, item] of items.entries()) {
    if (index > start && bytes + item.length > chunkBytes) {
      yield { items: items.slice(start, index), isLast: false };
      start = index;
      bytes = 0;
    }
    bytes += item.length;
  }
  yield { items: items.slice(start), isLast: true };
}

const encodeBatch = (batch: WatchBatch): Buffer =>
  encodeMessage('WatchReply', {
    revision: String(batch.revision),
    changes: batch.changes.map(({ type, served }) => ({ type, revision: String(served.revision), json: served.json })),
  });
