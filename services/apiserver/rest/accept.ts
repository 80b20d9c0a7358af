import { ApiError } from '../../../lib/base/errors.ts';

/** In which form objects are answered (Kubernetes API concepts, "Alternate representations of resources"). */
export type Form =
  | { readonly as: 'object' }
  /** Columns and cells, as a person reads them. */
  | { readonly as: 'Table'; readonly version: 'v1' | 'v1beta1' }
  /** Names, labels and what else is in metadata. */
  | { readonly as: 'PartialObjectMetadata'; readonly version: 'v1' | 'v1beta1' };

const json: ReadonlySet<string> = new Set(['application/json', 'application/*', '*/*']);

/**
 * The first form of an Accept header that is served; JSON is what every form is written in. Types that are not served, such as protobuf, are
 * passed over. NotAcceptable when nothing is left.
 */
export function formOf(accept: string | undefined): Form {
  if (accept === undefined || json.has(accept) || accept.trim() === '') return { as: 'object' };
  for (const part of accept.split(',')) {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim());
    if (!json.has(type)) continue;
    const asked = new Map(
      parameters.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]),
    );
    const as = asked.get('as');
    if (as === undefined) return { as: 'object' };
    const version = asked.get('v');
    if (asked.get('g') !== 'meta.k8s.io' || (version !== 'v1' && version !== 'v1beta1')) continue;
    if (as === 'Table') return { as, version };
    if (as === 'PartialObjectMetadata' || as === 'PartialObjectMetadataList')
      return { as: 'PartialObjectMetadata', version };
  }
  throw new ApiError('NotAcceptable', `only application/json is served, not ${JSON.stringify(accept)}`);
}
