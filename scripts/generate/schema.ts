import protobuf from 'protobufjs';

/**
 * Fields whose message has no member of its own in JSON: its members stand beside the others (embedded structures
 * of the Kubernetes v1 types).
 */
const inlined = new Set([
  ...['ConfigMapEnvSource', 'ConfigMapKeySelector', 'ConfigMapProjection', 'ConfigMapVolumeSource'].map(
    ofLocalReference,
  ),
  ...['SecretEnvSource', 'SecretKeySelector', 'SecretProjection'].map(ofLocalReference),
  'EphemeralContainer.ephemeralContainerCommon',
  'PersistentVolumeSpec.persistentVolumeSource',
  'Probe.handler',
  'Unknown.typeMeta',
  'Volume.volumeSource',
]);

function ofLocalReference(message: string): string {
  return `${message}.localObjectReference`;
}

/** `lib/api/gen/schema.ts`: the fields of every message, a line each. */
export function schemaOf(root: protobuf.Root, envelopes: readonly string[]): string {
  const missing = new Set(inlined);
  const lines = allTypes(root).map((type) => {
    const isEnvelope = comesFrom(type, envelopes);
    const fields = type.fieldsArray.map((field) => {
      if (field instanceof protobuf.MapField && field.keyType !== 'string')
        throw new Error(`${type.name}.${field.name}: only maps with string keys have a JSON form here`);
      const inline = missing.delete(`${type.name}.${field.name}`) ? 'inline ' : '';
      const label = field instanceof protobuf.MapField ? 'map ' : field.repeated ? 'list ' : inline;
      return `${field.name} ${field.id} ${label}${valueType(field, isEnvelope)}${isImplicit(field) || (isEnvelope && isMany(field)) ? '!' : ''}`;
    });
    return `  ${quoted(shortName(type))}: '${fields.join('; ')}',`;
  });
  if (missing.size > 0) throw new Error(`inlined fields that no message has: ${[...missing].join(', ')}`);
  return `/**
 * Message: its fields as \`name number [list|map|inline] type\`. \`!\`: always has a value, the zero one when it is not on the wire.
 * \`base64\`: bytes that JSON holds as text. Messages outside troupe.v1 have their full name.
 */
export const schema: Readonly<Record<string, string>> = {
${lines.join('\n')}
};
`;
}

/** `lib/api/gen/messages.ts`: the TypeScript types of the envelopes. */
export function envelopeTypes(root: protobuf.Root, envelopes: readonly string[]): string {
  const types = allTypes(root).filter((type) => comesFrom(type, envelopes));
  const lines = types.map((type) => {
    const fields = type.fieldsArray.map((field) => {
      const mark = isImplicit(field) || isMany(field) ? '' : '?';
      return `    readonly ${field.name}${mark}: ${scriptType(field)};`;
    });
    return `  ${quoted(shortName(type))}: {\n${fields.join('\n')}\n  };`;
  });
  return `/** The messages that carry objects, errors and reflection, by their name in the schema. */
export interface Messages {
${lines.join('\n')}
}
`;
}

const isMany = (field: protobuf.Field): boolean => field.repeated || field instanceof protobuf.MapField;

/** Fields without presence (proto3 scalars without \`optional\`). */
const isImplicit = (field: protobuf.Field): boolean =>
  !isMany(field) && field.partOf === null && !(field.resolvedType instanceof protobuf.Type);

function valueType(field: protobuf.Field, isEnvelope: boolean): string {
  if (field.resolvedType instanceof protobuf.Enum) return 'int32';
  if (field.resolvedType !== null) return shortName(field.resolvedType);
  return field.type === 'bytes' && !isEnvelope ? 'base64' : field.type;
}

function scriptType(field: protobuf.Field): string {
  const value = valueType(field, true);
  const numbers = ['int32', 'int64', 'uint32', 'uint64', 'double'];
  let type = `Messages['${value}']`;
  if (value === 'string') type = 'string';
  else if (value === 'bool') type = 'boolean';
  else if (value === 'bytes') type = 'Uint8Array';
  else if (numbers.includes(value)) type = 'number';
  if (field instanceof protobuf.MapField) return `Readonly<Record<string, ${type}>>`;
  return field.repeated ? `readonly ${type}[]` : type;
}

const shortName = (type: protobuf.ReflectionObject): string => type.fullName.replace(/^\.(troupe\.v1\.)?/, '');
const quoted = (name: string): string => (name.includes('.') ? `'${name}'` : name);
const comesFrom = (type: protobuf.Type, files: readonly string[]): boolean =>
  type.fullName.startsWith('.google.protobuf.') || files.some((file) => type.filename?.endsWith(file));

function allTypes(space: protobuf.NamespaceBase): protobuf.Type[] {
  return space.nestedArray.flatMap((object) => [
    ...(object instanceof protobuf.Type ? [object] : []),
    ...(object instanceof protobuf.Namespace ? allTypes(object) : []),
  ]);
}
