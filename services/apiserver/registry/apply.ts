import { apply as applied } from '../../../lib/api/apply/apply.ts';
import {
  copyJson,
  isAbsent,
  isObject,
  listAt,
  objectAt,
  textAt,
  type Json,
  type MutableJson,
} from '../../../lib/api/json.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import { ApiError, hasReason } from '../../../lib/base/errors.ts';
import { metadataOf, rewrite, type Core } from './core.ts';
import { create } from './create.ts';
import { shapeOfKind, type Kind } from './kinds.ts';
import { expectedRevision, readDraft } from './drafts.ts';
import { handOf, setManagers } from './managing.ts';
import type { PatchOptions, SubresourceOption, WriteOptions, Written } from './registry.ts';
import { checkHas, nextFor } from './subresource.ts';

type Options = WriteOptions & SubresourceOption & PatchOptions;

/** Somebody deletes what another applies, again and again: after so many tries it is told. */
const maxTries = 8;

/**
 * `Registry.patch` of the type `apply`: makes the object when it is not there, else merges what `fieldManager` wants into it. Conflict where fields are
 * set to something else by others, unless `force` is given; Invalid as by create and update.
 */
export async function applyObject(
  core: Core,
  info: Kind,
  key: Key,
  input: { readonly wanted: unknown; readonly options: Options },
): Promise<Written> {
  const { options } = input;
  if (options.subresource === 'scale')
    throw new ApiError('MethodNotAllowed', 'a Scale is changed by update or patch, not applied');
  checkHas(info, options.subresource);
  const { object: wanted, warnings } = readDraft(info, copyJson(input.wanted), options);
  checkWanted(wanted, key);
  for (let attempt = 0; attempt < maxTries; attempt++) {
    try {
      return { ...(await change(core, info, key, { wanted, options })), warnings };
    } catch (error) {
      if (!hasReason(error, 'NotFound') || options.subresource !== undefined) throw error;
    }
    try {
      return { ...(await make(core, info, key, { wanted, options })), warnings, created: true };
    } catch (error) {
      if (!hasReason(error, 'AlreadyExists')) throw error;
    }
  }
  throw new ApiError(
    'Conflict',
    `${info.resource} "${splitKey(key).name}" is made and deleted all the time; apply again`,
  );
}

function checkWanted(wanted: Json, key: Key): void {
  const metadata = objectAt(wanted, 'metadata');
  if (listAt(metadata, 'managedFields').length > 0)
    throw new ApiError('BadRequest', 'metadata.managedFields must be empty in what is applied: the server keeps it');
  const { name } = splitKey(key);
  const said = textAt(metadata, 'name');
  if (said !== '' && said !== name)
    throw new ApiError(
      'BadRequest',
      `metadata.name ${JSON.stringify(said)} is not that of the request, ${JSON.stringify(name)}`,
    );
}

interface Wish {
  readonly wanted: MutableJson;
  readonly options: Options;
}

async function make(core: Core, info: Kind, key: Key, { wanted, options }: Wish): Promise<Written> {
  const { namespace, name } = splitKey(key);
  const { object, managers } = applied(shapeOfKind(info), undefined, copyJson(wanted), {
    hand: handOf(core, info, 'Apply', options),
    force: true,
  });
  object['metadata'] = { ...objectAt(object, 'metadata'), name };
  setManagers(object, managers, []);
  const { subresource: _, patchType: _type, force: _force, ...write } = options;
  return create(core, info.resource, namespace, { draft: object, options: write });
}

function change(core: Core, info: Kind, key: Key, { wanted, options }: Wish): Promise<Written> {
  const hand = handOf(core, info, 'Apply', options);
  return rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      const { object, managers } = applied(shapeOfKind(info), current.object, wanted, {
        hand,
        force: options.force === true,
      });
      const before = listAt(objectAt(current.object, 'metadata'), 'managedFields');
      const next: MutableJson = { ...object, metadata: { ...objectAt(object, 'metadata') } };
      setManagers(next, managers, before);
      if (options.subresource !== 'status') delete metadataOf(next)['resourceVersion'];
      const { subresource, traceparent } = options;
      return nextFor(core, info, current, { object: next, subresource, traceparent });
    },
    {
      ...options,
      expectRevision:
        isObject(wanted['metadata']) && !isAbsent(objectAt(wanted, 'metadata')['resourceVersion'])
          ? expectedRevision({ ...wanted })
          : undefined,
    },
  );
}
