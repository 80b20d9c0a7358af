import protobuf from 'protobufjs/minimal.js';
import { ApiError } from '../../base/errors.ts';
import type { Messages } from '../gen/messages.ts';
import { apiVersionOf, kinds, resourceOfKind, resources } from '../kinds.ts';
import { durationText, microTimeText, parseDuration, parseTime, timeText } from './scalars.ts';
import { fieldsOf, type FieldSchema } from './schema.ts';

type Writer = protobuf.Writer;
type Reader = protobuf.Reader;
type Json = Record<string, unknown>;

/**
 * A message's bytes from its JSON form. Members that the schema does not know are left out (`checkFields` finds
 * them), nulls, empty lists and empty maps too: the wire has no form for them. Throws a TypeError that names the
 * field when a value is of another type than the schema says; run `checkFields` over what comes from outside first.
 */
export function encodeMessage<T extends string>(
  type: T,
  value: T extends keyof Messages ? Messages[T] : object,
): Buffer {
  const writer = protobuf.Writer.create();
  codecOf(type).write(writer, value);
  return writer.finish() as Buffer;
}

/**
 * The canonical JSON form of a message's bytes: absent fields are absent, except scalars without presence, which
 * have their zero value. Fields that the schema does not know are skipped. BadRequest when the bytes are not such a message.
 */
export function decodeMessage<T extends string>(
  type: T,
  bytes: Uint8Array,
): T extends keyof Messages ? Messages[T] : Json {
  const reader = protobuf.Reader.create(bytes);
  try {
    return codecOf(type).read(reader, reader.len) as T extends keyof Messages ? Messages[T] : Json;
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('BadRequest', `the bytes are not a ${type} message: ${String(error)}`, {}, { cause: error });
  }
}

/** An object by its kind, with the `apiVersion` and `kind` that its message does not hold. */
export function decodeObject(kind: string, bytes: Uint8Array): Json {
  return { ...typeOf(kind), ...decodeMessage(kind as 'Pod', bytes) };
}

const typesOfKinds = new Map(
  resources.map((resource) => {
    const { kind } = kinds[resource];
    return [kind, { apiVersion: apiVersionOf(kinds[resource]), kind }];
  }),
);
typesOfKinds.set('Scale', { apiVersion: 'autoscaling/v1', kind: 'Scale' });

/** `apiVersion` and `kind` of the objects of a kind. */
export const typeOf = (kind: string): { readonly apiVersion: string; readonly kind: string } =>
  typesOfKinds.get(kind) ?? { apiVersion: 'v1', kind };

/** Whether an object is of a kind whose messages this codec has. */
export const hasMessage = (apiVersion: string, kind: string): boolean => resourceOfKind(apiVersion, kind) !== undefined;

/** Writes the fields of one message; reads them up to a position. */
interface MessageCodec {
  write(writer: Writer, value: unknown): void;
  read(reader: Reader, end: number): unknown;
}
/** Writes a value with its tag; reads one value. */
interface ValueCodec {
  readonly wireType: number;
  /** What a field without presence reads as. */
  readonly zero: unknown;
  write(writer: Writer, value: unknown): void;
  read(reader: Reader): unknown;
}

const codecs = new Map<string, MessageCodec>();

function codecOf(type: string): MessageCodec {
  const known = codecs.get(type);
  if (known !== undefined) return known;
  const fields = fieldsOf(type);
  if (fields === undefined) throw new Error(`proto/ has no message ${type}`);
  const codec = special[type] ?? messageCodec(type, fields);
  codecs.set(type, codec);
  return codec;
}

/** How a field is put on the wire, and into the object that is read. */
interface FieldCodec {
  readonly name: string;
  readonly implicit: boolean;
  readonly zero: () => unknown;
  /** For inline fields: the members of the outer object that it takes. */
  readonly members?: readonly string[];
  write(writer: Writer, value: unknown): void;
  /** Reads one occurrence; false when the wire type is not the field's. */
  read(reader: Reader, wireType: number, into: Json): boolean;
}

function messageCodec(type: string, schema: readonly FieldSchema[]): MessageCodec {
  const fields = schema.map((field) => fieldCodec(type, field));
  const byNumber: FieldCodec[] = [];
  schema.forEach((field, index) => {
    const codec = fields[index];
    if (codec !== undefined) byNumber[field.number] = codec;
  });
  const always = fields.filter((field) => field.implicit);
  return {
    write(writer, value) {
      if (typeof value !== 'object' || value === null) throw new TypeError(`${type}: expected an object`);
      const object = value as Json;
      for (const field of fields) {
        if (field.members !== undefined) {
          if (field.members.some((member) => isThere(object[member]))) field.write(writer, object);
          continue;
        }
        const member = object[field.name];
        if (isThere(member) && !(field.implicit && isZero(member))) field.write(writer, member);
      }
    },
    read(reader, end) {
      if (end > reader.len) throw new RangeError('it ends early');
      const object: Json = {};
      for (const { name, zero } of always) object[name] = zero();
      while (reader.pos < end) {
        const tag = reader.uint32();
        if (byNumber[tag >>> 3]?.read(reader, tag & 7, object) !== true) reader.skipType(tag & 7);
      }
      if (reader.pos !== end) throw new RangeError('a field is longer than its message');
      return object;
    },
  };
}

const isThere = (value: unknown): boolean => value !== undefined && value !== null;
const isZero = (value: unknown): boolean =>
  value === '' || value === 0 || value === false || (value instanceof Uint8Array && value.length === 0);

function fieldCodec(owner: string, field: FieldSchema): FieldCodec {
  const { name, implicit } = field;
  const path = `${owner}.${name}`;
  const value = valueCodec(field.type, path);
  const tag = (field.number << 3) | value.wireType;
  const base = { name, implicit, zero: () => value.zero };
  switch (field.shape) {
    case 'one':
      return {
        ...base,
        write(writer, member) {
          writer.uint32(tag);
          value.write(writer, member);
        },
        read(reader, wireType, into) {
          if (wireType !== value.wireType) return false;
          const found = value.read(reader);
          if (found !== undefined) into[name] = found;
          return true;
        },
      };
    case 'inline':
      return {
        ...base,
        members: fieldsOf(field.type)?.map((inner) => inner.name) ?? [],
        write(writer, member) {
          writer.uint32(tag);
          value.write(writer, member);
        },
        read(reader, wireType, into) {
          if (wireType !== value.wireType) return false;
          Object.assign(into, value.read(reader));
          return true;
        },
      };
    case 'list':
      return { ...base, zero: () => [], ...listCodec(path, name, tag, value) };
    case 'map':
      return { ...base, zero: () => ({}), ...mapCodec(path, name, tag, value) };
  }
}

function listCodec(path: string, name: string, tag: number, value: ValueCodec): Pick<FieldCodec, 'write' | 'read'> {
  return {
    write(writer, member) {
      if (!Array.isArray(member)) throw new TypeError(`${path}: expected a list`);
      for (const item of member as unknown[]) {
        writer.uint32(tag);
        value.write(writer, item);
      }
    },
    read(reader, wireType, into) {
      const list = (into[name] ??= []) as unknown[];
      if (wireType === value.wireType) {
        list.push(value.read(reader));
        return true;
      }
      if (wireType !== 2 || value.wireType !== 0) return false;
      // Numbers may come packed; we write them one by one, as Kubernetes v1 does.
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new RangeError('it ends early');
      while (reader.pos < end) list.push(value.read(reader));
      return true;
    },
  };
}

function mapCodec(path: string, name: string, tag: number, value: ValueCodec): Pick<FieldCodec, 'write' | 'read'> {
  return {
    write(writer, member) {
      if (typeof member !== 'object' || member === null) throw new TypeError(`${path}: expected an object`);
      for (const [key, item] of Object.entries(member)) {
        writer
          .uint32(tag)
          .fork()
          .uint32(0x0a)
          .string(key)
          .uint32(0x10 | value.wireType);
        value.write(writer, item);
        writer.ldelim();
      }
    },
    read(reader, wireType, into) {
      if (wireType !== 2) return false;
      const end = reader.uint32() + reader.pos;
      if (end > reader.len) throw new RangeError('it ends early');
      let key = '';
      let item: unknown = value.zero;
      while (reader.pos < end) {
        const inner = reader.uint32();
        if (inner === 0x0a) key = reader.string();
        else if (inner === (0x10 | value.wireType)) item = value.read(reader);
        else reader.skipType(inner & 7);
      }
      const map = (into[name] ??= {}) as Json;
      // A plain assignment of `__proto__` would not make a member.
      if (key === '__proto__')
        Object.defineProperty(map, key, { value: item, enumerable: true, configurable: true, writable: true });
      else map[key] = item;
      return true;
    },
  };
}

function valueCodec(type: string, path: string): ValueCodec {
  const scalar = scalars[type];
  if (scalar !== undefined) return scalar(path);
  let codec: MessageCodec | undefined; // found when first needed: messages may name each other in circles
  return {
    wireType: 2,
    zero: undefined,
    write(writer, value) {
      writer.fork();
      (codec ??= codecOf(type)).write(writer, value);
      writer.ldelim();
    },
    read: (reader) => (codec ??= codecOf(type)).read(reader, reader.uint32() + reader.pos),
  };
}

const expected = (path: string, what: string, value: unknown): TypeError =>
  new TypeError(`${path}: expected ${what}, found ${JSON.stringify(value)}`);

const scalars: Readonly<Record<string, (path: string) => ValueCodec>> = {
  string: (path) => ({
    wireType: 2,
    zero: '',
    write(writer, value) {
      if (typeof value !== 'string') throw expected(path, 'a string', value);
      writer.string(value);
    },
    read: (reader) => reader.string(),
  }),
  bool: (path) => ({
    wireType: 0,
    zero: false,
    write(writer, value) {
      if (typeof value !== 'boolean') throw expected(path, 'true or false', value);
      writer.bool(value);
    },
    read: (reader) => reader.bool(),
  }),
  int32: (path) => ({
    wireType: 0,
    zero: 0,
    write(writer, value) {
      if (!Number.isInteger(value)) throw expected(path, 'an integer', value);
      writer.int32(value as number);
    },
    read: (reader) => reader.int32(),
  }),
  int64: (path) => ({
    wireType: 0,
    zero: 0,
    write(writer, value) {
      if (!Number.isInteger(value)) throw expected(path, 'an integer', value);
      writer.int64(value as number);
    },
    read: (reader) => Number(reader.int64()),
  }),
  bytes: (path) => ({
    wireType: 2,
    zero: Buffer.alloc(0),
    write(writer, value) {
      if (!(value instanceof Uint8Array)) throw expected(path, 'bytes', value);
      writer.bytes(value);
    },
    read: (reader) => reader.bytes(),
  }),
  base64: (path) => ({
    wireType: 2,
    zero: '',
    write(writer, value) {
      if (typeof value !== 'string') throw expected(path, 'base64', value);
      writer.bytes(Buffer.from(value, 'base64'));
    },
    read: (reader) => Buffer.from(reader.bytes()).toString('base64'),
  }),
};

/** Messages with a JSON form of their own. */
const special: Readonly<Record<string, MessageCodec>> = {
  Time: timeCodec('Time', (seconds) => timeText(seconds), false),
  MicroTime: timeCodec('MicroTime', microTimeText, true),
  Duration: {
    write(writer, value) {
      const nanos = typeof value === 'string' ? parseDuration(value) : undefined;
      if (nanos === undefined) throw expected('Duration', 'a span of time such as "1m30s"', value);
      writer.uint32(0x08).int64(nanos);
    },
    read: (reader, end) =>
      durationText(Number(readParts(reader, end, { 0x08: (found) => Number(found.int64()) })[0x08] ?? 0)),
  },
  Quantity: {
    write(writer, value) {
      if (typeof value !== 'string' && typeof value !== 'number') throw expected('Quantity', 'a quantity', value);
      writer.uint32(0x0a).string(String(value));
    },
    read: (reader, end) => readParts(reader, end, { 0x0a: (found) => found.string() })[0x0a] ?? '',
  },
  IntOrString: {
    write(writer, value) {
      if (Number.isInteger(value))
        writer
          .uint32(0x08)
          .int64(0)
          .uint32(0x10)
          .int32(value as number);
      else if (typeof value === 'string') writer.uint32(0x08).int64(1).uint32(0x1a).string(value);
      else throw expected('IntOrString', 'an integer or a string', value);
    },
    read(reader, end) {
      const parts = readParts(reader, end, {
        0x08: (found) => Number(found.int64()),
        0x10: (found) => found.int32(),
        0x1a: (found) => found.string(),
      });
      return parts[0x08] === 1 ? (parts[0x1a] ?? '') : (parts[0x10] ?? 0);
    },
  },
  JSONSchemaProps: {
    write(writer, value) {
      writer.uint32((rawSchema << 3) | 2).string(JSON.stringify(value));
    },
    read(reader, end) {
      let text: string | undefined;
      while (reader.pos < end) {
        if (reader.uint32() >>> 3 !== rawSchema)
          throw new ApiError('UnsupportedMediaType', 'the schema of a CustomResourceDefinition is taken as JSON alone');
        text = reader.string();
      }
      return JSON.parse(text ?? '{}') as unknown;
    },
  },
  RawExtension: {
    write(writer, value) {
      writer.uint32(0x0a).string(JSON.stringify(value));
    },
    read(reader, end) {
      const text = String(readParts(reader, end, { 0x0a: (found) => found.string() })[0x0a] ?? '{}');
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        throw new ApiError('UnsupportedMediaType', 'an object inside another is taken as JSON alone', {}, { cause });
      }
    },
  },
  FieldsV1: {
    write(writer, value) {
      writer.uint32(0x0a).string(JSON.stringify(value));
    },
    read: (reader, end) =>
      JSON.parse(String(readParts(reader, end, { 0x0a: (found) => found.string() })[0x0a] ?? '{}')) as unknown,
  },
};

/** The one field of a schema in our own wire form (proto/troupe/v1/extension.proto). */
const rawSchema = 1000;

function timeCodec(name: string, text: (seconds: number, nanos: number) => string, fine: boolean): MessageCodec {
  return {
    write(writer, value) {
      const time = typeof value === 'string' ? parseTime(value) : undefined;
      if (time === undefined) throw expected(name, 'an RFC 3339 time', value);
      writer.uint32(0x08).int64(time.seconds);
      if (fine && time.nanos !== 0) writer.uint32(0x10).int32(time.nanos);
    },
    read(reader, end) {
      const parts = readParts(reader, end, {
        0x08: (found) => Number(found.int64()),
        0x10: (found) => found.int32(),
      });
      // An empty message is how a Kubernetes v1 encoder writes null.
      if (parts[0x08] === undefined && parts[0x10] === undefined) return undefined;
      return text(Number(parts[0x08] ?? 0), Number(parts[0x10] ?? 0));
    },
  };
}

/** The values of a small message by tag; unknown ones are skipped, of repeated ones the last counts. */
function readParts(
  reader: Reader,
  end: number,
  readers: Readonly<Record<number, (reader: Reader) => string | number>>,
): Record<number, string | number> {
  if (end > reader.len) throw new RangeError('it ends early');
  const parts: Record<number, string | number> = {};
  while (reader.pos < end) {
    const tag = reader.uint32();
    const read = readers[tag];
    if (read === undefined) reader.skipType(tag & 7);
    else parts[tag] = read(reader);
  }
  if (reader.pos !== end) throw new RangeError('a field is longer than its message');
  return parts;
}
