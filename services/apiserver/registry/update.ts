import type { Key } from '../../../lib/api/keys.ts';
import { kindFor, rewrite, type Core } from './core.ts';
import { expectedRevision, readDraft } from './drafts.ts';
import { handOf } from './managing.ts';
import type { SubresourceOption, WriteOptions, Written } from './registry.ts';
import { updateScale } from './scale.ts';
import { checkHas, nextFor } from './subresource.ts';

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
  const { options } = input;
  const info = await kindFor(core, resourceName, input.object, options);
  if (options.subresource === 'scale') return updateScale(core, info, key, input);
  checkHas(info, options.subresource);
  const { object, warnings } = readDraft(info, input.object, options);
  const hand = handOf(core, info, 'Update', options);
  const expectRevision = expectedRevision(object);
  return rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      const { subresource, traceparent } = options;
      return nextFor(core, info, current, { object, subresource, traceparent, hand });
    },
    { ...options, expectRevision, warnings },
  );
}
