import { checkFields } from '../../../lib/api/codec/fields.ts';
import { isAbsent, isObject, type MutableJson } from '../../../lib/api/json.ts';
import { apiVersionOf, type KindInfo } from '../../../lib/api/kinds.ts';
import { ApiError, invalid } from '../../../lib/base/errors.ts';
import { metadataOf } from './core.ts';
import type { WriteOptions } from './registry.ts';

export interface Draft {
  readonly object: MutableJson;
  readonly warnings: readonly string[];
}

/**
 * What a client sent as an object of the kind. BadRequest when it is none, or (Strict) has fields that the kind does not
 * know; Invalid when a field has another type. `Ignore` skips that look: the callers know what they send.
 */
export function readDraft(info: KindInfo, value: unknown, { fieldValidation = 'Warn' }: WriteOptions): Draft {
  if (!isObject(value)) throw new ApiError('BadRequest', `a ${info.kind} is a JSON object`);
  const object = value as MutableJson;
  const said = [object['apiVersion'], object['kind']];
  const meant = [apiVersionOf(info), info.kind];
  if (said.some((text, i) => !isAbsent(text) && text !== '' && text !== meant[i])) {
    throw new ApiError(
      'BadRequest',
      `the object is of apiVersion ${JSON.stringify(said[0])} and kind ${JSON.stringify(said[1])}; ${info.resource} take ${meant.join(' and ')}`,
    );
  }
  const warnings = fieldValidation === 'Ignore' ? [] : checkShape(info, object, fieldValidation === 'Strict');
  object['apiVersion'] = meant[0];
  object['kind'] = meant[1];
  return { object, warnings };
}

function checkShape(info: KindInfo, object: MutableJson, strict: boolean): readonly string[] {
  const { unknown, causes } = checkFields(info.kind, object);
  const name = nameIn(object);
  const warnings = unknown.map((path) => `unknown field "${path}"`);
  if (strict && warnings.length > 0) {
    throw new ApiError('BadRequest', `strict decoding error: ${warnings.join(', ')}`, {
      resource: info.resource,
      name,
    });
  }
  if (causes.length > 0) throw invalid(info.kind, name, causes);
  return warnings;
}

/** The object's name for a message, or what its name will begin with. */
export function nameIn(object: MutableJson): string {
  const { name, generateName } = metadataOf(object);
  if (typeof name === 'string' && name !== '') return name;
  return typeof generateName === 'string' ? generateName : '';
}

/** The revision that an object names as the one it was made from; undefined when it names none. BadRequest when it is no number. */
export function expectedRevision(object: MutableJson): number | undefined {
  const text = metadataOf(object)['resourceVersion'];
  if (isAbsent(text) || text === '') return undefined;
  if (typeof text === 'string' && /^\d{1,16}$/.test(text)) return Number(text);
  throw new ApiError('BadRequest', `metadata.resourceVersion ${JSON.stringify(text)} is none that this server gave`);
}
