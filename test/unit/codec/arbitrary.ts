import fc from 'fast-check';
import { fieldsOf, type FieldSchema } from '../../../lib/api/codec/schema.ts';
import { durationText } from '../../../lib/api/codec/scalars.ts';
import { rfc3339 } from '../../../lib/base/clock.ts';

const text = fc.string({ unit: 'binary', maxLength: 8 });
const seconds = fc.integer({ min: -62_135_596_800, max: 253_402_300_799 }).map((second) => rfc3339(second * 1000));

/** Canonical JSON values of everything that is no plain message. */
const scalars: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  string: text,
  bool: fc.boolean(),
  int32: fc.integer(),
  int64: fc.maxSafeInteger(),
  base64: fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('base64')),
  Time: seconds,
  MicroTime: fc
    .tuple(seconds, fc.integer({ min: 0, max: 999_999 }))
    .map(([second, micros]) => `${second.slice(0, -1)}.${String(micros).padStart(6, '0')}Z`),
  Duration: fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -2_000, max: 2_000 })).map(durationText),
  Quantity: fc.constantFrom('0', '250m', '1.5', '64Mi', '1e3', '-2'),
  IntOrString: fc.oneof(fc.integer(), text),
  FieldsV1: fc.dictionary(text, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3, noNullPrototype: true }).map(plain),
};

/** JSON has no minus zero. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Canonical JSON of a message: a few members of it at random, no nulls, nothing empty but strings and messages. */
export function messageArbitrary(type: string, depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const members: Record<string, fc.Arbitrary<unknown>> = {};
  collect(type, depth, members);
  const names = Object.keys(members);
  // Below, fewer and fewer members, so that the tree stays small.
  return fc
    .subarray(names, { maxLength: Math.min(names.length, Math.max(1, 6 - 2 * depth)) })
    .chain((chosen) => fc.record(Object.fromEntries(chosen.map((name) => [name, members[name] ?? fc.constant(0)]))))
    .map((found) => ({ ...found }));
}

function collect(type: string, depth: number, into: Record<string, fc.Arbitrary<unknown>>): void {
  for (const field of fieldsOf(type) ?? []) {
    if (field.shape === 'inline') collect(field.type, depth, into);
    else into[field.name] = fieldArbitrary(field, depth);
  }
}

function fieldArbitrary(field: FieldSchema, depth: number): fc.Arbitrary<unknown> {
  // Built only when chosen: the tree of all types is large.
  const value = scalars[field.type] ?? fc.constant(0).chain(() => messageArbitrary(field.type, depth + 1));
  if (field.shape === 'list') return fc.array(value, { minLength: 1, maxLength: 3 });
  if (field.shape === 'map')
    return fc.dictionary(fc.oneof(text, fc.constant('__proto__')), value, {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    });
  return value;
}
