/** What a path names: one object, or the objects of a resource (Kubernetes API concepts, "Resource URIs"). */
export interface ResourcePath {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly namespace?: string;
  /** Absent: all of them, in the namespace or everywhere. */
  readonly name?: string;
  readonly subresource?: string;
  /** What follows the subresource, with its slash: for `proxy`. */
  readonly rest?: string;
}

/** Third parts under a namespace that belong to the Namespace itself, and are no resource within it. */
const ofNamespaces: ReadonlySet<string> = new Set(['status', 'finalize']);

/**
 * `/api/v1/…` and `/apis/<group>/<version>/…` from the resource on. Undefined for every other path, and for one that does not
 * decode. Whether such a resource exists is another question.
 */
export function parseResourcePath(path: string): ResourcePath | undefined {
  if (path !== last.path) last = { path, at: parsed(path) };
  return last.at;
}

/** Gate and door look at the same path one after the other. */
let last: { readonly path: string; readonly at: ResourcePath | undefined } = { path: '', at: undefined };

function parsed(path: string): ResourcePath | undefined {
  const parts = decoded(path.slice(1).split('/'), path);
  if (parts === undefined) return undefined;
  const [door, ...rest] = parts;
  if (door === 'api') return rest[0] === undefined ? undefined : within('', rest[0], rest.slice(1));
  if (door !== 'apis') return undefined;
  const [group, version, ...more] = rest;
  return group === undefined || version === undefined ? undefined : within(group, version, more);
}

/**
 * The way in which watches were asked for before there was `?watch=true`: `watch/` before the resource, and a name in the path for one object.
 * Undefined for every other path.
 */
export function legacyWatch(
  path: string,
  query: URLSearchParams,
): { path: string; query: URLSearchParams } | undefined {
  if (!path.includes('/watch/')) return undefined;
  const found = /^(\/api\/[^/]+|\/apis\/[^/]+\/[^/]+)\/watch(\/.+)$/.exec(path);
  const [, door = '', rest = ''] = found ?? [];
  const at = found === null ? undefined : parseResourcePath(door + rest);
  if (at === undefined || at.subresource !== undefined) return undefined;
  const asked = new URLSearchParams(query);
  asked.set('watch', 'true');
  if (at.name === undefined) return { path: door + rest, query: asked };
  asked.set('fieldSelector', [query.get('fieldSelector') ?? '', `metadata.name=${at.name}`].filter(Boolean).join(','));
  return { path: (door + rest).replace(/\/[^/]*\/?$/, ''), query: asked };
}

function within(group: string, version: string, parts: readonly string[]): ResourcePath | undefined {
  const [first, second, third] = parts;
  if (first === undefined || first === '') return undefined;
  const isInside = first === 'namespaces' && third !== undefined && !(group === '' && ofNamespaces.has(third));
  if (!isInside) return { group, version, ...named(first, parts.slice(1)) };
  return { group, version, namespace: second ?? '', ...named(third, parts.slice(3)) };
}

function named(resource: string, parts: readonly string[]): Pick<ResourcePath, 'resource' | 'name' | 'subresource'> {
  const [name, subresource, ...rest] = parts;
  return {
    resource,
    ...(name === undefined || name === '' ? {} : { name }),
    ...(subresource === undefined || subresource === '' ? {} : { subresource }),
    ...(rest.length === 0 ? {} : { rest: `/${rest.join('/')}` }),
  };
}

function decoded(parts: readonly string[], path: string): readonly string[] | undefined {
  if (!path.includes('%')) return parts;
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return undefined;
  }
}
