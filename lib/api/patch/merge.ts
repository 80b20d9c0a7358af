import { copyJson, isObject, sameJson, type Json, type MutableJson } from '../json.ts';

/**
 * What a JSON merge patch (RFC 7386) makes of a document: objects are merged member by member, null takes a member
 * away, everything else, lists included, replaces. The document stays as it is, and the result shares nothing with it
 * or with the patch: it may be changed.
 */
export const applyMergePatch = (document: unknown, patch: unknown): unknown => merged(copyJson(document), patch);

/** Changes `document` where it can. */
function merged(document: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return copyJson(patch);
  const result: MutableJson = isObject(document) ? document : {};
  for (const [field, change] of Object.entries(patch)) {
    if (change === null) delete result[field];
    else put(result, field, merged(own(result, field), change));
  }
  return result;
}

/**
 * The merge patch that, applied to `current`, brings what a person changed from `original` to `modified` and leaves
 * everything that others wrote: what `modified` names is set, what `original` named and `modified` does not is
 * taken away, all else is left alone. Lists are values. A null in `modified` takes the field away. `{}` when nothing is to do.
 */
export function mergePatchBetween(original: Json, modified: Json, current: Json): Json {
  const patch: MutableJson = {};
  for (const field of new Set([...Object.keys(original), ...Object.keys(modified)])) {
    const has = isHere(current, field);
    if (!isHere(modified, field)) {
      if (has) put(patch, field, null);
      continue;
    }
    const [wanted, before, now] = [modified[field], own(original, field), own(current, field)];
    if (isObject(wanted) && isObject(now)) {
      const change = mergePatchBetween(isObject(before) ? before : {}, wanted, now);
      if (Object.keys(change).length > 0) put(patch, field, change);
    } else if (!has || !sameJson(withoutNulls(wanted), now)) put(patch, field, withoutNulls(wanted));
  }
  return patch;
}

const own = (object: Json, field: string): unknown => (Object.hasOwn(object, field) ? object[field] : undefined);
const isHere = (object: Json, field: string): boolean => (own(object, field) ?? undefined) !== undefined;

/** Defines the member, also one called `__proto__`. */
function put(object: MutableJson, field: string, value: unknown): void {
  Object.defineProperty(object, field, { value, enumerable: true, configurable: true, writable: true });
}

/** As a merge patch would set it: members that are null do not appear. Lists are kept as they are. */
function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return copyJson(value);
  const result: MutableJson = {};
  for (const [field, item] of Object.entries(value)) if (item !== null) put(result, field, withoutNulls(item));
  return result;
}
