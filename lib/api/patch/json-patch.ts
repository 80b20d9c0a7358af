import { applyPatch, type Operation } from 'rfc6902';
import { ApiError } from '../../base/errors.ts';
import { copyJson, isObject } from '../json.ts';

/** More operations than this are no change that a person or a controller makes (the limit of Kubernetes v1). */
const maxOperations = 10_000;
/** `copy` can double a document each time; so large, as JSON, may none become. */
const maxBytes = 3 * 1024 * 1024;

/**
 * What a JSON patch (RFC 6902) makes of a document. All operations or none: the document stays as it is. BadRequest names the operation
 * that is none; Invalid the one that does not fit the document, such as a `test` that fails.
 */
export function applyJsonPatch(document: unknown, patch: unknown): unknown {
  const operations = operationsOf(patch);
  const holder = { root: copyJson(document) };
  for (const [index, operation] of operations.entries()) {
    // Below a root of its own the whole document can be replaced too.
    const from = 'from' in operation ? { from: `/root${operation.from}` } : {};
    const [problem] = applyPatch(holder, [{ ...operation, ...from, path: `/root${operation.path}` }]);
    const text = problem === null || problem === undefined ? tooLarge(operation, holder.root) : problem.message;
    if (text !== undefined)
      throw new ApiError(
        'Invalid',
        `the JSON patch does not fit: operation ${index} (${operation.op} ${operation.path}): ${text.replaceAll('/root', '')}`,
      );
  }
  return holder.root;
}

function tooLarge({ op }: Operation, document: unknown): string | undefined {
  if (op !== 'copy' || JSON.stringify(document).length <= maxBytes) return undefined;
  return `the document would grow beyond ${maxBytes} bytes`;
}

const needs = { add: 'value', remove: '', replace: 'value', move: 'from', copy: 'from', test: 'value' } as const;

function operationsOf(patch: unknown): readonly Operation[] {
  if (!Array.isArray(patch)) throw new ApiError('BadRequest', 'a JSON patch is a list of operations (RFC 6902)');
  if (patch.length > maxOperations)
    throw new ApiError(
      'RequestEntityTooLarge',
      `the JSON patch has ${patch.length} operations; at most ${maxOperations} are taken`,
    );
  return patch.map((item: unknown, index) => {
    const why = wrongIn(item);
    if (why !== undefined) throw new ApiError('BadRequest', `operation ${index} of the JSON patch ${why}`);
    return item as Operation;
  });
}

function wrongIn(item: unknown): string | undefined {
  if (!isObject(item)) return 'is no object';
  const { op, path, from } = item;
  if (typeof op !== 'string' || !Object.hasOwn(needs, op))
    return `has op ${JSON.stringify(op)}; there are ${Object.keys(needs).join(', ')}`;
  if (!isPointer(path)) return `has path ${JSON.stringify(path)}, which is no JSON pointer`;
  const need = needs[op as keyof typeof needs];
  if (need === 'value' && !Object.hasOwn(item, 'value')) return 'has no value';
  if (need === 'from' && !isPointer(from)) return `has from ${JSON.stringify(from)}, which is no JSON pointer`;
  if ((op === 'remove' || op === 'move') && (op === 'move' ? from : path) === '') return 'takes the whole object away';
  return undefined;
}

const isPointer = (value: unknown): boolean => typeof value === 'string' && (value === '' || value.startsWith('/'));
