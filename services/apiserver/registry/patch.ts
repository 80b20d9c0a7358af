import { isObject, objectAt, type MutableJson } from '../../../lib/api/json.ts';
import type { Key } from '../../../lib/api/keys.ts';
import { applyPatch } from '../../../lib/api/patch/patch.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { applyObject } from './apply.ts';
import { kindOf, rewrite, type Core, type Current } from './core.ts';
import { expectedRevision, readDraft } from './drafts.ts';
import { messageOf } from './kinds.ts';
import { handOf } from './managing.ts';
import type { PatchOptions, SubresourceOption, WriteOptions, Written } from './registry.ts';
import { patchScale } from './scale.ts';
import { checkHas, nextFor } from './subresource.ts';

/**
 * `Registry.patch`. Applied to what is there now, as often as it takes, unless it names a resourceVersion; the result obeys the
 * rules of an update.
 */
export async function patch(
  core: Core,
  resourceName: string,
  key: Key,
  input: { readonly patch: unknown; readonly options: WriteOptions & SubresourceOption & PatchOptions },
): Promise<Written> {
  const { options } = input;
  const info = await kindOf(core, resourceName, options.version);
  const { patchType: type = 'merge' } = options;
  if (type === 'apply') return applyObject(core, info, key, { wanted: input.patch, options });
  if (type === 'strategic' && info.at !== undefined)
    throw new ApiError(
      'UnsupportedMediaType',
      `a strategic merge patch needs to know the lists of the kind, and of ${info.resource} they are not known; there are JSON and merge patches, and apply`,
    );
  const change = { type, value: input.patch };
  if (options.subresource === 'scale') return patchScale(core, info, key, { patch: change, options });
  checkHas(info, options.subresource);
  const hand = handOf(core, info, 'Update', options);
  let warnings: readonly string[] = [];
  const written = await rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      const result = applyPatch(messageOf(info), withVersion(current), change) as MutableJson;
      const draft = readDraft(info, result, options);
      warnings = draft.warnings;
      const { subresource, traceparent } = options;
      return nextFor(core, info, current, { object: draft.object, subresource, traceparent, hand });
    },
    { ...options, expectRevision: revisionIn(change.value) },
  );
  return { ...written, warnings };
}

/** A JSON patch may test the version that it was made from. */
const withVersion = ({ object, revision }: Current): MutableJson => ({
  ...object,
  metadata: { ...objectAt(object, 'metadata'), resourceVersion: String(revision) },
});

const revisionIn = (change: unknown): number | undefined =>
  isObject(change) && isObject(change['metadata'])
    ? expectedRevision({ metadata: { ...change['metadata'] } })
    : undefined;
