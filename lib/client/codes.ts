import { Metadata, status, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { ApiError, messageOf, type ErrorDetails, type FieldCause, type Reason } from '../base/errors.ts';
import { decodeMessage, encodeMessage } from '../api/codec/message.ts';
import { isReason } from '../api/codec/status.ts';

/**
 * Errors on the gRPC wire, both ways and in one place: a reason is a status code plus `google.rpc.ErrorInfo` with the reason itself, so that nothing
 * is lost between a server and a client of ours; broken field rules are `google.rpc.BadRequest`, a time to wait is `google.rpc.RetryInfo`.
 */
const codeOf: Readonly<Record<Reason, status>> = {
  BadRequest: status.INVALID_ARGUMENT,
  Unauthorized: status.UNAUTHENTICATED,
  Forbidden: status.PERMISSION_DENIED,
  NotFound: status.NOT_FOUND,
  MethodNotAllowed: status.UNIMPLEMENTED,
  NotAcceptable: status.INVALID_ARGUMENT,
  AlreadyExists: status.ALREADY_EXISTS,
  Conflict: status.ABORTED,
  Expired: status.OUT_OF_RANGE,
  RequestEntityTooLarge: status.RESOURCE_EXHAUSTED,
  UnsupportedMediaType: status.INVALID_ARGUMENT,
  Invalid: status.INVALID_ARGUMENT,
  TooManyRequests: status.RESOURCE_EXHAUSTED,
  InternalError: status.INTERNAL,
  ServiceUnavailable: status.UNAVAILABLE,
  Timeout: status.DEADLINE_EXCEEDED,
};

/** What a code means where no ErrorInfo says it: the answer of a proxy, of the library itself, or of no server at all. */
const reasonOf: Readonly<Record<status, Reason>> = {
  [status.OK]: 'InternalError',
  [status.CANCELLED]: 'ServiceUnavailable',
  [status.UNKNOWN]: 'InternalError',
  [status.INVALID_ARGUMENT]: 'BadRequest',
  [status.DEADLINE_EXCEEDED]: 'Timeout',
  [status.NOT_FOUND]: 'NotFound',
  [status.ALREADY_EXISTS]: 'AlreadyExists',
  [status.PERMISSION_DENIED]: 'Forbidden',
  [status.RESOURCE_EXHAUSTED]: 'RequestEntityTooLarge',
  [status.FAILED_PRECONDITION]: 'Conflict',
  [status.ABORTED]: 'Conflict',
  [status.OUT_OF_RANGE]: 'Expired',
  [status.UNIMPLEMENTED]: 'MethodNotAllowed',
  [status.INTERNAL]: 'InternalError',
  [status.UNAVAILABLE]: 'ServiceUnavailable',
  [status.DATA_LOSS]: 'InternalError',
  [status.UNAUTHENTICATED]: 'Unauthorized',
};

const domain = 'troupe.dev';
const detailsKey = 'grpc-status-details-bin';
const typePrefix = 'type.googleapis.com/';
/** Trailing metadata travel in HTTP/2 headers, which peers limit to 8 to 16 KiB. */
const maxDetailBytes = 6_000;

/** The status that tells a client of this error. What is no ApiError is InternalError. */
export function toStatus(error: unknown): Pick<StatusObject, 'code' | 'details' | 'metadata'> {
  const known = error instanceof ApiError ? error : new ApiError('InternalError', messageOf(error));
  const code = codeOf[known.reason];
  const metadata = new Metadata();
  const message = known.message.length > 2_000 ? `${known.message.slice(0, 2_000)}…` : known.message;
  metadata.set(detailsKey, statusDetails(code, known, message));
  return { code, details: message, metadata };
}

function statusDetails(code: status, error: ApiError, message: string): Buffer {
  const { resource, name, uid, causes = [], retryAfterSeconds } = error.details;
  const info = encodeMessage('google.rpc.ErrorInfo', {
    reason: error.reason,
    domain,
    metadata: {
      ...(resource === undefined ? {} : { resource }),
      ...(name === undefined ? {} : { name }),
      ...(uid === undefined ? {} : { uid }),
    },
  });
  const details = [{ type_url: `${typePrefix}google.rpc.ErrorInfo`, value: info }];
  if (causes.length > 0) {
    details.push({ type_url: `${typePrefix}google.rpc.BadRequest`, value: encodeViolations(causes) });
  }
  if (retryAfterSeconds !== undefined) {
    const value = encodeMessage('google.rpc.RetryInfo', { retry_delay: { seconds: retryAfterSeconds, nanos: 0 } });
    details.push({ type_url: `${typePrefix}google.rpc.RetryInfo`, value });
  }
  return encodeMessage('google.rpc.Status', { code, message, details });
}

/** As many violations as fit; the message has them all. */
function encodeViolations(causes: readonly FieldCause[]): Buffer {
  const fit: { field: string; description: string; reason: string }[] = [];
  let bytes = 0;
  for (const { field, message, reason } of causes) {
    bytes += field.length + message.length + reason.length + 16;
    if (bytes > maxDetailBytes) break;
    fit.push({ field, description: message, reason });
  }
  return encodeMessage('google.rpc.BadRequest', { field_violations: fit });
}

/** The error that a failed call stands for. What carries no details of ours gets the reason that its code suggests. */
export function fromStatus(error: Pick<ServiceError, 'code' | 'details' | 'metadata'>): ApiError {
  const found = readDetails(error.metadata);
  const reason = found?.reason ?? reasonOf[error.code] ?? 'InternalError';
  return new ApiError(reason, error.details === '' ? status[error.code] : error.details, found?.details, {
    cause: error,
  });
}

function readDetails(
  metadata: Metadata,
): { readonly reason: Reason | undefined; readonly details: ErrorDetails } | undefined {
  const [bytes] = metadata.get(detailsKey);
  if (!(bytes instanceof Buffer)) return undefined;
  try {
    const { details } = decodeMessage('google.rpc.Status', bytes);
    let reason: Reason | undefined;
    let known: ErrorDetails = {};
    for (const { type_url, value } of details) {
      if (type_url === `${typePrefix}google.rpc.ErrorInfo`) {
        const info = decodeMessage('google.rpc.ErrorInfo', value);
        if (info.domain === domain && isReason(info.reason)) reason = info.reason;
        const { resource, name, uid } = info.metadata;
        known = { ...known, ...pick({ resource, name, uid }) };
      } else if (type_url === `${typePrefix}google.rpc.BadRequest`) {
        const violations = decodeMessage('google.rpc.BadRequest', value).field_violations;
        known = { ...known, causes: violations.map(toCause) };
      } else if (type_url === `${typePrefix}google.rpc.RetryInfo`) {
        const delay = decodeMessage('google.rpc.RetryInfo', value).retry_delay;
        if (delay !== undefined) known = { ...known, retryAfterSeconds: delay.seconds };
      }
    }
    return { reason, details: known };
  } catch {
    return undefined; // details of another make: the code has to do
  }
}

const toCause = (violation: { field: string; description: string; reason: string }): FieldCause => ({
  field: violation.field,
  message: violation.description,
  reason: violation.reason as FieldCause['reason'],
});

const pick = (details: {
  resource?: string | undefined;
  name?: string | undefined;
  uid?: string | undefined;
}): ErrorDetails => Object.fromEntries(Object.entries(details).filter(([, value]) => value !== undefined));
