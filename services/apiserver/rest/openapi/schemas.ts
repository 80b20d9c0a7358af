import { fieldsOf, type FieldSchema } from '../../../../lib/api/codec/schema.ts';
import { docs } from '../../../../lib/api/gen/docs.ts';
import { isAtomic, listKindOf } from '../../../../lib/api/patch/list-kinds.ts';

type Schema = Readonly<Record<string, unknown>>;

export interface TypeOfKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

const text = (format?: string): Schema => ({ type: 'string', ...(format === undefined ? {} : { format }) });

/** Types that have no members in JSON. */
const scalars: Readonly<Record<string, Schema>> = {
  string: text(),
  bool: { type: 'boolean' },
  int32: { type: 'integer', format: 'int32' },
  int64: { type: 'integer', format: 'int64' },
  uint32: { type: 'integer', format: 'int64' },
  double: { type: 'number', format: 'double' },
  base64: text('byte'),
  bytes: text('byte'),
  Time: text('date-time'),
  MicroTime: text('date-time'),
  Duration: text(),
  Quantity: { ...text(), 'x-kubernetes-int-or-string': true, description: 'An amount such as 250m, 2 or 64Mi.' },
  IntOrString: { ...text('int-or-string'), 'x-kubernetes-int-or-string': true },
  FieldsV1: { type: 'object' },
  RawExtension: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
  JSONSchemaProps: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
};

export const schemaName = (message: string): string => `troupe.v1.${message}`;
const referenceTo = (message: string): string => `#/components/schemas/${schemaName(message)}`;

/** The schemas of messages and of all that they are made of, by their names, from the table that also validates (lib/api/gen/schema.ts). */
export function schemasFor(kinds: ReadonlyMap<string, readonly TypeOfKind[]>): Readonly<Record<string, Schema>> {
  const found: Record<string, Schema> = {};
  const open = [...kinds.keys()];
  for (let message = open.pop(); message !== undefined; message = open.pop()) {
    const name = schemaName(message);
    if (found[name] !== undefined) continue;
    found[name] = schemaOf(message, kinds.get(message));
    open.push(...partsOf(message));
  }
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function schemaOf(message: string, types: readonly TypeOfKind[] | undefined): Schema {
  const description = docs[message]?.[''] ?? '';
  const isKind = types !== undefined && types.length > 0;
  return {
    ...(description === '' ? {} : { description }),
    type: 'object',
    properties: { ...(isKind ? typeMembers : {}), ...membersOf(message) },
    ...(isKind ? { 'x-kubernetes-group-version-kind': types } : {}),
  };
}

export const typeMembers: Schema = {
  apiVersion: { type: 'string', description: 'The group and version of the API that the object is written for.' },
  kind: { type: 'string', description: 'What the object is.' },
};

/** The JSON members of a message: those of inlined messages stand among its own. */
function membersOf(message: string): Record<string, Schema> {
  const members: Record<string, Schema> = {};
  for (const field of fieldsOf(message) ?? []) {
    if (field.shape === 'inline') Object.assign(members, membersOf(field.type));
    else members[field.name] = memberOf(message, field);
  }
  return members;
}

function memberOf(message: string, field: FieldSchema): Schema {
  const description = docs[message]?.[field.name] ?? '';
  const said = description === '' ? {} : { description };
  if (field.shape === 'list')
    return { ...said, type: 'array', items: valueOf(field.type), ...listRules(message, field) };
  if (field.shape === 'map') return { ...said, type: 'object', additionalProperties: valueOf(field.type) };
  const value = valueOf(field.type, said);
  return isAtomic(message, field.name, field.type) ? { ...value, 'x-kubernetes-map-type': 'atomic' } : value;
}

/** A reference may have nothing beside it, so that what is said of the member stands around it. */
function valueOf(type: string, said: Schema = {}): Schema {
  const scalar = scalars[type];
  if (scalar !== undefined) return { ...scalar, ...said };
  return { ...said, allOf: [{ $ref: referenceTo(type) }], default: {} };
}

function listRules(message: string, { name }: FieldSchema): Schema {
  const rule = listKindOf(message, name);
  if (rule === undefined) return { 'x-kubernetes-list-type': 'atomic' };
  const { mergeKey } = rule;
  return {
    'x-kubernetes-list-type': rule.type,
    ...(rule.keys.length === 0 ? {} : { 'x-kubernetes-list-map-keys': rule.keys }),
    ...(mergeKey === undefined
      ? {}
      : { 'x-kubernetes-patch-strategy': rule.retainKeys === true ? 'merge,retainKeys' : 'merge' }),
    ...(mergeKey === undefined || mergeKey === '' ? {} : { 'x-kubernetes-patch-merge-key': mergeKey }),
  };
}

/** The messages that a message's members are made of. */
function partsOf(message: string): readonly string[] {
  return (fieldsOf(message) ?? []).flatMap(({ type, shape }) => {
    if (scalars[type] !== undefined) return [];
    return shape === 'inline' ? partsOf(type) : [type];
  });
}

/** A schema by reference, for the paths. */
export const schemaRef = (message: string): Schema => ({ $ref: referenceTo(message) });
