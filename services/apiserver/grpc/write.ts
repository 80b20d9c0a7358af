import { toStatusDetails } from '../../../lib/api/codec/status.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import type { Binding } from '../../../lib/api/objects.ts';
import { ApiError, messageOf } from '../../../lib/base/errors.ts';
import type { Kind } from '../registry/kinds.ts';
import { subresourceOf } from '../registry/subresource.ts';
import type { Registry, SubresourceOption, WriteOptions, Written } from '../registry/registry.ts';
import { deleteOptions, keyFor, namespaceFor, readObject } from '../door/requests.ts';

type Operation = Messages['WriteOperation'];
type Result = Messages['WriteResult'];
type Options = WriteOptions & { readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore' };

/** Operations of one Write call at most. */
export const maxOperations = 1000;

/**
 * Applies operations and answers each in its place. Those on one object run one after another in the order given; all others
 * run at once, so that the store can commit them together.
 */
export function applyAll(registry: Registry, operations: readonly Operation[], options: Options): Promise<Result[]> {
  checkCount(operations.length);
  const last = new Map<string, Promise<Result>>();
  return Promise.all(
    operations.map((operation) => {
      const { traceparent } = operation;
      const own = traceparent === '' ? options : { ...options, traceparent };
      const apply = (): Promise<Result> => applyOne(registry, operation, own);
      const object =
        operation.name === '' ? undefined : `${operation.resource}/${operation.namespace}/${operation.name}`;
      if (object === undefined) return apply();
      const before = last.get(object);
      const result = before === undefined ? apply() : before.then(apply);
      last.set(object, result);
      return result;
    }),
  );
}

/** A failed operation's answer. */
export function failureOf(error: unknown): Result {
  const known = error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error));
  const details = toStatusDetails(known.details);
  const json = Buffer.from(Object.keys(details).length === 0 ? '' : JSON.stringify(details));
  return { reason: known.reason, message: known.message, json, revision: '', warnings: [] };
}

/** A call takes so many operations. RequestEntityTooLarge with the numbers. */
export function checkCount(count: number): void {
  if (count <= maxOperations) return;
  throw new ApiError('RequestEntityTooLarge', `${count} operations in one call; at most ${maxOperations} are taken`);
}

async function applyOne(registry: Registry, operation: Operation, options: Options): Promise<Result> {
  try {
    const { written, warnings } = await perform(registry, operation, options);
    return {
      reason: '',
      message: '',
      json: written.served.json,
      revision: String(written.served.revision),
      warnings: [...warnings, ...written.warnings],
    };
  } catch (error) {
    return failureOf(error);
  }
}

interface Performed {
  readonly written: Written;
  readonly warnings: readonly string[];
}

async function perform(registry: Registry, operation: Operation, options: Options): Promise<Performed> {
  const { verb, namespace, name } = operation;
  const kind = await registry.kind(operation.resource);
  const { resource } = kind;
  switch (verb) {
    case 'create': {
      const { value, warnings } = readObject(operation.json, options.fieldValidation);
      return {
        written: await registry.create(resource, namespaceFor(kind, namespace, false), value, options),
        warnings,
      };
    }
    case 'update':
    case 'patch': {
      const { value, warnings } = readObject(operation.json, options.fieldValidation);
      const more = { ...options, ...partOf(kind, operation.subresource) };
      const key = keyFor(kind, namespace, name);
      return { written: await registry[verb](resource, key, value, more), warnings };
    }
    case 'delete': {
      const body = operation.json.length === 0 ? undefined : readObject(operation.json, 'Ignore').value;
      const written = await registry.delete(resource, keyFor(kind, namespace, name), {
        ...options,
        ...deleteOptions(body),
      });
      return { written, warnings: [] };
    }
    case 'evict': {
      if (resource !== 'pods') throw new ApiError('MethodNotAllowed', 'pods alone can be evicted', { resource });
      const body = operation.json.length === 0 ? undefined : readObject(operation.json, 'Ignore').value;
      const wished = { ...options, ...deleteOptions(body) };
      return { written: await registry.evict(keyFor(kind, namespace, name), wished), warnings: [] };
    }
    case 'bind': {
      const { value, warnings } = readObject(operation.json, options.fieldValidation);
      return { written: await registry.bind(bindingOf(value, namespace, name), options), warnings };
    }
    default:
      throw new ApiError(
        'MethodNotAllowed',
        `verb ${JSON.stringify(verb)} is none of create, update, patch, delete, evict, bind`,
      );
  }
}

/** The part of an object that a request names; none where it is empty. NotFound where the kind has no such part. */
export function partOf(kind: Kind, name: string): SubresourceOption {
  if (name === '') return {};
  const subresource = subresourceOf(kind, name);
  if (subresource !== undefined) return { subresource };
  const { resource } = kind;
  throw new ApiError('NotFound', `${resource} have no subresource ${JSON.stringify(name)}`, { resource });
}

/** The Binding for the pod of the request. BadRequest when it names no node, or another pod. */
export function bindingOf(value: unknown, namespace: string, name: string): Binding {
  const { metadata, target } = (value ?? {}) as {
    readonly metadata?: Readonly<Record<string, unknown>>;
    readonly target?: Readonly<Record<string, unknown>>;
  };
  keyFor('pods', namespace, name);
  for (const [field, wanted] of Object.entries({ namespace, name })) {
    const found = metadata?.[field];
    if (found === undefined || found === null || found === '' || found === wanted) continue;
    throw new ApiError(
      'BadRequest',
      `metadata.${field} ${JSON.stringify(found)} is not the pod's, ${JSON.stringify(wanted)}`,
    );
  }
  const node = target?.name;
  if (typeof node !== 'string' || node === '') throw new ApiError('BadRequest', 'target.name is required: the node');
  const kind = target?.kind;
  if (kind !== undefined && kind !== null && kind !== '' && kind !== 'Node') {
    throw new ApiError('BadRequest', `target.kind ${JSON.stringify(kind)} must be Node`);
  }
  const uid = metadata?.uid;
  return {
    metadata: { namespace, name, ...(typeof uid === 'string' && uid !== '' ? { uid } : {}) },
    target: { kind: 'Node', name: node },
  };
}
