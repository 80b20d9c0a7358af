import type { FieldCause } from '../../base/errors.ts';
import { isBase64, parseDuration, parseTime } from '../codec/scalars.ts';
import { pathText } from '../codec/json.ts';
import { isObject, sameJson, type Json } from '../json.ts';
import { dnsSubdomain } from '../names.ts';
import { parseIp } from '../net.ts';
import type { CustomSchema } from '../objects.ts';
import { Findings } from '../validation/findings.ts';
import { regexOf } from './pattern.ts';

type Path = (string | number)[];

/**
 * Every rule of its schema that an object breaks (OpenAPI v3, "Schema Object", and the extensions of the Kubernetes API) but
 * those in CEL. Metadata has rules of its own.
 */
export function checkCustom(schema: CustomSchema, object: Json): readonly FieldCause[] {
  const found = new Findings();
  const { metadata: _, ...rest } = object;
  const { metadata: _schema, ...properties } = schema.properties ?? {};
  const required = schema.required?.filter((name) => name !== 'metadata') ?? [];
  new Check(found).value({ ...schema, properties, required }, rest, []);
  return found.causes;
}

class Check {
  readonly #found: Findings;

  constructor(found: Findings) {
    this.#found = found;
  }

  value(schema: CustomSchema, value: unknown, path: Path): void {
    if (value === null && schema.nullable === true) return;
    if (!this.#type(schema, value, path)) return;
    this.#enum(schema, value, path);
    if (typeof value === 'number') this.#number(schema, value, path);
    else if (typeof value === 'string') this.#text(schema, value, path);
    else if (Array.isArray(value)) this.#list(schema, value, path);
    else if (isObject(value)) this.#object(schema, value, path);
    this.#combined(schema, value, path);
  }

  #type(schema: CustomSchema, value: unknown, path: Path): boolean {
    if (schema['x-kubernetes-int-or-string'] === true) {
      if (typeof value === 'string' || Number.isInteger(value)) return true;
      this.#wrong(path, value, 'must be an integer or a string');
      return false;
    }
    const { type } = schema;
    if (type === undefined || type === '' || isOfType(type, value)) return true;
    this.#found.invalid(
      field(path),
      typeName(value),
      `${inBody(path)} must be of type ${type}: ${JSON.stringify(typeName(value))}`,
    );
    return false;
  }

  #enum(schema: CustomSchema, value: unknown, path: Path): void {
    if (schema.enum === undefined || schema.enum.some((each) => sameJson(each, value))) return;
    this.#found.notSupported(
      field(path),
      value,
      schema.enum.map((each) => (typeof each === 'string' ? each : JSON.stringify(each))),
    );
  }

  #number(schema: CustomSchema, value: number, path: Path): void {
    const { minimum, maximum, multipleOf, format } = schema;
    if (minimum !== undefined && (schema.exclusiveMinimum === true ? value <= minimum : value < minimum))
      this.#wrong(
        path,
        value,
        `should be greater than ${schema.exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`,
      );
    if (maximum !== undefined && (schema.exclusiveMaximum === true ? value >= maximum : value > maximum))
      this.#wrong(
        path,
        value,
        `should be less than ${schema.exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`,
      );
    if (multipleOf !== undefined && multipleOf > 0 && !isMultiple(value, multipleOf))
      this.#wrong(path, value, `should be a multiple of ${multipleOf}`);
    if (format === 'int32' && Math.abs(value) > 2 ** 31) this.#wrong(path, value, 'must be an integer of 32 bits');
  }

  #text(schema: CustomSchema, value: string, path: Path): void {
    const { minLength, maxLength, pattern, format } = schema;
    const length = [...value].length;
    if (maxLength !== undefined && length > maxLength)
      this.#found.tooLong(field(path), maxLength, length, 'characters');
    if (minLength !== undefined && length < minLength)
      this.#wrong(path, value, `should be at least ${minLength} chars long`);
    if (pattern !== undefined && regexOf(pattern)?.test(value) === false)
      this.#wrong(path, value, `should match '${pattern}'`);
    const holds = format === undefined || !Object.hasOwn(formats, format) ? undefined : formats[format];
    if (holds !== undefined && !holds(value)) this.#wrong(path, value, `must be of type ${format ?? ''}`);
  }

  #list(schema: CustomSchema, value: readonly unknown[], path: Path): void {
    const { minItems, maxItems, items } = schema;
    if (maxItems !== undefined && value.length > maxItems)
      return this.#wrong(path, value.length, `must have at most ${maxItems} items`);
    if (minItems !== undefined && value.length < minItems)
      this.#wrong(path, value.length, `should have at least ${minItems} items`);
    this.#unique(schema, value, path);
    if (items === undefined) return;
    value.forEach((item, index) => {
      this.#inside(items, item, path, index);
    });
  }

  #unique(schema: CustomSchema, value: readonly unknown[], path: Path): void {
    const kind = schema['x-kubernetes-list-type'];
    if (kind !== 'set' && kind !== 'map') return;
    const keys = schema['x-kubernetes-list-map-keys'] ?? [];
    const seen = new Set<string>();
    value.forEach((item, index) => {
      const id = kind === 'map' && isObject(item) ? keys.map((key) => item[key] ?? null) : item;
      const text = JSON.stringify(id);
      if (seen.has(text)) this.#found.duplicate(field([...path, index]), id);
      seen.add(text);
    });
  }

  #object(schema: CustomSchema, value: Json, path: Path): void {
    const { properties = {}, additionalProperties, required = [], minProperties, maxProperties } = schema;
    const names = Object.keys(value);
    for (const name of required) if (value[name] === undefined) this.#found.required(field([...path, name]));
    if (maxProperties !== undefined && names.length > maxProperties)
      this.#wrong(path, names.length, `must have at most ${maxProperties} properties`);
    if (minProperties !== undefined && names.length < minProperties)
      this.#wrong(path, names.length, `should have at least ${minProperties} properties`);
    if (schema['x-kubernetes-embedded-resource'] === true)
      for (const name of ['apiVersion', 'kind'])
        if (typeof value[name] !== 'string' || value[name] === '')
          this.#found.required(field([...path, name]), 'must not be empty');
    for (const name of names) {
      const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (known !== undefined) this.#inside(known, value[name], path, name);
      else if (isObject(additionalProperties)) this.#inside(additionalProperties, value[name], path, name);
    }
  }

  #combined(schema: CustomSchema, value: unknown, path: Path): void {
    for (const each of schema.allOf ?? []) this.value(each, value, path);
    const { anyOf, oneOf, not } = schema;
    if (anyOf !== undefined && !anyOf.some((each) => holds(each, value)))
      this.#wrong(path, shownWhole(value), 'must validate at least one schema (anyOf)');
    if (oneOf !== undefined) {
      const count = oneOf.filter((each) => holds(each, value)).length;
      if (count !== 1)
        this.#wrong(
          path,
          shownWhole(value),
          `must validate one and only one schema (oneOf). Found ${count === 0 ? 'none' : count} valid alternatives`,
        );
    }
    if (not !== undefined && holds(not, value))
      this.#wrong(path, shownWhole(value), 'must not validate the schema (not)');
  }

  #inside(schema: CustomSchema, value: unknown, path: Path, step: string | number): void {
    path.push(step);
    this.value(schema, value, path);
    path.pop();
  }

  #wrong(path: Path, value: unknown, rule: string): void {
    this.#found.invalid(field(path), value, `${inBody(path)} ${rule}`);
  }
}

const field = (path: Path): string => (path.length === 0 ? '<nil>' : pathText(path));
const inBody = (path: Path): string => (path.length === 0 ? 'the object' : `${pathText(path)} in body`);
const shownWhole = (value: unknown): unknown => (isObject(value) || Array.isArray(value) ? typeName(value) : value);

function holds(schema: CustomSchema, value: unknown): boolean {
  const found = new Findings();
  new Check(found).value(schema, value, []);
  return found.causes.length === 0;
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value);
    case 'null':
      return value === null;
    default:
      return typeof value === type;
  }
}

const typeName = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;

function isMultiple(value: number, of: number): boolean {
  const quotient = value / of;
  return Math.abs(quotient - Math.round(quotient)) < 1e-9;
}

const formats: Readonly<Record<string, (text: string) => boolean>> = {
  'date-time': (text) => parseTime(text) !== undefined,
  date: (text) => /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(text)),
  duration: (text) => parseDuration(text) !== undefined,
  byte: isBase64,
  ipv4: (text) => parseIp(text) !== undefined,
  hostname: (text) => dnsSubdomain(text.toLowerCase()) === undefined,
  email: (text) => /^[^@\s]+@[^@\s]+$/.test(text),
  uuid: (text) => /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(text),
  uri: (text) => /^[a-z][a-z0-9+.-]*:\S+$/i.test(text) || text.startsWith('/'),
};
