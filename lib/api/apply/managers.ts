import { isObject, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { fieldsIn, fromFieldsV1, stepsOf, toFieldsV1, type FieldPath } from './field-set.ts';
import type { Shape } from './shape.ts';

/** Who set which fields (an entry of `metadata.managedFields`). */
export interface Manager {
  readonly manager: string;
  /** `Apply`: all that he wants is here, and what he no longer names goes. */
  readonly operation: 'Apply' | 'Update';
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string;
  readonly fields: ReadonlySet<FieldPath>;
}

/** In whose name, and by which door, an object is changed. */
export type Hand = Omit<Manager, 'fields'>;

export const isSameHand = (a: Omit<Manager, 'fields' | 'time'>, b: Omit<Manager, 'fields' | 'time'>): boolean =>
  a.manager === b.manager &&
  a.operation === b.operation &&
  a.subresource === b.subresource &&
  a.apiVersion === b.apiVersion;

/** The managers that an object names; entries that cannot be read are left out. */
export const managersOf = (metadata: Json): readonly Manager[] =>
  objectsAt(metadata, 'managedFields').flatMap((entry) => {
    const operation = entry['operation'];
    if ((operation !== 'Apply' && operation !== 'Update') || !isObject(entry['fieldsV1'])) return [];
    return [
      {
        manager: textAt(entry, 'manager'),
        operation,
        apiVersion: textAt(entry, 'apiVersion'),
        subresource: textAt(entry, 'subresource'),
        time: textAt(entry, 'time'),
        fields: fromFieldsV1(entry['fieldsV1']),
      },
    ];
  });

/** As an object has them; managers of nothing are left out. */
export const toManagedFields = (managers: readonly Manager[]): readonly Json[] =>
  managers
    .filter(({ fields }) => fields.size > 0)
    .map(({ manager, operation, apiVersion, subresource, time, fields }) => ({
      manager,
      operation,
      apiVersion,
      time,
      fieldsType: 'FieldsV1',
      fieldsV1: toFieldsV1(fields),
      ...(subresource === '' ? {} : { subresource }),
    }));

/** Fields of the metadata that are nobody's: they name the object, or the server sets them. */
const nobodys: ReadonlySet<string> = new Set(
  [
    ...['name', 'namespace', 'generateName', 'uid', 'resourceVersion', 'generation', 'creationTimestamp'],
    ...['deletionTimestamp', 'deletionGracePeriodSeconds', 'managedFields', 'selfLink'],
  ].map((name) => `f:${name}`),
);

/** The fields of an object that can be somebody's through a door: the status alone, or all but the status. */
export function ownable(
  shape: Shape,
  object: Json,
  { subresource }: Pick<Hand, 'subresource'>,
): Map<FieldPath, unknown> {
  const fields = fieldsIn(shape, object);
  for (const path of fields.keys()) {
    const [first = '', second = ''] = stepsOf(path);
    const isStatus = first === 'f:status';
    const isServers =
      first === 'f:apiVersion' ||
      first === 'f:kind' ||
      (first === 'f:metadata' && (second === '' || nobodys.has(second)));
    const isOther = subresource === 'status' ? !isStatus : isStatus;
    if (isServers || isOther) fields.delete(path);
  }
  return fields;
}

/**
 * Whose fields are whose after a change by somebody who says what to change, not all that he wants: what he set is his, and no longer
 * others'; what is gone is nobody's.
 */
export function afterUpdate(
  managers: readonly Manager[],
  hand: Hand,
  { shape, before, after }: { readonly shape: Shape; readonly before: Json; readonly after: Json },
): readonly Manager[] {
  const [was, is] = [ownable(shape, before, hand), ownable(shape, after, hand)];
  const changed = [...is]
    .filter(([path, value]) => !was.has(path) || !sameJson(was.get(path), value))
    .map(([path]) => path);
  const gone = new Set([...was.keys()].filter((path) => !is.has(path)));
  if (changed.length === 0 && gone.size === 0) return managers;
  const taken = new Set(changed);
  const mine = managers.find((each) => isSameHand(each, hand));
  const others = managers
    .filter((each) => each !== mine)
    .map((each) =>
      withFields(
        each,
        [...each.fields].filter((path) => !taken.has(path) && !gone.has(path)),
      ),
    );
  const fields = [...(mine?.fields ?? []), ...changed].filter((path) => !gone.has(path));
  return [...others, { ...hand, fields: new Set(fields) }];
}

export const withFields = (manager: Manager, fields: Iterable<FieldPath>): Manager => ({
  ...manager,
  fields: new Set(fields),
});
