import { parseJson, parseJsonValue } from '../../../lib/api/codec/json.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import { makeKey, type Key } from '../../../lib/api/keys.ts';
import { kinds, type BuiltIn, type KindInfo } from '../../../lib/api/kinds.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { DeleteOptions, Selection, WriteOptions } from '../registry/registry.ts';

/** An object's JSON may be so large (the limit of Kubernetes v1 for a request). */
export const maxObjectBytes = 3 * 1024 * 1024;

/** What a request must know of the kind that it is about. */
export type Place = BuiltIn | Pick<KindInfo, 'resource' | 'namespaced'>;
const placeOf = (place: Place): Pick<KindInfo, 'resource' | 'namespaced'> =>
  typeof place === 'string' ? kinds[place] : place;

/** The key of an object. BadRequest when the name is missing, or the namespace of a kind that needs one. */
export function keyFor(place: Place, namespace: string, name: string): Key {
  const { resource } = placeOf(place);
  if (name === '')
    throw new ApiError('BadRequest', `name is required: which of the ${resource} is meant?`, { resource });
  return makeKey(namespaceFor(place, namespace, true), name);
}

/** The namespace, or undefined for none. BadRequest when it does not fit the kind. */
export function namespaceFor(place: Place, namespace: string, required: boolean): string | undefined {
  const { resource, namespaced } = placeOf(place);
  if (namespaced && required && namespace === '') {
    throw new ApiError('BadRequest', `namespace is required: ${resource} live in namespaces`, { resource });
  }
  if (!namespaced && namespace !== '') {
    throw new ApiError('BadRequest', `namespace ${JSON.stringify(namespace)}: ${resource} live in no namespace`, {
      resource,
    });
  }
  return namespace === '' ? undefined : namespace;
}

/** The selection of a request; empty parts are absent. */
export function selectionFor(place: Place, selection: Partial<Messages['Selection']> | undefined): Selection {
  const namespace = namespaceFor(place, selection?.namespace ?? '', false);
  const { label_selector: labelSelector = '', field_selector: fieldSelector = '' } = selection ?? {};
  return {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === '' ? {} : { labelSelector }),
    ...(fieldSelector === '' ? {} : { fieldSelector }),
  };
}

/** A revision in its text form. BadRequest when it is none. */
export function revisionOf(text: string, field: string): number {
  const revision = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(revision)) return revision;
  throw new ApiError('BadRequest', `${field} ${JSON.stringify(text)} is no revision; use one that the server gave`);
}

const validations = ['Strict', 'Warn', 'Ignore'] as const;

/** The options of a write. BadRequest for a validation that does not exist. */
export function writeOptions(
  request: { readonly dry_run?: boolean; readonly field_validation?: string },
  traceparent: string | undefined,
): WriteOptions & { readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore' } {
  const wanted =
    request.field_validation === undefined || request.field_validation === '' ? 'Warn' : request.field_validation;
  const fieldValidation = validations.find((each) => each === wanted);
  if (fieldValidation === undefined) {
    throw new ApiError('BadRequest', `field_validation ${JSON.stringify(wanted)} is none of ${validations.join(', ')}`);
  }
  return {
    fieldValidation,
    ...(request.dry_run === true ? { dryRun: true } : {}),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/**
 * The JSON of an object or a patch. Members that stand twice are a BadRequest under `Strict` and a warning under `Warn`.
 * RequestEntityTooLarge beyond the limit.
 */
export function readObject(
  bytes: Uint8Array,
  fieldValidation: 'Strict' | 'Warn' | 'Ignore',
): { readonly value: unknown; readonly warnings: readonly string[] } {
  if (bytes.length > maxObjectBytes) {
    throw new ApiError(
      'RequestEntityTooLarge',
      `the object has ${bytes.length} bytes; at most ${maxObjectBytes} are taken`,
    );
  }
  if (bytes.length === 0) throw new ApiError('BadRequest', 'json is empty; an object is expected');
  if (fieldValidation === 'Ignore') return { value: parseJsonValue(bytes), warnings: [] };
  const { value, duplicates } = parseJson(bytes);
  const warnings = duplicates.map((path) => `duplicate field "${path}"`);
  if (fieldValidation === 'Strict' && warnings.length > 0) {
    throw new ApiError('BadRequest', `strict decoding error: ${warnings.join(', ')}`);
  }
  return { value, warnings };
}

/** DeleteOptions in their v1 JSON form. BadRequest for values of the wrong kind. */
export function deleteOptions(value: unknown): DeleteOptions & { readonly dryRun?: boolean } {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value))
    throw new ApiError('BadRequest', 'DeleteOptions must be an object');
  const { gracePeriodSeconds, propagationPolicy, preconditions, dryRun, orphanDependents } = value as Readonly<
    Record<string, unknown>
  >;
  const policy = propagationPolicy ?? policyOf(orphanDependents);
  return {
    ...(isGiven(gracePeriodSeconds) ? { gracePeriodSeconds: seconds(gracePeriodSeconds) } : {}),
    ...(isGiven(policy) ? { propagationPolicy: policyNamed(policy) } : {}),
    ...(isGiven(preconditions) ? { preconditions: preconditionsOf(preconditions) } : {}),
    ...(Array.isArray(dryRun) && dryRun.includes('All') ? { dryRun: true } : {}),
  };
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;

function seconds(value: unknown): number {
  if (Number.isInteger(value) && (value as number) >= 0) return value as number;
  throw new ApiError('BadRequest', `gracePeriodSeconds ${JSON.stringify(value)} must be a whole number from 0`);
}

/** The old spelling of a propagation policy. */
const policyOf = (orphan: unknown): string | undefined => {
  if (typeof orphan !== 'boolean') return undefined;
  return orphan ? 'Orphan' : 'Background';
};

const policies = ['Orphan', 'Background', 'Foreground'] as const;
function policyNamed(value: unknown): (typeof policies)[number] {
  const found = policies.find((policy) => policy === value);
  if (found !== undefined) return found;
  throw new ApiError('BadRequest', `propagationPolicy ${JSON.stringify(value)} is none of ${policies.join(', ')}`);
}

function preconditionsOf(value: unknown): { readonly uid?: string; readonly resourceVersion?: string } {
  const { uid, resourceVersion } = value as Readonly<Record<string, unknown>>;
  return {
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
  };
}
