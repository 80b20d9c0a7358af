import { ApiError, type FieldCause } from '../../base/errors.ts';
import { sameJson, type Json, type MutableJson } from '../json.ts';
import { isThere, pathText, placesAbove, type FieldPath } from './field-set.ts';
import { isSameHand, managersOf, ownable, withFields, type Hand, type Manager } from './managers.ts';
import { mergeApplied, removeFields } from './merge.ts';
import type { Shape } from './shape.ts';

export interface Applied {
  /** What the object is to be, before defaults and rules. */
  readonly object: MutableJson;
  readonly managers: readonly Manager[];
}

/** Who set the fields of an object whose managers were not kept, until somebody applied to it. */
const earlier = 'before-first-apply';

/**
 * Server-side apply (Kubernetes API, "Server-Side Apply"): `wanted` holds every field that `hand` cares for. They are set; those that he applied before and no
 * longer names go, unless they are somebody else's too; all others stay. Conflict names each field that another has set to
 * something else, unless `force` takes it from him. `shape` is the object's.
 */
export function apply(
  shape: Shape,
  live: Json | undefined,
  wanted: Json,
  { hand, force }: { readonly hand: Hand; readonly force: boolean },
): Applied {
  const mine = ownable(shape, wanted, hand);
  if (live === undefined) return { object: { ...wanted }, managers: [{ ...hand, fields: new Set(mine.keys()) }] };
  const there = ownable(shape, live, hand);
  const known = managersOf((live['metadata'] ?? {}) as Json);
  const managers =
    known.length > 0
      ? known
      : [{ ...hand, manager: earlier, operation: 'Update' as const, fields: new Set(there.keys()) }];
  const before = managers.find((each) => isSameHand(each, hand));
  const others = managers.filter((each) => each !== before);
  const disputed = (path: FieldPath): boolean =>
    mine.has(path) && mine.get(path) !== isThere && !sameJson(mine.get(path), there.get(path));
  if (!force) refuse(others, disputed);
  const left = others.map((each) =>
    withFields(
      each,
      [...each.fields].filter((path) => !disputed(path)),
    ),
  );
  const object = mergeApplied(shape, live, wanted);
  const held = new Set([...mine.keys(), ...left.flatMap((each) => [...each.fields])]);
  const within = placesAbove(held);
  removeFields(
    shape,
    object,
    [...(before?.fields ?? [])].filter((path) => !held.has(path) && !within.has(path)),
  );
  const remain = ownable(shape, object, hand);
  const current = left.map((each) =>
    each.subresource === hand.subresource
      ? withFields(
          each,
          [...each.fields].filter((path) => remain.has(path)),
        )
      : each,
  );
  return { object, managers: [...current, { ...hand, fields: new Set(mine.keys()) }] };
}

function refuse(others: readonly Manager[], disputed: (path: FieldPath) => boolean): void {
  const causes = others.flatMap((other) =>
    [...other.fields].filter(disputed).map((path): FieldCause => ({
      field: pathText(path),
      reason: 'FieldManagerConflict',
      message: `conflict with "${other.manager}"${other.subresource === '' ? '' : ` with subresource "${other.subresource}"`} using ${other.apiVersion}`,
    })),
  );
  if (causes.length === 0) return;
  const lines = causes.map(({ field, message }) => `${message}: ${field}`);
  const plural = causes.length === 1 ? 'conflict' : 'conflicts';
  throw new ApiError('Conflict', `Apply failed with ${causes.length} ${plural}: ${lines.join('\n')}`, { causes });
}
