import { copyJson, isObject, type Json, type MutableJson } from '../json.ts';
import { pathText } from '../codec/json.ts';
import type { CustomSchema } from '../objects.ts';

type Path = (string | number)[];
/** What every object has, whatever its schema says. */
const ofObjects = ['apiVersion', 'kind', 'metadata'];

/**
 * Takes out of an object, in place, what its schema does not know; answers the paths of that. Beside what `properties` names stays what
 * `additionalProperties` allows, and all of it under `x-kubernetes-preserve-unknown-fields`.
 */
export function pruneCustom(schema: CustomSchema, object: MutableJson): string[] {
  const unknown: string[] = [];
  prune({ ...schema, 'x-kubernetes-embedded-resource': true }, object, [], unknown);
  return unknown;
}

function prune(schema: CustomSchema, value: unknown, path: Path, unknown: string[]): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    value.forEach((item, index) => {
      within(items, item, index, { path, unknown });
    });
    return;
  }
  if (!isObject(value)) return;
  const { properties = {}, additionalProperties } = schema;
  const isOpen = schema['x-kubernetes-preserve-unknown-fields'] === true || additionalProperties === true;
  const isObjectOfApi = schema['x-kubernetes-embedded-resource'] === true;
  for (const [name, member] of Object.entries(value)) {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (isObjectOfApi && ofObjects.includes(name)) continue;
    if (known !== undefined) within(known, member, name, { path, unknown });
    else if (isObject(additionalProperties)) within(additionalProperties, member, name, { path, unknown });
    else if (!isOpen) {
      delete (value as MutableJson)[name];
      unknown.push(pathText([...path, name]));
    }
  }
}

function within(
  schema: CustomSchema,
  value: unknown,
  step: string | number,
  at: { readonly path: Path; readonly unknown: string[] },
): void {
  at.path.push(step);
  prune(schema, value, at.path, at.unknown);
  at.path.pop();
}

/** Fills in, in place, what the schema has a default for. A null where none is allowed counts as left out when there is a default. */
export function defaultCustom(schema: CustomSchema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items !== undefined) for (const item of value) defaultCustom(items, item);
    return;
  }
  if (!isObject(value)) return;
  const object = value as MutableJson;
  const { properties = {}, additionalProperties } = schema;
  for (const [name, member] of Object.entries(properties)) {
    const isLeftOut = object[name] === undefined || (object[name] === null && member.nullable !== true);
    if (isLeftOut && member.default !== undefined) object[name] = copyJson(member.default);
    if (object[name] !== undefined) defaultCustom(member, object[name]);
  }
  if (!isObject(additionalProperties)) return;
  for (const [name, member] of Object.entries(object as Json))
    if (!Object.hasOwn(properties, name)) defaultCustom(additionalProperties, member);
}
