import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';

/** Numbers of google.protobuf.FieldDescriptorProto.Type. */
const typeNumbers: Readonly<Record<string, number>> = {
  ...{ double: 1, float: 2, int64: 3, uint64: 4, int32: 5, fixed64: 6, fixed32: 7, bool: 8, string: 9 },
  ...{ message: 11, bytes: 12, uint32: 13, enum: 14, sfixed32: 15, sfixed64: 16, sint32: 17, sint64: 18 },
};

interface FileDescriptor {
  name: string;
  package: string;
  dependency: readonly string[];
  messageType: object[];
  enumType: object[];
  service: object[];
  syntax: 'proto3';
}

/**
 * `lib/api/gen/descriptors.ts`: each file of the contract and what it imports as a google.protobuf.FileDescriptorProto in
 * base64, with the names it declares: what server reflection answers with.
 */
export function fileDescriptors(root: protobuf.Root, imports: ReadonlyMap<string, readonly string[]>): string {
  const files = new Map<string, FileDescriptor>();
  const symbols = new Map<string, string[]>();
  const walk = (space: protobuf.NamespaceBase): void => {
    for (const object of space.nestedArray) {
      if (object instanceof protobuf.Type || object instanceof protobuf.Enum || object instanceof protobuf.Service) {
        const name = importName(object, imports);
        const file = files.get(name) ?? emptyFile(name, space.fullName.slice(1), imports.get(name) ?? []);
        files.set(name, file);
        symbols.set(name, [...(symbols.get(name) ?? []), object.fullName.slice(1)]);
        if (object instanceof protobuf.Type) file.messageType.push(message(object));
        else if (object instanceof protobuf.Enum) file.enumType.push(enumeration(object));
        else file.service.push(service(object));
      } else if (object instanceof protobuf.Namespace) walk(object);
    }
  };
  walk(root);
  const lines = [...files.values()]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map((file) => {
      const bytes = descriptor.FileDescriptorProto.encode(descriptor.FileDescriptorProto.fromObject(file)).finish();
      const names = (symbols.get(file.name) ?? []).map((name) => `'${name}'`).join(', ');
      const dependencies = file.dependency.map((name) => `'${name}'`).join(', ');
      const base64 = Buffer.from(bytes).toString('base64');
      return `  '${file.name}': {\n    dependencies: [${dependencies}],\n    symbols: [${names}],\n    base64: '${base64}',\n  },`;
    });
  return `export interface FileDescriptor {
  readonly dependencies: readonly string[];
  readonly symbols: readonly string[];
  readonly base64: string;
}

export const fileDescriptors: Readonly<Record<string, FileDescriptor>> = {
${lines.join('\n')}
};
`;
}

const emptyFile = (name: string, packageName: string, dependency: readonly string[]): FileDescriptor => ({
  name,
  package: packageName,
  dependency,
  messageType: [],
  enumType: [],
  service: [],
  syntax: 'proto3',
});

function importName(object: protobuf.ReflectionObject, imports: ReadonlyMap<string, readonly string[]>): string {
  // The parser carries the well-known types itself; each is declared in a file of its own name.
  if (object.fullName.startsWith('.google.protobuf.')) return `google/protobuf/${object.name.toLowerCase()}.proto`;
  const found = [...imports.keys()].find((name) => object.filename?.endsWith(`/${name}`));
  if (found === undefined) throw new Error(`${object.fullName} comes from a file that is not of the contract`);
  return found;
}

function message(type: protobuf.Type): object {
  const maps = type.fieldsArray.filter((field) => field instanceof protobuf.MapField);
  const declared = type.oneofsArray.filter((oneof) => !oneof.isProto3Optional);
  // The virtual oneofs of `optional` fields come after the declared ones.
  const oneofs = [...declared, ...type.oneofsArray.filter((oneof) => oneof.isProto3Optional)];
  return {
    name: type.name,
    field: type.fieldsArray.map((field) => fieldOf(type, field, oneofs)),
    nestedType: [
      ...type.nestedArray.filter((nested) => nested instanceof protobuf.Type).map(message),
      ...maps.map((field) => mapEntry(field)),
    ],
    enumType: type.nestedArray.filter((nested) => nested instanceof protobuf.Enum).map(enumeration),
    oneofDecl: oneofs.map((oneof) => ({ name: oneof.name })),
  };
}

function fieldOf(type: protobuf.Type, field: protobuf.Field, oneofs: readonly protobuf.OneOf[]): object {
  const base = { name: field.name, number: field.id, jsonName: jsonName(field.name) };
  if (field instanceof protobuf.MapField) {
    const typeName = `${type.fullName}.${entryName(field.name)}`;
    return { ...base, label: 3, type: typeNumbers.message, typeName };
  }
  const packed = field.options?.packed as boolean | undefined;
  return {
    ...base,
    ...typeOf(field),
    label: field.repeated ? 3 : 1,
    ...(field.partOf === null ? {} : { oneofIndex: oneofs.indexOf(field.partOf) }),
    ...(field.partOf?.isProto3Optional ? { proto3Optional: true } : {}),
    ...(packed === undefined ? {} : { options: { packed } }),
  };
}

function typeOf(field: Pick<protobuf.Field, 'type' | 'resolvedType'>): { type: number | undefined; typeName?: string } {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return { type: typeNumbers.enum, typeName: resolvedType.fullName };
  if (resolvedType !== null) return { type: typeNumbers.message, typeName: resolvedType.fullName };
  return { type: typeNumbers[field.type] };
}

const mapEntry = (field: protobuf.MapField): object => ({
  name: entryName(field.name),
  field: [
    { name: 'key', number: 1, label: 1, type: typeNumbers[field.keyType], jsonName: 'key' },
    { name: 'value', number: 2, label: 1, ...typeOf(field), jsonName: 'value' },
  ],
  options: { mapEntry: true },
});

/** As protoc names the entry of a map field: camel case with a capital, then Entry. */
const entryName = (field: string): string => {
  const camel = jsonName(field);
  return `${camel.charAt(0).toUpperCase()}${camel.slice(1)}Entry`;
};

/** As protoc makes it: an underscore goes, the letter after it becomes a capital. */
const jsonName = (field: string): string => field.replace(/_+(.?)/g, (_all, next: string) => next.toUpperCase());

const enumeration = (type: protobuf.Enum): object => ({
  name: type.name,
  value: Object.entries(type.values).map(([name, number]) => ({ name, number })),
});

const service = (type: protobuf.Service): object => ({
  name: type.name,
  method: type.methodsArray.map((method) => ({
    name: method.name,
    inputType: method.resolvedRequestType?.fullName,
    outputType: method.resolvedResponseType?.fullName,
    ...(method.requestStream ? { clientStreaming: true } : {}),
    ...(method.responseStream ? { serverStreaming: true } : {}),
  })),
});
