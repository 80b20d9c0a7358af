import { ApiError } from '../../base/errors.ts';
import { copyJson, isObject, sameJson, type Json, type MutableJson } from '../json.ts';
import { fieldTypeOf, listKindOf, type ListKind } from './list-kinds.ts';

const directive = '$patch';
const retainKeys = '$retainKeys';
const orderPrefix = '$setElementOrder/';
const deletePrefix = '$deleteFromPrimitiveList/';

/**
 * What a strategic merge patch makes of an object of a message (Kubernetes API, "Strategic merge patch"): as a merge patch, but lists whose
 * items have a key are merged item by item, and the directives `$patch` (replace, delete, merge), `$retainKeys`, `$setElementOrder/<list>` and
 * `$deleteFromPrimitiveList/<list>` say what a value alone cannot. Lists without a key are replaced. Neither argument is changed.
 * BadRequest for a directive that is none, or an item without its key.
 */
export function applyStrategicPatch(message: string, document: Json, patch: Json): Json {
  return mergedObject(message, document, patch, '');
}

function mergedObject(message: string | undefined, document: Json, patch: Json, path: string): MutableJson {
  const how = directiveIn(patch, path);
  if (how === 'delete') return {};
  const { [directive]: _, ...changes } = patch;
  if (how === 'replace') return copyJson<MutableJson>(changes);
  const result: MutableJson = { ...document };
  retainOnly(result, changes[retainKeys], path);
  for (const [name, change] of Object.entries(changes)) {
    if (name === retainKeys || name.startsWith(orderPrefix)) continue;
    if (name.startsWith(deletePrefix)) removeValues(result, name.slice(deletePrefix.length), change, path);
    else if (change === null) delete result[name];
    else put(result, name, mergedMember(message, { name, before: result[name], change, changes }, path));
  }
  for (const [name, order] of Object.entries(changes)) {
    if (name.startsWith(orderPrefix)) setOrder(message, result, name.slice(orderPrefix.length), order);
  }
  return result;
}

interface Member {
  readonly name: string;
  readonly before: unknown;
  readonly change: unknown;
  /** The whole patch of the object, for the order of a list. */
  readonly changes: Json;
}

function mergedMember(message: string | undefined, { name, before, change }: Member, path: string): unknown {
  const at = path === '' ? name : `${path}.${name}`;
  const field = message === undefined ? undefined : fieldTypeOf(message, name);
  if (Array.isArray(change)) {
    const kind = field === undefined ? undefined : listKindOf(field.message, name);
    if (kind?.mergeKey === undefined || !isListOrAbsent(before)) return withoutDirectives(change);
    if (kind.type === 'set') return mergedSet(before ?? [], change);
    return mergedItems({ kind, message: field?.type, path: at }, before ?? [], change);
  }
  if (!isObject(change)) return change;
  const inner = field?.shape === 'one' ? field.type : undefined;
  return mergedObject(inner, isObject(before) ? before : {}, change, at);
}

const isListOrAbsent = (value: unknown): value is readonly unknown[] | undefined | null =>
  value === undefined || value === null || Array.isArray(value);

/** A list that replaces another: an item that only says `$patch: replace` has said so. */
const withoutDirectives = (list: readonly unknown[]): unknown[] =>
  list.filter((item) => !(isObject(item) && Object.hasOwn(item, directive))).map(copyJson);

function mergedSet(before: readonly unknown[], change: readonly unknown[]): unknown[] {
  const result = [...before];
  for (const value of change) if (!result.some((each) => sameJson(each, value))) result.push(value);
  return result;
}

interface Items {
  readonly kind: ListKind;
  readonly message: string | undefined;
  readonly path: string;
}

function mergedItems(items: Items, before: readonly unknown[], change: readonly unknown[]): unknown[] {
  const { kind, message, path } = items;
  const key = kind.mergeKey ?? '';
  const isWhole = (item: unknown): boolean =>
    isObject(item) && item[directive] === 'replace' && Object.keys(item).length === 1;
  if (change.some(isWhole)) return withoutDirectives(change);
  let result = [...before];
  const added: unknown[] = [];
  for (const item of change) {
    if (!isObject(item)) throw new ApiError('BadRequest', `${path}: items are objects, not ${JSON.stringify(item)}`);
    const value = item[key];
    if (value === undefined || value === null)
      throw new ApiError(
        'BadRequest',
        `${path}: an item without ${key}, by which items are told apart: ${JSON.stringify(item).slice(0, 200)}`,
      );
    const isMeant = (each: unknown): boolean => isObject(each) && sameJson(each[key], value);
    const how = directiveIn(item, path);
    if (how === 'delete') {
      result = result.filter((each) => !isMeant(each));
      continue;
    }
    const at = result.findIndex(isMeant);
    const found = result[at];
    const merged = mergedObject(
      message,
      isObject(found) ? found : {},
      item,
      `${path}[${key}=${JSON.stringify(value)}]`,
    );
    if (at < 0) added.push(merged);
    else result[at] = merged;
  }
  return [...result, ...added];
}

function directiveIn(patch: Json, path: string): 'replace' | 'delete' | 'merge' {
  if (!Object.hasOwn(patch, directive)) return 'merge';
  const how = patch[directive];
  if (how === 'replace' || how === 'delete' || how === 'merge') return how;
  throw new ApiError(
    'BadRequest',
    `${path === '' ? '' : `${path}: `}$patch ${JSON.stringify(how)} is none of replace, delete, merge`,
  );
}

function retainOnly(result: MutableJson, keys: unknown, path: string): void {
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw new ApiError('BadRequest', `${path}: $retainKeys must be a list of names`);
  for (const name of Object.keys(result)) if (!keys.includes(name)) delete result[name];
}

function removeValues(result: MutableJson, name: string, values: unknown, path: string): void {
  if (!Array.isArray(values))
    throw new ApiError('BadRequest', `${path}: ${deletePrefix}${name} must be a list of values`);
  const before = result[name];
  if (Array.isArray(before)) result[name] = before.filter((each) => !values.some((value) => sameJson(each, value)));
}

/** The items that the order names come in that order; others keep their place behind the item that they followed. */
function setOrder(message: string | undefined, result: MutableJson, name: string, order: unknown): void {
  const list = result[name];
  const field = message === undefined ? undefined : fieldTypeOf(message, name);
  const kind = field === undefined ? undefined : listKindOf(field.message, name);
  if (!Array.isArray(list) || !Array.isArray(order) || kind?.mergeKey === undefined) return;
  const { mergeKey } = kind;
  const named = (value: unknown): string =>
    JSON.stringify(mergeKey === '' || !isObject(value) ? value : value[mergeKey]);
  result[name] = inOrder(list, order.map(named), named);
}

/**
 * The items that the order names in that order; each other behind the item that it followed. An item is known by its name, and
 * those of the same name stay in theirs.
 */
export function inOrder(
  list: readonly unknown[],
  order: readonly string[],
  nameOf: (item: unknown) => string,
): unknown[] {
  const rank = new Map(order.map((name, index) => [name, index] as const));
  const rankOf = (item: unknown): number | undefined => rank.get(nameOf(item));
  const ordered = list.filter((item) => rankOf(item) !== undefined).sort((a, b) => (rankOf(a) ?? 0) - (rankOf(b) ?? 0));
  let last: unknown;
  for (const item of list) {
    if (rankOf(item) === undefined) ordered.splice(last === undefined ? 0 : ordered.indexOf(last) + 1, 0, item);
    last = item;
  }
  return ordered;
}

/** Defines the member, also one called `__proto__`. */
function put(object: MutableJson, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}
