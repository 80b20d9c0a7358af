import { ApiError } from '../../../lib/base/errors.ts';
import { readObject } from '../door/requests.ts';
import type { PatchOptions } from '../registry/registry.ts';
import { fromYaml, typeOfBody } from './body.ts';
import type { RestRequest } from './message.ts';
import { flag } from './query.ts';

export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

export interface Change {
  readonly patch: unknown;
  readonly how: PatchOptions;
  readonly warnings: readonly string[];
}

/** The change that a PATCH asks for, by the type of its body. UnsupportedMediaType for a type that is none of the four. */
export async function changeOf(
  request: RestRequest,
  options: { readonly fieldValidation: 'Strict' | 'Warn' | 'Ignore'; readonly fieldManager?: string },
): Promise<Change> {
  const type = typeOfBody(request);
  const bytes = await request.body();
  if (type === patchTypes.apply) {
    if (options.fieldManager === undefined)
      throw new ApiError('BadRequest', 'fieldManager is required for apply: in whose name are the fields set?');
    if (bytes.length === 0)
      throw new ApiError('BadRequest', 'the request has no body; the object to apply is expected');
    return { patch: fromYaml(bytes), how: { patchType: 'apply', force: flag(request.query, 'force') }, warnings: [] };
  }
  const found = (['json', 'merge', 'strategic'] as const).find((each) => patchTypes[each] === type);
  if (found === undefined) {
    throw new ApiError(
      'UnsupportedMediaType',
      `the patch is of the type ${JSON.stringify(type)}; there are ${Object.values(patchTypes).join(', ')}`,
    );
  }
  const { value, warnings } = readObject(bytes, options.fieldValidation);
  return { patch: value, how: { patchType: found }, warnings };
}
