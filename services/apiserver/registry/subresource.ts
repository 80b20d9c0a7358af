import type { Hand } from '../../../lib/api/apply/managers.ts';
import { listAt, objectAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import type { BuiltIn } from '../../../lib/api/kinds.ts';
import { validateEphemeralContainers } from '../../../lib/api/validation/index.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { metadataOf, type Change, type Core, type Current } from './core.ts';
import type { Kind } from './kinds.ts';
import { checkHasStatus, checkIdentity, nextObject, nextStatus } from './next.ts';
import type { Subresource } from './registry.ts';
import { hasScale } from './scale.ts';

const withEphemeral: BuiltIn = 'pods';

/** The part of that name that objects of the kind have beside themselves; undefined where they have none such. */
export function subresourceOf(kind: Kind, name: string): Subresource | undefined {
  switch (name) {
    case 'status':
      return kind.hasStatus ? name : undefined;
    case 'scale':
      return hasScale(kind) ? name : undefined;
    case 'ephemeralcontainers':
      return kind.resource === withEphemeral ? name : undefined;
    default:
      return undefined;
  }
}

/** MethodNotAllowed where objects of the kind have no such part. */
export function checkHas(kind: Kind, subresource: Subresource | undefined): void {
  if (subresource === 'status') checkHasStatus(kind);
  if (subresource !== 'ephemeralcontainers' || kind.resource === withEphemeral) return;
  throw new ApiError('MethodNotAllowed', `${kind.resource} have no ephemeral containers`, { resource: kind.resource });
}

interface Wanted {
  readonly object: MutableJson;
  readonly subresource: Subresource | undefined;
  readonly traceparent: string | undefined;
  /** In whose name; absent where the managers in `object` are right already. */
  readonly hand?: Hand;
}

/** What a replacement of the object, or of a part of it, makes of it; undefined when nothing. Throws Invalid, Conflict, BadRequest. */
export function nextFor(core: Core, kind: Kind, current: Current, wanted: Wanted): Change | undefined {
  const { object, subresource, ...more } = wanted;
  if (subresource === 'status') return nextStatus(core, kind, current, { object, ...more });
  if (subresource === 'ephemeralcontainers') return nextEphemeral(core, kind, current, { object, ...more });
  return nextObject(core, kind, current, { next: { ...object, metadata: { ...metadataOf(object) } }, ...more });
}

/** The pod with the ephemeral containers of `object`; nothing else of that counts. */
function nextEphemeral(
  core: Core,
  kind: Kind,
  { object: previous, ...current }: Current,
  {
    object,
    traceparent,
    hand,
  }: { readonly object: Json; readonly traceparent: string | undefined; readonly hand?: Hand },
): Change | undefined {
  const metadata: MutableJson = { ...objectAt(previous, 'metadata') };
  checkIdentity(kind, objectAt(object, 'metadata'), metadata);
  if (hand === undefined) metadata['managedFields'] = objectAt(object, 'metadata')['managedFields'];
  const wished = listAt(objectAt(object, 'spec'), 'ephemeralContainers');
  const { ephemeralContainers: _, ...spec } = objectAt(previous, 'spec');
  const next: MutableJson = {
    ...previous,
    metadata,
    spec: { ...spec, ...(wished.length === 0 ? {} : { ephemeralContainers: wished }) },
  };
  return nextObject(
    core,
    kind,
    { object: previous, ...current },
    {
      ...{ next, traceparent, validate: validateEphemeralContainers },
      ...(hand === undefined ? {} : { hand }),
    },
  );
}
