import { parse as parseYaml } from 'yaml';
import { autoscalingV1 } from '../../../lib/api/autoscaling-v1.ts';
import { decodeEnvelope, isEnvelope } from '../../../lib/api/codec/envelope.ts';
import { decodeObject } from '../../../lib/api/codec/message.ts';
import { messageOfKind } from '../../../lib/api/codec/schema.ts';
import { isObject } from '../../../lib/api/json.ts';
import { ApiError, messageOf } from '../../../lib/base/errors.ts';
import { readObject } from '../door/requests.ts';
import type { RestRequest } from './message.ts';

export interface Body {
  readonly value: unknown;
  readonly warnings: readonly string[];
}

const protobufType = 'application/vnd.kubernetes.protobuf';

/** The media type of a request, in lower case and without parameters; empty when it says none. */
export const typeOfBody = (request: RestRequest): string =>
  (request.header('content-type') ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/**
 * The object that a request brings, as JSON, YAML or the protobuf of Kubernetes v1. Undefined when the body is empty.
 * UnsupportedMediaType for anything else.
 */
export async function readBody(
  request: RestRequest,
  fieldValidation: 'Strict' | 'Warn' | 'Ignore',
): Promise<Body | undefined> {
  const bytes = await request.body();
  if (bytes.length === 0) return undefined;
  const type = typeOfBody(request);
  switch (type) {
    case '':
    case 'application/json':
      return readObject(bytes, fieldValidation);
    case 'application/yaml':
      return { value: fromYaml(bytes), warnings: [] };
    case protobufType:
      return readProtobuf(bytes, fieldValidation);
    default:
      throw new ApiError(
        'UnsupportedMediaType',
        `the body is of the type ${JSON.stringify(type)}; application/json, application/yaml and ${protobufType} are taken`,
      );
  }
}

/** As `readBody`, where there must be one. BadRequest without. */
export async function requireBody(request: RestRequest, fieldValidation: 'Strict' | 'Warn' | 'Ignore'): Promise<Body> {
  const body = await readBody(request, fieldValidation);
  if (body === undefined) throw new ApiError('BadRequest', 'the request has no body; an object is expected');
  return body;
}

export function fromYaml(bytes: Buffer): unknown {
  try {
    // What JSON has is all there is: no dates, and no names for things said before without end.
    return parseYaml(bytes.toString('utf8'), { schema: 'core', maxAliasCount: 100, uniqueKeys: true });
  } catch (error) {
    throw new ApiError('BadRequest', `not valid YAML: ${messageOf(error)}`);
  }
}

/** The envelope names the kind; within it is that kind's message, or its JSON. */
function readProtobuf(bytes: Buffer, fieldValidation: 'Strict' | 'Warn' | 'Ignore'): Body {
  if (!isEnvelope(bytes))
    throw new ApiError('BadRequest', 'the body does not begin like a Kubernetes protobuf message');
  const { apiVersion, kind, raw, contentType } = decodeEnvelope(bytes);
  if (contentType === 'application/json') return readObject(raw, fieldValidation);
  if (messageOfKind(kind) === undefined)
    throw new ApiError('UnsupportedMediaType', `no protobuf form of ${apiVersion} ${kind} is known here; send JSON`);
  const form =
    `${apiVersion} ${kind}` === `${autoscalingV1} HorizontalPodAutoscaler` ? 'HorizontalPodAutoscalerV1' : kind;
  return { value: { ...(withoutUnsaid(decodeObject(form, raw)) as object), apiVersion, kind }, warnings: [] };
}

/** Texts that mean something when they are empty. */
const meantEmpty: ReadonlySet<string> = new Set(['storageClassName', 'volumeName']);

/** Flags and numbers that Kubernetes' messages cannot leave out: false or 0 there is what JSON does not say. Others have presence, and mean it. */
const alwaysWritten: ReadonlySet<string> = new Set([
  ...['generation', 'minReadySeconds', 'paused', 'unschedulable', 'globalDefault'],
  ...['hostNetwork', 'hostPID', 'hostIPC', 'stdin', 'stdinOnce', 'tty', 'readOnly', 'hostPort'],
  ...['initialDelaySeconds', 'timeoutSeconds', 'periodSeconds', 'successThreshold', 'failureThreshold'],
  ...['nodePort', 'healthCheckNodePort', 'publishNotReadyAddresses'],
]);

const isUnsaid = (name: string, value: unknown): boolean =>
  value === '' ? !meantEmpty.has(name) : (value === false || value === 0) && alwaysWritten.has(name);

/**
 * Clients write each text that has no value as an empty one, and some flags and numbers as false and 0, where JSON leaves them out: the same object has
 * to be the same whichever way it came.
 */
function withoutUnsaid(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUnsaid);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name, member]) => !isUnsaid(name, member))
      .map(([name, member]) => [name, withoutUnsaid(member)]),
  );
}
