import { isObject, type Json, type MutableJson } from '../json.ts';
import type { ListKind } from '../patch/list-kinds.ts';
import type { MemberShape, Shape } from './shape.ts';

/**
 * The place of a field: its steps, in the spelling of `FieldsV1` (Kubernetes API, `managedFields`), with line breaks between. `f:` a member, `k:`
 * an item of a list by its keys, `v:` a value of a set.
 */
export type FieldPath = string;

const separator = '\n';
export const join = (above: FieldPath, step: string): FieldPath => (above === '' ? step : above + separator + step);
export const stepsOf = (path: FieldPath): readonly string[] => path.split(separator);

/** The value of what is there and has nothing of its own: an item of a list, whose members are fields themselves, or an empty list or object that may be filled. */
export const isThere = Object.freeze({});

/**
 * The fields of an object that can each have an owner, with their values: scalars, lists and objects that count as one value, the
 * items of lists that are told apart by keys, and whatever is empty.
 */
export function fieldsIn(shape: Shape, object: Json): Map<FieldPath, unknown> {
  const found = new Map<FieldPath, unknown>();
  members(shape, object, '', found);
  return found;
}

function members(shape: Shape | undefined, object: Json, above: FieldPath, found: Map<FieldPath, unknown>): void {
  for (const [name, value] of Object.entries(object)) {
    if (value === null || value === undefined) continue;
    const path = join(above, `f:${name}`);
    const member = shape?.member(name);
    if (Array.isArray(value)) items(member, value, { path, found });
    else if (!isObject(value) || member?.isOneValue === true) found.set(path, value);
    else if (Object.keys(value).length === 0) found.set(path, isThere);
    else members(member?.inner, value, path, found);
  }
}

interface At {
  readonly path: FieldPath;
  readonly found: Map<FieldPath, unknown>;
}

function items(member: MemberShape | undefined, list: readonly unknown[], { path, found }: At): void {
  const kind = member?.list;
  if (kind === undefined || list.length === 0) {
    found.set(path, kind === undefined ? list : isThere);
    return;
  }
  for (const item of list) {
    const at = join(path, itemStep(kind, item));
    found.set(at, kind.type === 'set' ? item : isThere);
    if (kind.type === 'map' && isObject(item)) members(member?.inner, item, at, found);
  }
}

/** The step to an item of a list: by its value, or by its keys, a missing one having its default. */
export function itemStep(kind: ListKind, item: unknown): string {
  if (kind.type === 'set' || !isObject(item)) return `v:${JSON.stringify(item)}`;
  const keys = Object.fromEntries(kind.keys.map((key) => [key, item[key] ?? kind.defaults?.[key] ?? null] as const));
  return `k:${JSON.stringify(keys)}`;
}

/** The places that lie above others. */
export function placesAbove(paths: Iterable<FieldPath>): Set<FieldPath> {
  const above = new Set<FieldPath>();
  for (const path of paths) {
    for (let at = path.lastIndexOf(separator); at > 0; at = path.lastIndexOf(separator, at - 1))
      above.add(path.slice(0, at));
  }
  return above;
}

/** The fields as `FieldsV1`: a tree whose leaves, and whose nodes with a `.`, are members. */
export function toFieldsV1(paths: Iterable<FieldPath>): Json {
  const tree: MutableJson = {};
  for (const path of [...paths].sort()) {
    let node = tree;
    for (const step of stepsOf(path)) node = (node[step] ??= {}) as MutableJson;
    node['.'] = {};
  }
  dropDots(tree);
  return tree;
}

/** A leaf needs no dot: it is nothing else but a member. */
function dropDots(node: MutableJson): void {
  for (const [step, child] of Object.entries(node)) {
    if (step === '.' && Object.keys(node).length === 1) delete node['.'];
    else if (step !== '.') dropDots(child as MutableJson);
  }
}

export function fromFieldsV1(value: unknown): Set<FieldPath> {
  const paths = new Set<FieldPath>();
  if (isObject(value)) collect(value, '', paths);
  return paths;
}

function collect(node: Json, path: FieldPath, paths: Set<FieldPath>): void {
  const steps = Object.keys(node).filter((step) => step !== '.');
  if (path !== '' && (steps.length === 0 || Object.hasOwn(node, '.'))) paths.add(path);
  for (const step of steps) {
    const child = node[step];
    if (isObject(child)) collect(child, join(path, step), paths);
  }
}

/** A field as people write it: `.spec.template.spec.containers[name="web"].image`. */
export function pathText(path: FieldPath): string {
  return stepsOf(path)
    .map((step) => {
      const rest = step.slice(2);
      if (step.startsWith('f:')) return `.${rest}`;
      if (step.startsWith('v:')) return `[=${rest}]`;
      const keys = JSON.parse(rest) as Json;
      return `[${Object.entries(keys)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(',')}]`;
    })
    .join('');
}
