/**
 * The reasons a request can fail, spelled as in the `reason` of a Kubernetes v1 Status
 * (API conventions, "Error codes"). `codes.ts` of each door maps them to its own numbers.
 */
export type Reason =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'MethodNotAllowed'
  | 'NotAcceptable'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Expired'
  | 'RequestEntityTooLarge'
  | 'UnsupportedMediaType'
  | 'Invalid'
  | 'TooManyRequests'
  | 'InternalError'
  | 'ServiceUnavailable'
  | 'Timeout';

/** One rule that one field broke. `field` is a JSON path such as `spec.containers[0].name`. */
export interface FieldCause {
  readonly field: string;
  readonly reason:
    | 'FieldValueRequired'
    | 'FieldValueInvalid'
    | 'FieldValueDuplicate'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueNotFound'
    | 'FieldValueTooLong'
    | 'FieldValueTypeInvalid'
    | 'FieldManagerConflict'
    | 'DisruptionBudget';
  readonly message: string;
}

export interface ErrorDetails {
  /** The resource in question, such as `pods`, and the object's name. */
  readonly resource?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly causes?: readonly FieldCause[];
  readonly retryAfterSeconds?: number;
}

/** The one error type that crosses an interface of ours. The message is for a person: what, which field, which value, which rule. */
export class ApiError extends Error {
  readonly reason: Reason;
  readonly details: ErrorDetails;

  constructor(reason: Reason, message: string, details: ErrorDetails = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApiError';
    this.reason = reason;
    this.details = details;
  }
}

export const notFound = (resource: string, name: string): ApiError =>
  new ApiError('NotFound', `${resource} "${name}" not found`, { resource, name });

export const alreadyExists = (resource: string, name: string): ApiError =>
  new ApiError('AlreadyExists', `${resource} "${name}" already exists`, { resource, name });

export const conflict = (resource: string, name: string, why?: string): ApiError =>
  new ApiError(
    'Conflict',
    `Operation cannot be fulfilled on ${resource} "${name}": ${why ?? 'the object has been modified; please apply your changes to the latest version and try again'}`,
    { resource, name },
  );

/** 422: all broken rules at once, so that a person mends a manifest in one go. */
export function invalid(kind: string, name: string, causes: readonly FieldCause[]): ApiError {
  const list = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const text = list.length === 1 ? (list[0] ?? '') : `[${list.join(', ')}]`;
  return new ApiError('Invalid', `${kind} "${name}" is invalid: ${text}`, { resource: kind, name, causes });
}

export const isApiError = (error: unknown): error is ApiError => error instanceof ApiError;
export const hasReason = (error: unknown, ...reasons: Reason[]): boolean =>
  isApiError(error) && reasons.includes(error.reason);

/** Whether the same request may succeed later without being changed. A Conflict is not: read again first. */
export const isRetryable = (error: unknown): boolean =>
  hasReason(error, 'ServiceUnavailable', 'Timeout', 'TooManyRequests', 'InternalError');

/** Resolves to undefined where the object is already gone, which is what a deletion wanted. */
export async function ignoreNotFound<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (hasReason(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** The message of anything thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
