import { ApiError } from '../../base/errors.ts';
import { isObject, type Json } from '../json.ts';
import { applyJsonPatch } from './json-patch.ts';
import { applyMergePatch } from './merge.ts';
import { applyStrategicPatch } from './strategic.ts';

/**
 * How a change of an object is written: `merge` (RFC 7386), `json` (RFC 6902), `strategic` (lists are merged by their keys), or `apply`: all
 * fields that somebody wants, whose owner he becomes (Kubernetes API, "Server-Side Apply").
 */
export type PatchType = 'merge' | 'json' | 'strategic' | 'apply';

/** What a change that needs nothing but the object makes of it; `message` is the object's schema. BadRequest, Invalid. */
export function applyPatch(
  message: string,
  document: Json,
  patch: { readonly type: Exclude<PatchType, 'apply'>; readonly value: unknown },
): unknown {
  switch (patch.type) {
    case 'merge':
      return applyMergePatch(document, objectOf(patch.value, 'a merge patch', 'RFC 7386'));
    case 'strategic':
      return applyStrategicPatch(message, document, objectOf(patch.value, 'a strategic merge patch', 'Kubernetes API'));
    case 'json':
      return applyJsonPatch(document, patch.value);
  }
}

function objectOf(value: unknown, what: string, source: string): Json {
  if (isObject(value)) return value;
  throw new ApiError('BadRequest', `${what} is a JSON object (${source})`);
}
