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
 * What a pod may do with its token, until there are rules to say otherwise: read itself, and change its own annotations (F68). Where its
 * account says `troupe.dev/may: label-pods` (F81), it may read all pods of its namespace and change their labels and annotations. Throws
 * Forbidden for all else. `method` is `<service>/<method>`.
 */
export function checkAccess(identity: Identity, method: string, request: object): void {
  const asked = request as Asked;
  const isOwn = ({ namespace, name, subresource = '' }: Asked): boolean =>
    identity.pod !== undefined && namespace === identity.namespace && name === identity.pod.name && subresource === '';
  const isNear = ({ namespace, subresource = '' }: Asked): boolean =>
    labelsPods(identity) && namespace === identity.namespace && subresource === '';
  const mayRead = (one: Asked): boolean => isOwn(one) || isNear(one);
  const mayPatch = (one: Asked, patch: string | Uint8Array): boolean =>
    (isOwn(one) && changesAnnotationsOnly(patch)) || (isNear(one) && changesTagsOnly(patch));
  switch (method) {
    case 'grpc.health.v1.Health/Check':
      return;
    case 'troupe.v1.Pods/Get':
      if (mayRead(asked)) return;
      break;
    case 'troupe.v1.Pods/List':
    case 'troupe.v1.Pods/Watch':
      if (isNear(asked)) return;
      break;
    case 'troupe.v1.Objects/Get':
      if (asked.resource === 'pods' && mayRead(asked)) return;
      break;
    case 'troupe.v1.Objects/List':
    case 'troupe.v1.Objects/Watch':
      if (asked.resource === 'pods' && isNear(asked)) return;
      break;
    case 'troupe.v1.Objects/GetMany': {
      const objects = asked.objects ?? [];
      if (objects.length > 0 && objects.every((one) => one.resource === 'pods' && mayRead(one))) return;
      break;
    }
    case 'troupe.v1.Pods/Patch':
      if (mayPatch(asked, asked.patch ?? '')) return;
      break;
    case 'troupe.v1.Objects/Write': {
      const operations = asked.operations ?? [];
      const isAllowed = operations.every(
        (one) => one.verb === 'patch' && one.resource === 'pods' && mayPatch(one, one.json),
      );
      if (operations.length > 0 && isAllowed) return;
      break;
    }
  }
  throw new ApiError('Forbidden', `${mayOf(identity.user, identity)}: ${method} with this request is refused`);
}

export const labelsPods = ({ grants }: Pick<Identity, 'grants'>): boolean => grants?.includes('label-pods') === true;

/** What it may do, in words. */
export function mayOf(user: string, identity: Identity | undefined): string {
  const pod = identity?.pod;
  const own = pod === undefined ? '' : `read its own pod "${pod.name}" and patch the annotations of it`;
  const near =
    identity !== undefined && labelsPods(identity)
      ? `read the pods of "${identity.namespace}" and patch their labels and annotations`
      : '';
  const may = near !== '' ? near : own !== '' ? own : 'ask who it is and what it may do';
  return `${user} may ${may}, nothing else`;
}

/** Read as the registry will read it, so that both see the same. */
export const changesAnnotationsOnly = (patch: string | Uint8Array): boolean => changesOnly(patch, ['annotations']);
/** Labels and annotations. */
export const changesTagsOnly = (patch: string | Uint8Array): boolean => changesOnly(patch, ['annotations', 'labels']);

function changesOnly(patch: string | Uint8Array, parts: readonly string[]): boolean {
  let value: unknown;
  try {
    value = parseJson(Buffer.from(patch)).value;
  } catch {
    return false; // no patch at all changes nothing of these
  }
  if (!isObject(value)) return false;
  const { metadata, ...rest } = value;
  if (Object.keys(rest).length > 0 || !isObject(metadata)) return false;
  const { resourceVersion: _, ...changed } = metadata;
  const entries = Object.entries(changed);
  return entries.length > 0 && entries.every(([part, to]) => parts.includes(part) && isObject(to));
}
