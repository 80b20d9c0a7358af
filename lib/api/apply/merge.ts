import { copyJson, isObject, type Json, type MutableJson } from '../json.ts';
import type { ListKind } from '../patch/list-kinds.ts';
import { inOrder } from '../patch/strategic.ts';
import { itemStep, stepsOf, type FieldPath } from './field-set.ts';
import type { MemberShape, Shape } from './shape.ts';

/** What somebody wants, put over what is there: members and items that he does not name stay as they are. Neither argument is changed. */
export function mergeApplied(shape: Shape | undefined, live: Json, applied: Json): MutableJson {
  const result: MutableJson = { ...live };
  for (const [name, value] of Object.entries(applied)) {
    if (value === null || value === undefined) continue;
    const member = shape?.member(name);
    Object.defineProperty(result, name, {
      value: mergedValue(member, live[name], value),
      enumerable: true,
      configurable: true,
      writable: true,
    });
  }
  return result;
}

function mergedValue(member: MemberShape | undefined, live: unknown, applied: unknown): unknown {
  if (Array.isArray(applied)) {
    const kind = member?.list;
    return kind === undefined || !Array.isArray(live)
      ? copyJson(applied)
      : mergedList(kind, member?.inner, live, applied);
  }
  if (!isObject(applied) || !isObject(live) || member?.isOneValue === true) return copyJson(applied);
  return mergeApplied(member?.inner, live, applied);
}

function mergedList(
  kind: ListKind,
  shape: Shape | undefined,
  live: readonly unknown[],
  applied: readonly unknown[],
): readonly unknown[] {
  const nameOf = (item: unknown): string => itemStep(kind, item);
  const result = [...live];
  for (const item of applied) {
    const at = result.findIndex((each) => nameOf(each) === nameOf(item));
    const found = result[at];
    if (at < 0) result.push(copyJson(item));
    else if (isObject(found) && isObject(item)) result[at] = mergeApplied(shape, found, item);
  }
  return inOrder(result, applied.map(nameOf), nameOf);
}

/** Takes fields out of an object, which is changed: values, items of lists, and what is left empty by that. Fields that are not there are passed over. */
export function removeFields(shape: Shape, object: MutableJson, paths: Iterable<FieldPath>): void {
  const tree = new Map<string, Node>();
  for (const path of paths) {
    let children = tree;
    let node: Node | undefined;
    for (const step of stepsOf(path)) {
      node = children.get(step) ?? { isMeant: false, children: new Map() };
      children.set(step, node);
      children = node.children;
    }
    if (node !== undefined) node.isMeant = true;
  }
  removeMembers(shape, object, tree);
}

interface Node {
  isMeant: boolean;
  readonly children: Map<string, Node>;
}

function removeMembers(shape: Shape | undefined, object: MutableJson, tree: ReadonlyMap<string, Node>): void {
  for (const [step, node] of tree) {
    const name = step.slice(2);
    const value = object[name];
    if (value === undefined) continue;
    const member = shape?.member(name);
    const left = node.children.size === 0 ? undefined : without(member, value, node.children);
    if (left === undefined) delete object[name];
    else object[name] = left;
  }
}

/** What is left of a list or an object; undefined when nothing is. */
function without(member: MemberShape | undefined, value: unknown, tree: ReadonlyMap<string, Node>): unknown {
  if (Array.isArray(value)) {
    const kind = member?.list;
    const left = kind === undefined ? value : value.flatMap((item) => itemWithout(kind, member?.inner, item, tree));
    return left.length === 0 ? undefined : left;
  }
  if (!isObject(value)) return value;
  const left: MutableJson = { ...value };
  removeMembers(member?.inner, left, tree);
  return Object.keys(left).length === 0 ? undefined : left;
}

function itemWithout(
  kind: ListKind,
  shape: Shape | undefined,
  item: unknown,
  tree: ReadonlyMap<string, Node>,
): readonly unknown[] {
  const node = tree.get(itemStep(kind, item));
  if (node === undefined) return [item];
  if (node.isMeant || !isObject(item)) return [];
  const left: MutableJson = { ...item };
  removeMembers(shape, left, node.children);
  return [left];
}
