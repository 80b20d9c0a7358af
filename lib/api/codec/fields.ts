import type { FieldCause } from '../../base/errors.ts';
import { pathText } from './json.ts';
import { isBase64, parseDuration, parseTime } from './scalars.ts';
import { fieldsOf, messageOfKind, type FieldSchema } from './schema.ts';

/** Wrong types after which the look ends: a text that is no object of the kind at all need not be told field by field. */
const maxCauses = 50;

/**
 * What is wrong about the shape of an object of a kind: `unknown` members as paths (`spec.containers[0].foo`), and values of the wrong
 * JSON type as causes. `null` passes: it means absent. A kind without a schema passes whole: `hasSchema` tells.
 */
export function checkFields(kind: string, value: unknown): { unknown: string[]; causes: FieldCause[] } {
  const message = messageOfKind(kind);
  if (message === undefined) return { unknown: [], causes: [] };
  const check = new Check();
  check.object(message, value, typeMembers);
  return { unknown: check.unknown, causes: check.causes };
}

/** As `checkFields` for an object of which only a message's members are looked at; others are not even unknown. */
export function checkMembers(message: string, value: unknown): { unknown: string[]; causes: FieldCause[] } {
  const known = new Set((fieldsOf(message) ?? []).map(({ name }) => name));
  const members = Object.entries(typeof value === 'object' && value !== null ? value : {});
  const check = new Check();
  check.object(message, Object.fromEntries(members.filter(([name]) => known.has(name))));
  return { unknown: check.unknown, causes: check.causes };
}

export const hasSchema = (kind: string): boolean => messageOfKind(kind) !== undefined;

/** On the wire the kind is known from elsewhere; JSON objects say it themselves. */
const typeMembers: ReadonlyMap<string, FieldSchema> = new Map(
  ['apiVersion', 'kind'].map((name) => [name, { name, number: 0, shape: 'one', type: 'string', implicit: false }]),
);

const membersOf = new Map<string, ReadonlyMap<string, FieldSchema>>();

/** The JSON members of a message: its fields, with those of inlined messages in their place. */
function jsonMembers(message: string): ReadonlyMap<string, FieldSchema> {
  const known = membersOf.get(message);
  if (known !== undefined) return known;
  const members = new Map<string, FieldSchema>();
  for (const field of fieldsOf(message) ?? []) {
    if (field.shape === 'inline') for (const [name, inner] of jsonMembers(field.type)) members.set(name, inner);
    else members.set(field.name, field);
  }
  membersOf.set(message, members);
  return members;
}

class Check {
  readonly unknown: string[] = [];
  readonly causes: FieldCause[] = [];
  readonly #path: (string | number)[] = [];

  object(message: string, value: unknown, more?: ReadonlyMap<string, FieldSchema>): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.#wrong('an object', value);
    const members = jsonMembers(message);
    for (const [name, member] of Object.entries(value)) {
      const field = members.get(name) ?? more?.get(name);
      this.#path.push(name);
      if (field === undefined) this.unknown.push(pathText(this.#path));
      else if (member !== null && member !== undefined) this.#field(field, member);
      this.#path.pop();
    }
  }

  #field(field: FieldSchema, value: unknown): void {
    switch (field.shape) {
      case 'list':
        if (!Array.isArray(value)) return this.#wrong('a list', value);
        value.forEach((item: unknown, index) => {
          this.#inside(index, field.type, item);
        });
        return;
      case 'map':
        if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.#wrong('an object', value);
        for (const [key, item] of Object.entries(value)) this.#inside(key, field.type, item);
        return;
      case 'one':
      case 'inline':
        return this.#value(field.type, value);
    }
  }

  #inside(step: string | number, type: string, value: unknown): void {
    this.#path.push(step);
    this.#value(type, value);
    this.#path.pop();
  }

  #value(type: string, value: unknown): void {
    const expected = scalarRules[type];
    if (expected === undefined) return this.object(type, value);
    if (!expected.holds(value)) this.#wrong(expected.what, value);
  }

  #wrong(what: string, value: unknown): void {
    if (this.causes.length >= maxCauses) return;
    const quoted = what === 'a string' && (typeof value === 'number' || typeof value === 'boolean');
    this.causes.push({
      field: pathText(this.#path),
      reason: 'FieldValueTypeInvalid',
      message: `must be ${what}, not ${shown(value)}${quoted ? '; write it in quotes' : ''}`,
    });
  }
}

const isWithin = (value: unknown, min: number, max: number): boolean =>
  Number.isInteger(value) && (value as number) >= min && (value as number) <= max;

const scalarRules: Readonly<Record<string, { readonly what: string; readonly holds: (value: unknown) => boolean }>> = {
  string: { what: 'a string', holds: (value) => typeof value === 'string' },
  bool: { what: 'true or false', holds: (value) => typeof value === 'boolean' },
  int32: {
    what: 'an integer from -2147483648 to 2147483647',
    holds: (value) => isWithin(value, -(2 ** 31), 2 ** 31 - 1),
  },
  int64: { what: 'an integer', holds: (value) => isWithin(value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER) },
  base64: { what: 'base64 text', holds: (value) => typeof value === 'string' && isBase64(value) },
  Time: { what: 'a time such as "2026-01-31T12:00:00Z"', holds: isTime },
  MicroTime: { what: 'a time such as "2026-01-31T12:00:00.000000Z"', holds: isTime },
  Duration: {
    what: 'a span of time such as "1m30s"',
    holds: (value) => typeof value === 'string' && parseDuration(value) !== undefined,
  },
  Quantity: {
    what: 'a quantity such as "250m" or 2',
    holds: (value) => typeof value === 'string' || typeof value === 'number',
  },
  IntOrString: {
    what: 'an integer or a string',
    holds: (value) => typeof value === 'string' || isWithin(value, -(2 ** 31), 2 ** 31 - 1),
  },
  JSONSchemaProps: {
    what: 'a schema',
    holds: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  },
  RawExtension: {
    what: 'an object',
    holds: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  },
  FieldsV1: {
    what: 'an object',
    holds: (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
  },
};

function isTime(value: unknown): boolean {
  return typeof value === 'string' && parseTime(value) !== undefined;
}

/** A value as a person knows it, cut where it is long. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
