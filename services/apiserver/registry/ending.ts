import { isAbsent, listAt, objectAt, textAt, type Json } from '../../../lib/api/json.ts';
import { makeKey } from '../../../lib/api/keys.ts';
import { kinds, resources, type KindInfo } from '../../../lib/api/kinds.ts';
import { conflict } from '../../../lib/base/errors.ts';
import { storeKeyOf } from '../cache/cache.ts';
import type { StoreOp } from '../store/store.ts';
import type { Change, Core } from './core.ts';
import { checkNoObjects } from './definitions.ts';
import type { Kind } from './kinds.ts';

/** Namespaces are held by a list in their spec too. */
export const finalizersOf = (info: KindInfo, object: Json): readonly unknown[] => [
  ...listAt(objectAt(object, 'metadata'), 'finalizers'),
  ...(info.resource === 'namespaces' ? listAt(objectAt(object, 'spec'), 'finalizers') : []),
];

/** Whether an object for which deletion was asked has nothing left to wait for: no grace, nobody who holds it. */
export function isReadyToGo(info: KindInfo, object: Json): boolean {
  const metadata = objectAt(object, 'metadata');
  if (isAbsent(metadata['deletionTimestamp'])) return false;
  return finalizersOf(info, object).length === 0 && Number(metadata['deletionGracePeriodSeconds'] ?? 0) === 0;
}

/** The object's end, with what must go in the same moment. Conflict when a namespace is not empty. */
export function endOf(core: Core, info: Kind, object: Json): Change {
  if (info.resource === 'customresourcedefinitions') checkNoObjects(core, object);
  if (info.resource === 'namespaces') checkEmpty(core, textAt(objectAt(object, 'metadata'), 'name'));
  if (info.resource !== 'services') return { next: object, gone: true };
  const more: StoreOp[] = [...core.claims.forEnd(object)];
  const metadata = objectAt(object, 'metadata');
  const key = makeKey(textAt(metadata, 'namespace'), textAt(metadata, 'name'));
  if (core.cache.get('endpoints', key) !== undefined)
    more.push({ key: storeKeyOf('endpoints', key), value: undefined });
  return { next: object, gone: true, more };
}

function checkEmpty(core: Core, namespace: string): void {
  const custom = core.kinds.custom().filter((kind) => kind.namespaced);
  const namespaced = [
    ...resources.filter((resource) => kinds[resource].namespaced),
    ...new Set(custom.map(({ resource }) => resource)),
  ];
  const left = namespaced.filter((resource) => core.cache.filing(resource).hasAny(namespace));
  if (left.length === 0) return;
  throw conflict('namespaces', namespace, `it still holds ${left.join(', ')}`);
}
