/** An object's place in its resource: `namespace/name`, or `name` for cluster-scoped kinds. */
export type Key = string;

export const keyOf = (object: { readonly metadata: { readonly namespace?: string; readonly name: string } }): Key =>
  makeKey(object.metadata.namespace, object.metadata.name);

export const makeKey = (namespace: string | undefined, name: string): Key =>
  namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;

export function splitKey(key: Key): { readonly namespace?: string; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
