import { parseJson } from '../../../lib/api/codec/json.ts';
import { isObject } from '../../../lib/api/json.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Identity } from './identities.ts';

/** What a call is about: as much as the rule below needs of any request. */
interface Asked {
  readonly resource?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly subresource?: string;
  /** JSON text. */
  readonly patch?: string;
  readonly objects?: readonly Asked[];
  readonly operations?: readonly (Asked & { readonly verb: string; readonly json: Uint8Array })[];
}

/**
 * What a pod may do with its token, until there are rules to say otherwise: read itself, and change its own annotations (F68). Throws
 * Forbidden for all else. `method` is `<service>/<method>`.
 */
export function checkAccess(identity: Identity, method: string, request: object): void {
  const asked = request as Asked;
  const isOwn = ({ namespace, name, subresource = '' }: Asked): boolean =>
    namespace === identity.namespace && name === identity.pod.name && subresource === '';
  switch (method) {
    case 'grpc.health.v1.Health/Check':
      return;
    case 'troupe.v1.Pods/Get':
      if (isOwn(asked)) return;
      break;
    case 'troupe.v1.Objects/Get':
      if (asked.resource === 'pods' && isOwn(asked)) return;
      break;
    case 'troupe.v1.Objects/GetMany': {
      const objects = asked.objects ?? [];
      if (objects.length > 0 && objects.every((one) => one.resource === 'pods' && isOwn(one))) return;
      break;
    }
    case 'troupe.v1.Pods/Patch':
      if (isOwn(asked) && changesAnnotationsOnly(asked.patch ?? '')) return;
      break;
    case 'troupe.v1.Objects/Write': {
      const operations = asked.operations ?? [];
      const isAllowed = operations.every(
        (one) => one.verb === 'patch' && one.resource === 'pods' && isOwn(one) && changesAnnotationsOnly(one.json),
      );
      if (operations.length > 0 && isAllowed) return;
      break;
    }
  }
  throw new ApiError(
    'Forbidden',
    `${identity.user} may read its own pod "${identity.pod.name}" and patch the annotations of it, nothing else: ${method} with this request is refused`,
  );
}

/** Read as the registry will read it, so that both see the same. */
function changesAnnotationsOnly(patch: string | Uint8Array): boolean {
  let value: unknown;
  try {
    value = parseJson(Buffer.from(patch)).value;
  } catch {
    return false; // no patch at all changes nothing of the pod's annotations
  }
  if (!isObject(value)) return false;
  const { metadata, ...rest } = value;
  if (Object.keys(rest).length > 0 || !isObject(metadata)) return false;
  const { annotations, resourceVersion: _, ...others } = metadata;
  return Object.keys(others).length === 0 && isObject(annotations);
}
