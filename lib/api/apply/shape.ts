import { fieldsOf } from '../codec/schema.ts';
import type { CustomSchema } from '../objects.ts';
import { fieldTypeOf, isAtomic, listKindOf, type ListKind } from '../patch/list-kinds.ts';

/** What server-side apply knows of an object. Undefined, in the place of one: anything goes. */
export interface Shape {
  /** Undefined where nothing is known of such a member. */
  member(name: string): MemberShape | undefined;
}

export interface MemberShape {
  /** What its own members, or those of its items, are looked up in. */
  readonly inner: Shape | undefined;
  /** It has one owner as a whole, although it is an object. */
  readonly isOneValue: boolean;
  /** What the items of a list are told apart by; undefined: the list is one value. */
  readonly list: ListKind | undefined;
}

const builtIn = new Map<string, Shape>();

/** Of a message of the schema. */
export function shapeOf(message: string): Shape {
  const known = builtIn.get(message);
  if (known !== undefined) return known;
  const members = new Map<string, MemberShape | undefined>();
  const shape: Shape = {
    member(name) {
      if (members.has(name)) return members.get(name);
      const field = fieldTypeOf(message, name);
      const member: MemberShape | undefined = field && {
        inner: field.shape === 'map' ? undefined : shapeOf(field.type),
        isOneValue:
          isAtomic(field.message, name, field.type) || (field.shape === 'one' && fieldsOf(field.type) === undefined),
        list: listKindOf(field.message, name),
      };
      if (member !== undefined) members.set(name, member); // of what is not known anybody may ask anything
      return member;
    },
  };
  builtIn.set(message, shape);
  return shape;
}

const custom = new WeakMap<CustomSchema, Shape>();

/** Of a kind that users defined, by the schema of a version; its metadata is that of every object. */
export function shapeOfCustom(schema: CustomSchema | undefined): Shape {
  const own = schema && shapeOfSchema(schema);
  const every = shapeOf('CustomObject');
  return { member: (name) => (name === 'metadata' ? every.member(name) : own?.member(name)) };
}

function shapeOfSchema(schema: CustomSchema): Shape {
  let shape = custom.get(schema);
  if (shape !== undefined) return shape;
  const { properties = {}, additionalProperties } = schema;
  const others = typeof additionalProperties === 'object' ? memberOf(additionalProperties) : undefined;
  const members = new Map(Object.entries(properties).map(([name, each]) => [name, memberOf(each)]));
  shape = { member: (name) => members.get(name) ?? others };
  custom.set(schema, shape);
  return shape;
}

const memberOf = (schema: CustomSchema): MemberShape => ({
  inner: schema.items === undefined ? shapeOfSchema(schema) : shapeOfSchema(schema.items),
  isOneValue: schema['x-kubernetes-map-type'] === 'atomic',
  list: listOf(schema),
});

function listOf(schema: CustomSchema): ListKind | undefined {
  const type = schema['x-kubernetes-list-type'];
  if (type === 'set') return { type, keys: [] };
  if (type !== 'map') return undefined;
  const keys = schema['x-kubernetes-list-map-keys'] ?? [];
  const defaults = keys.flatMap((key) => {
    const value = schema.items?.properties?.[key]?.default;
    return value === undefined ? [] : [[key, value] as const];
  });
  return { type, keys, ...(defaults.length > 0 && { defaults: Object.fromEntries(defaults) }) };
}
