import type { ErrorDetails, FieldCause, Reason } from '../../base/errors.ts';
import { ApiError, messageOf } from '../../base/errors.ts';

/** Errors as the Status object of Kubernetes v1 (API conventions, "Response Status Kind"). */
export interface Status {
  readonly apiVersion: 'v1';
  readonly kind: 'Status';
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason: Reason;
  readonly details?: StatusDetails;
  /** The HTTP status. */
  readonly code: number;
}
export interface StatusDetails {
  readonly name?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly FieldCause[];
  readonly retryAfterSeconds?: number;
}

const httpCodes: Readonly<Record<Reason, number>> = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
};

const reasons = new Set<string>(Object.keys(httpCodes));
/** Whether a text is one of our reasons, such as Conflict. */
export const isReason = (text: string): text is Reason => reasons.has(text);

/** Any error as a Status; what is no ApiError is InternalError. */
export function toStatusObject(error: unknown): Status {
  const known = error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error));
  const details = toStatusDetails(known.details);
  return {
    apiVersion: 'v1',
    kind: 'Status',
    metadata: {},
    status: 'Failure',
    message: known.message,
    reason: known.reason,
    ...(Object.keys(details).length === 0 ? {} : { details }),
    code: httpCodes[known.reason],
  };
}

export function toStatusDetails({ resource, ...rest }: ErrorDetails): StatusDetails {
  return resource === undefined ? rest : { kind: resource, ...rest };
}

export function fromStatusDetails({ kind, ...rest }: StatusDetails): ErrorDetails {
  return kind === undefined ? rest : { resource: kind, ...rest };
}
