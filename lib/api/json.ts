/**
 * Reading JSON whose shape is not certain: an object from a manifest, or one stored by an older version.
 * Every reader answers with something empty where the shape is another, so that rules can be
 * written without a guard a line; what is wrong about the shape is said once, by the codec's type check.
 */
export type Json = Readonly<Record<string, unknown>>;
/** A draft on its way to the store, still being filled in. */
export type MutableJson = Record<string, unknown>;

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const nothing: Json = Object.freeze({});
const none: readonly never[] = Object.freeze([]);

/** The value as an object; an empty one where it is none. */
export const asObject = (value: unknown): Json => (isObject(value) ? value : nothing);
export const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : none);
export const asText = (value: unknown): string => (typeof value === 'string' ? value : '');

export const objectAt = (parent: Json, field: string): Json => asObject(parent[field]);
export const listAt = (parent: Json, field: string): readonly unknown[] => asList(parent[field]);
export const objectsAt = (parent: Json, field: string): readonly Json[] => listAt(parent, field).map(asObject);
export const textAt = (parent: Json, field: string): string => asText(parent[field]);
export const numberAt = (parent: Json, field: string): number | undefined =>
  typeof parent[field] === 'number' ? parent[field] : undefined;

/** Whether a field was left out: JSON's null means the same (API conventions, "Null values"). */
export const isAbsent = (value: unknown): value is undefined | null => value === undefined || value === null;

/** The entries of a string map; values that are no strings are left out. */
export const textEntries = (value: unknown): readonly (readonly [string, string])[] =>
  Object.entries(asObject(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string');

/** Whether two JSON values are the same; the order of an object's members does not matter, an undefined member is an absent one. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  if (!isObject(a) || !isObject(b)) return false;
  const present = (value: Json): string[] => Object.keys(value).filter((key) => value[key] !== undefined);
  const keys = present(a);
  return keys.length === present(b).length && keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key], b[key]));
}

/** A copy that shares nothing with the original. */
export function copyJson<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copyJson) as T;
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copyJson(item)])) as T;
}
