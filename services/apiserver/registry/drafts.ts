import { autoscalingV1, fromAutoscalingV1 } from '../../../lib/api/autoscaling-v1.ts';
import { checkFields } from '../../../lib/api/codec/fields.ts';
import { isAbsent, isObject, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { apiVersionOf, type KindInfo } from '../../../lib/api/kinds.ts';
import { ApiError, invalid } from '../../../lib/base/errors.ts';
import { metadataOf } from './core.ts';
import { readCustomDraft } from './custom.ts';
import type { Draft } from './draft.ts';
import { remarksOn } from './remarks.ts';
import type { Kind } from './kinds.ts';
import type { WriteOptions } from './registry.ts';

/**
 * What a client sent as an object of the kind. BadRequest when it is none, or (Strict) has fields that the kind does not
 * know; Invalid when a field has another type. `Ignore` skips that look: the callers know what they send.
 */
export function readDraft(info: Kind, value: unknown, options: WriteOptions): Draft {
  if (info.at !== undefined) return readCustomDraft(info, value, options);
  const { fieldValidation = 'Warn' } = options;
  if (!isObject(value)) throw new ApiError('BadRequest', `a ${info.kind} is a JSON object`);
  const object = inKeptVersion(info, value) as MutableJson;
  const said = [object['apiVersion'], object['kind']];
  const meant = [apiVersionOf(info), info.kind];
  if (said.some((text, i) => !isAbsent(text) && text !== '' && text !== meant[i])) {
    throw new ApiError(
      'BadRequest',
      `the object is of apiVersion ${JSON.stringify(said[0])} and kind ${JSON.stringify(said[1])}; ${info.resource} take ${meant.join(' and ')}`,
    );
  }
  const former = info.resource === 'services' ? readFormerSpelling(object) : [];
  const warnings =
    fieldValidation === 'Ignore'
      ? []
      : [...former, ...checkShape(info, object, fieldValidation === 'Strict'), ...remarksOn(info)];
  object['apiVersion'] = meant[0];
  object['kind'] = meant[1];
  return { object, warnings };
}

/** What other doors take in an older version, too. */
const inKeptVersion = (info: Kind, value: Json): unknown =>
  info.resource === 'horizontalpodautoscalers' && value['apiVersion'] === autoscalingV1
    ? fromAutoscalingV1(value)
    : value;

/** How a Service asked for a load balancer before there were types (F150): read as the type, and said so. */
const formerSpellings = ['createExternalLoadBalancer', 'CreateExternalLoadBalancer'];

function readFormerSpelling(service: MutableJson): readonly string[] {
  const warnings: string[] = [];
  for (const [place, path] of [
    [service, ''],
    [service['spec'], 'spec.'],
  ] as const) {
    if (!isObject(place)) continue;
    for (const field of formerSpellings) {
      const value = place[field];
      if (typeof value !== 'boolean') continue;
      delete (place as MutableJson)[field];
      if (value) service['spec'] = { ...(isObject(service['spec']) ? service['spec'] : {}), type: 'LoadBalancer' };
      warnings.push(
        `${path}${field} is a former spelling; ${value ? 'it was read as spec.type: LoadBalancer' : 'false needs not be said'}`,
      );
    }
  }
  return warnings;
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
