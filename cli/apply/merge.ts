import { isObject, type Json } from '../../lib/api/json.ts';

/**
 * The three-way merge of `apply`: what the manifest says wins; what the manifest said last time and says no more goes;
 * what others (defaults, controllers, people) have set stays. The items of lists whose items have a name of their
 * own are merged one by one, so that a field the server filled in (a node port) survives; other lists are taken whole.
 */
export function threeWayMerge(lastApplied: Json, manifest: Json, current: Json): Json {
  const fields = [...new Set([...Object.keys(current), ...Object.keys(manifest)])];
  return Object.fromEntries(
    fields.flatMap((field) => {
      const value = mergeField(field, own(lastApplied, field), own(manifest, field), own(current, field));
      return value === undefined ? [] : [[field, value] as const];
    }),
  );
}

const own = (object: Json, field: string): unknown => (Object.hasOwn(object, field) ? object[field] : undefined);

function mergeField(field: string, last: unknown, wanted: unknown, current: unknown): unknown {
  if (wanted === null) return undefined;
  if (wanted === undefined) return last === undefined ? current : undefined;
  if (isObject(wanted) && isObject(current)) return threeWayMerge(isObject(last) ? last : {}, wanted, current);
  if (Array.isArray(wanted) && Array.isArray(current))
    return mergeList(field, Array.isArray(last) ? last : [], wanted, current);
  return wanted;
}

function mergeList(field: string, last: unknown[], wanted: unknown[], current: unknown[]): unknown {
  const identity = identities
    .get(field)
    ?.find((key) => [last, wanted, current].every((items) => isKeyedBy(key, items)));
  if (identity === undefined) return wanted;
  const byKey = (items: unknown[]): Map<unknown, Json> =>
    new Map(items.filter(isObject).map((item) => [item[identity], item]));
  const [lastItems, wantedItems, currentItems] = [byKey(last), byKey(wanted), byKey(current)];
  const merged = [...wantedItems].map(([key, item]) => {
    const present = currentItems.get(key);
    return present === undefined || wholeItems.has(field)
      ? item
      : threeWayMerge(lastItems.get(key) ?? {}, item, present);
  });
  const foreign = [...currentItems].filter(([key]) => !wantedItems.has(key) && !lastItems.has(key));
  return [...merged, ...foreign.map(([, item]) => item)];
}

/** What tells the items of a list apart (Kubernetes v1 field markers, "patchMergeKey"); the first that all items have and none share. */
const identities: ReadonlyMap<string, readonly string[]> = new Map([
  ['containers', ['name']],
  ['initContainers', ['name']],
  ['env', ['name']],
  ['volumes', ['name']],
  ['volumeMounts', ['mountPath']],
  ['ports', ['containerPort', 'port']],
  ['hostAliases', ['ip']],
  ['imagePullSecrets', ['name']],
  ['ownerReferences', ['uid']],
]);

/** A volume has exactly one source: merging an old one with a new one would make two. */
const wholeItems = new Set(['volumes']);

const isKeyedBy = (key: string, items: readonly unknown[]): boolean => {
  const values = items.map((item) => (isObject(item) ? item[key] : undefined));
  return values.every((value) => value !== undefined) && new Set(values).size === values.length;
};
