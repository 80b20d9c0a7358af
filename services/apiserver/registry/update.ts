import type { Key } from '../../../lib/api/keys.ts';
import { kindOf, metadataOf, rewrite, type Core } from './core.ts';
import { expectedRevision, readDraft } from './drafts.ts';
import { checkHasStatus, nextObject, nextStatus } from './next.ts';
import type { SubresourceOption, WriteOptions, Written } from './registry.ts';
import { updateScale } from './scale.ts';

/**
 * `Registry.update`. Conflict when the object names a revision that is no longer the present one, or another uid; Invalid
 * when a rule is broken. What changes nothing is not written and keeps its resourceVersion.
 */
export async function update(
  core: Core,
  resourceName: string,
  key: Key,
  input: { readonly object: unknown; readonly options: WriteOptions & SubresourceOption },
): Promise<Written> {
  const info = kindOf(resourceName);
  const { options } = input;
  if (options.subresource === 'scale') return updateScale(core, info, key, input);
  if (options.subresource === 'status') checkHasStatus(info);
  const { object, warnings } = readDraft(info, input.object, options);
  const expectRevision = expectedRevision(object);
  return rewrite(
    core,
    { resource: info.resource, key },
    (current) =>
      options.subresource === 'status'
        ? nextStatus(core, info, current, object)
        : nextObject(core, info, current, {
            next: { ...object, metadata: { ...metadataOf(object) } },
            traceparent: options.traceparent,
          }),
    { ...options, expectRevision, warnings },
  );
}
