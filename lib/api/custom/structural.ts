import { isObject, type Json } from '../json.ts';
import type { Findings } from '../validation/findings.ts';
import { regexOf } from './pattern.ts';

/** What JSON Schema has and a structural schema must not (Kubernetes API, "Specifying a structural schema"). */
const refused = ['$ref', 'definitions', 'dependencies', 'patternProperties', 'additionalItems', 'id', 'deprecated'];
const types = ['object', 'array', 'string', 'integer', 'number', 'boolean'];
/** Within allOf, anyOf, oneOf and not, rules may be said but no shape. */
const shaping = [
  ...['type', 'default', 'nullable', 'title', 'description', 'additionalProperties'],
  ...['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string'],
  'x-kubernetes-validations',
];
const maxDepth = 64;

/** Says what keeps a schema from telling the shape of every value: without that nothing could be pruned, defaulted or explained. */
export function checkStructural(found: Findings, at: string, schema: Json): void {
  if (schema['type'] !== 'object') found.invalid(`${at}.type`, schema['type'] ?? '', 'must be object at the root');
  if (schema['x-kubernetes-preserve-unknown-fields'] === true && schema['properties'] === undefined) return;
  walk(found, at, schema, { depth: 0, isRule: false });
}

interface Where {
  readonly depth: number;
  /** Inside of allOf and the like. */
  readonly isRule: boolean;
}

function walk(found: Findings, at: string, schema: Json, { depth, isRule }: Where): void {
  if (depth > maxDepth) return found.forbidden(at, `schemas may not be more than ${maxDepth} levels deep`);
  for (const name of refused)
    if (schema[name] !== undefined) found.forbidden(`${at}.${name}`, `${name} is not supported`);
  if (schema['uniqueItems'] === true)
    found.forbidden(
      `${at}.uniqueItems`,
      'uniqueItems cannot be set to true since the runtime complexity becomes quadratic',
    );
  const type = schema['type'];
  const isLoose =
    schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true;
  if (isRule) checkRule(found, at, schema, isLoose);
  else if (type === undefined || type === '') {
    if (!isLoose) found.required(`${at}.type`, 'must not be empty for specified object fields');
  } else if (typeof type !== 'string' || !types.includes(type)) found.notSupported(`${at}.type`, type, types);
  const { pattern } = schema;
  if (typeof pattern === 'string' && regexOf(pattern) === undefined)
    found.invalid(`${at}.pattern`, pattern, 'must be a valid regular expression');
  const inner = { depth: depth + 1, isRule };
  const { properties, additionalProperties, items } = schema;
  if (isObject(properties)) {
    if (isObject(additionalProperties) || additionalProperties === true)
      found.forbidden(`${at}.additionalProperties`, 'additionalProperties and properties are mutual exclusive');
    for (const [name, member] of Object.entries(properties))
      if (isObject(member)) walk(found, `${at}.properties[${name}]`, member, inner);
  }
  if (isObject(additionalProperties)) walk(found, `${at}.additionalProperties`, additionalProperties, inner);
  if (Array.isArray(items)) found.forbidden(`${at}.items`, 'items must be a schema object and not an array');
  else if (isObject(items)) walk(found, `${at}.items`, items, inner);
  else if (type === 'array' && !isRule) found.required(`${at}.items`, 'must be specified');
  checkList(found, at, schema);
  for (const rule of ['allOf', 'anyOf', 'oneOf']) {
    const list = schema[rule];
    if (!Array.isArray(list)) continue;
    list.forEach((each, index) => {
      if (isObject(each)) walk(found, `${at}.${rule}[${index}]`, each, { depth: depth + 1, isRule: true });
    });
  }
  if (isObject(schema['not'])) walk(found, `${at}.not`, schema['not'], { depth: depth + 1, isRule: true });
}

/** Integers or strings are often written out as two alternatives beside `x-kubernetes-int-or-string`: that stays allowed. */
function checkRule(found: Findings, at: string, schema: Json, isLoose: boolean): void {
  for (const name of shaping) {
    if (schema[name] === undefined || isLoose) continue;
    if (name === 'type' && (schema['type'] === 'integer' || schema['type'] === 'string')) continue;
    found.forbidden(`${at}.${name}`, 'must be undefined to be structural');
  }
}

function checkList(found: Findings, at: string, schema: Json): void {
  const kind = schema['x-kubernetes-list-type'];
  if (kind === undefined) return;
  const field = `${at}.x-kubernetes-list-type`;
  found.oneOf(field, kind, ['atomic', 'set', 'map']);
  if (schema['type'] !== 'array')
    found.invalid(`${at}.type`, schema['type'] ?? '', `must be array if x-kubernetes-list-type is specified`);
  if (kind !== 'map') return;
  const keys = schema['x-kubernetes-list-map-keys'];
  if (!Array.isArray(keys) || keys.length === 0)
    found.required(`${at}.x-kubernetes-list-map-keys`, 'must not be empty if x-kubernetes-list-type is map');
}
