import { isObject, objectAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import type { Key } from '../../../lib/api/keys.ts';
import { applyMergePatch } from '../../../lib/api/patch.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { kindOf, rewrite, type Core } from './core.ts';
import { expectedRevision, readDraft } from './drafts.ts';
import type { SubresourceOption, WriteOptions, Written } from './registry.ts';
import { patchScale } from './scale.ts';
import { checkHasStatus, nextObject, nextStatus } from './next.ts';

/**
 * `Registry.patch`: a JSON merge patch (RFC 7386). Applied to what is there now, as often as it takes, unless it names a
 * resourceVersion; the result obeys the rules of an update.
 */
export async function patch(
  core: Core,
  resourceName: string,
  key: Key,
  input: { readonly patch: unknown; readonly options: WriteOptions & SubresourceOption },
): Promise<Written> {
  const info = kindOf(resourceName);
  const { options } = input;
  const change = input.patch;
  if (!isObject(change)) throw new ApiError('BadRequest', 'a merge patch is a JSON object (RFC 7386)');
  if (options.subresource === 'scale') return patchScale(core, info, key, { patch: change, options });
  if (options.subresource === 'status') checkHasStatus(info);
  let warnings: readonly string[] = [];
  const written = await rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      const result = applyMergePatch(current.object, change) as MutableJson;
      const draft = readDraft(info, result, options);
      warnings = draft.warnings;
      return options.subresource === 'status'
        ? nextStatus(core, info, current, draft.object)
        : nextObject(core, info, current, {
            next: { ...draft.object, metadata: { ...objectAt(draft.object, 'metadata') } },
            traceparent: options.traceparent,
          });
    },
    { ...options, expectRevision: revisionIn(change) },
  );
  return { ...written, warnings };
}

const revisionIn = (change: Json): number | undefined =>
  isObject(change['metadata']) ? expectedRevision({ metadata: { ...change['metadata'] } }) : undefined;
