import { Environment } from '@marcbachmann/cel-js';
import { parseTime } from '../../../lib/api/codec/scalars.ts';
import { isObject, sameJson } from '../../../lib/api/json.ts';
import type { CustomSchema } from '../../../lib/api/objects.ts';
import { nameInRules } from './names.ts';

/** How rules see the values of a schema: whole numbers, times and amounts of time have types of their own in the language. */
export interface Shape {
  /** In the words of the language. */
  readonly type: string;
  /** A JSON value that has passed the schema, as rules see it. */
  readonly read: (value: unknown) => unknown;
}

/** Null is there only where the schema lets it be: it is the same for all types. */
const readAny = ({ read }: Shape, value: unknown): unknown => (value === null ? null : read(value));

/** Objects whose members are not known: what they hold is seen as it is. */
const anything: Shape = { type: 'dyn', read: loosely };

function loosely(value: unknown): unknown {
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(loosely);
  return isObject(value) ? new Map(Object.entries(value).map(([name, each]) => [name, loosely(each)])) : value;
}

const text: Shape = { type: 'string', read: (value) => value };
const time: Shape = {
  type: 'google.protobuf.Timestamp',
  read: (value) => new Date((parseTime(String(value))?.seconds ?? NaN) * 1000),
};
const scalars: Readonly<Record<string, Shape>> = {
  integer: { type: 'int', read: (value) => BigInt(value as number) },
  number: { type: 'double', read: (value) => value },
  boolean: { type: 'bool', read: (value) => value },
  string: text,
};
/** The library has no other way to make one. */
const asDuration = new Environment().registerVariable('value', 'string').parse('duration(value)');
const formats: Readonly<Record<string, Shape>> = {
  'date-time': time,
  date: { ...time, read: (value) => new Date(String(value)) },
  byte: { type: 'bytes', read: (value) => Uint8Array.from(Buffer.from(String(value), 'base64')) },
  duration: {
    type: 'google.protobuf.Duration',
    read: (value): unknown => asDuration({ value }),
  },
};

const whole: CustomSchema = {
  type: 'object',
  properties: {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: { type: 'object', properties: { name: { type: 'string' }, generateName: { type: 'string' } } },
  },
};
/** A whole object of the API: of its metadata, rules see the name alone. */
const isWhole = (schema: CustomSchema, isRoot: boolean): boolean =>
  isRoot || schema['x-kubernetes-embedded-resource'] === true;

/** Makes the shapes of one schema, and gives the types of its objects to the language. */
export class Shapes {
  readonly #language: Environment;
  #types = 0;
  /** What objects were read from, by which they are the same or not. */
  readonly #read = new WeakMap<object, unknown>();

  constructor(language: Environment) {
    this.#language = language;
  }

  of(schema: CustomSchema, isRoot = false): Shape {
    if (schema['x-kubernetes-int-or-string'] === true) return anything;
    const { type = '', format = '', items, additionalProperties, properties } = schema;
    if (type === 'array') {
      const each = items === undefined ? anything : this.of(items);
      return {
        type: `list<${each.type}>`,
        read: (value) => (value as readonly unknown[]).map((item) => readAny(each, item)),
      };
    }
    if (type !== 'object') return (type === 'string' ? formats[format] : undefined) ?? scalars[type] ?? anything;
    if (isObject(additionalProperties)) return this.#map(this.of(additionalProperties));
    if (properties === undefined && !isWhole(schema, isRoot)) return anything;
    return this.#object({ ...properties, ...(isWhole(schema, isRoot) && whole.properties) });
  }

  #map(each: Shape): Shape {
    return {
      type: `map<string, ${each.type}>`,
      read: (value) =>
        new Map(Object.entries(value as object).map(([key, member]) => [key, readAny(each, member)] as const)),
    };
  }

  #object(properties: Readonly<Record<string, CustomSchema>>): Shape {
    const members = Object.entries(properties).flatMap(([property, schema]) => {
      const name = nameInRules(property);
      return name === undefined ? [] : [{ property, name, shape: this.of(schema) }];
    });
    const type = `Object${++this.#types}`;
    /** The library tells types apart by their classes. */
    class Members {
      [name: string]: unknown;
    }
    const fields = Object.fromEntries(members.map(({ name, shape }) => [name, shape.type]));
    this.#language.registerType(type, { ctor: Members, fields });
    this.#language.registerOperator(`${type} == ${type}`, (a: object, b: object) =>
      sameJson(this.#read.get(a), this.#read.get(b)),
    );
    return {
      type,
      read: (value) => {
        const object = new Members();
        this.#read.set(object, value);
        for (const { property, name, shape } of members) {
          const member = (value as Readonly<Record<string, unknown>>)[property];
          if (member !== undefined && member !== null) object[name] = shape.read(member);
        }
        return object;
      },
    };
  }
}
