import { isAbsent, isObject, type MutableJson } from '../json.ts';

/**
 * How a field is filled in. Where the API has no pointer for a field its zero value means "not given" (Kubernetes v1,
 * and so the wire form): `fillText` and `fillCount` replace an empty text and a zero; `fill` replaces only what is absent.
 */
export function fill(object: MutableJson, field: string, value: unknown): void {
  if (isAbsent(object[field])) object[field] = value;
}

export function fillText(object: MutableJson, field: string, value: string): void {
  if (isAbsent(object[field]) || object[field] === '') object[field] = value;
}

export function fillCount(object: MutableJson, field: string, value: number): void {
  if (isAbsent(object[field]) || object[field] === 0) object[field] = value;
}

/** The object in a field, for filling in; undefined where there is none. */
export const inside = (object: MutableJson, field: string): MutableJson | undefined => {
  const value = object[field];
  return isObject(value) ? value : undefined;
};

/** The object in a field, made when absent. Undefined where something else is in its place. */
export function ensured(object: MutableJson, field: string): MutableJson | undefined {
  fill(object, field, {});
  return inside(object, field);
}

/** The objects of a list in a field. */
export const each = (object: MutableJson, field: string): readonly MutableJson[] => {
  const value = object[field];
  return Array.isArray(value) ? value.filter(isObject) : [];
};

/** Takes out every member that is null, at any depth: null means the same as leaving it out. Lists keep their places. */
export function dropNulls(value: unknown): void {
  if (Array.isArray(value)) {
    for (const item of value) dropNulls(item);
  } else if (isObject(value)) {
    const object = value as MutableJson;
    for (const field in object) {
      if (object[field] === null) delete object[field];
      else if (typeof object[field] === 'object') dropNulls(object[field]);
    }
  }
}
