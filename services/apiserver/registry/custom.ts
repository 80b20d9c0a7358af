import { checkCustom } from '../../../lib/api/custom/check.ts';
import { defaultCustom, pruneCustom } from '../../../lib/api/custom/prune.ts';
import { checkMembers } from '../../../lib/api/codec/fields.ts';
import { dropNulls } from '../../../lib/api/defaults/fill.ts';
import { isAbsent, isObject, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { storageApiVersion, versionIn, type CustomKind } from '../../../lib/api/custom/kind.ts';
import { validateCustomMetadata } from '../../../lib/api/validation/index.ts';
import { ApiError, invalid, type FieldCause } from '../../../lib/base/errors.ts';
import { brokenRules } from '../rules/rules.ts';
import type { Draft } from './draft.ts';
import type { WriteOptions } from './registry.ts';

/** What the rules of built-in kinds are for those that users defined: their schemas say it all. */

/** As `readDraft`: what the schema does not know is dropped, and told. The object is put into the version of the store, which changes nothing else. */
export function readCustomDraft(kind: CustomKind, value: unknown, { fieldValidation = 'Warn' }: WriteOptions): Draft {
  if (!isObject(value)) throw new ApiError('BadRequest', `a ${kind.kind} is a JSON object`);
  const object = value as MutableJson;
  const said = object['apiVersion'];
  const isSaid = !isAbsent(said) && said !== '';
  const isRightKind = isAbsent(object['kind']) || object['kind'] === '' || object['kind'] === kind.kind;
  if (!isRightKind || (isSaid && said !== storageApiVersion(kind) && versionIn(kind, object) === undefined))
    throw new ApiError(
      'BadRequest',
      `the object is of apiVersion ${JSON.stringify(said)} and kind ${JSON.stringify(object['kind'])}; ${kind.resource} take ${kind.kind} in ${kind.versions.map(({ name }) => `${kind.group}/${name}`).join(', ')}`,
    );
  object['apiVersion'] = storageApiVersion(kind);
  object['kind'] = kind.kind;
  const { schema = {} } = kind.at;
  const metadata = checkMembers('CustomObject', object);
  const name = nameOf(object);
  const unknown = [...metadata.unknown, ...pruneCustom(schema.openAPIV3Schema ?? open, object)];
  const warnings = fieldValidation === 'Ignore' ? [] : unknown.map((path) => `unknown field "${path}"`);
  if (fieldValidation === 'Strict' && warnings.length > 0)
    throw new ApiError('BadRequest', `strict decoding error: ${warnings.join(', ')}`, {
      resource: kind.resource,
      name,
    });
  if (metadata.causes.length > 0) throw invalid(kind.kind, name, metadata.causes);
  const { deprecated, deprecationWarning, name: version } = kind.at;
  if (deprecated === true) warnings.push(deprecationWarning ?? `${kind.group}/${version} ${kind.kind} is deprecated`);
  return { object, warnings };
}

/** A definition without a schema says nothing, and so refuses nothing. */
const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } as const;

const nameOf = (object: Json): string => {
  const { metadata } = object;
  return isObject(metadata) && typeof metadata['name'] === 'string' ? metadata['name'] : '';
};

/** Defaults, in place. A null means something here where the schema says so; in metadata it never does. */
export function defaultCustomObject(kind: CustomKind, object: MutableJson): void {
  dropNulls(object['metadata']);
  if (!isObject(object['metadata'])) object['metadata'] = {};
  const schema = kind.at.schema?.openAPIV3Schema;
  if (schema !== undefined) defaultCustom(schema, object);
}

/**
 * Every broken rule of metadata and of the schema; then, of an object that its schema takes, every broken rule that the definition has in CEL.
 * `before` is what those compare it with: default the previous object.
 */
export function validateCustom(
  kind: CustomKind,
  next: Json,
  previous: Json | undefined,
  before = previous,
): readonly FieldCause[] {
  const schema = kind.at.schema?.openAPIV3Schema;
  const causes = [
    ...validateCustomMetadata(kind.namespaced, next, previous),
    ...(schema === undefined ? [] : checkCustom(schema, next)),
  ];
  return causes.length > 0 ? causes : brokenRules(kind, next, before);
}
