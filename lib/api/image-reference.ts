/** An image's name taken apart: `registry:5000/team/app:1.2@sha256:…`. */
export interface ImageReference {
  /** Where it is pulled from, as in the name; `docker.io` where the name has none. */
  readonly host: string;
  /** Below the host, such as `library/busybox`. */
  readonly path: string;
  readonly tag?: string;
  readonly digest?: string;
}

const defaultHost = 'docker.io';

/** Reads a name the way every engine does. Never fails: whether it is a good name is the engine's to say. */
export function parseReference(image: string): ImageReference {
  const [name = '', digest] = image.split('@', 2);
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const hasHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const rest = hasHost ? name.slice(slash + 1) : name;
  const colon = rest.lastIndexOf(':');
  const tag = colon > rest.lastIndexOf('/') ? rest.slice(colon + 1) : undefined;
  const bare = tag === undefined ? rest : rest.slice(0, colon);
  const host = hasHost ? canonicalHost(first) : defaultHost;
  return {
    host,
    path: host === defaultHost && !bare.includes('/') ? `library/${bare}` : bare,
    ...(tag === undefined ? {} : { tag }),
    ...(digest === undefined ? {} : { digest }),
  };
}

export const canonicalHost = (host: string): string => (host === 'index.docker.io' ? defaultHost : host);

/** The name to pull: one tag or digest of it, never all. */
export function pullName(image: string): string {
  const { tag, digest } = parseReference(image);
  return tag === undefined && digest === undefined ? `${image}:latest` : image;
}

/** The spelling in which engines list what they have: without the default host and its `library/`, with a tag or a digest. */
export function listedName(image: string): string {
  const { host, path, tag, digest } = parseReference(image);
  const name = host === defaultHost ? path.replace(/^library\//, '') : `${host}/${path}`;
  return digest === undefined ? `${name}:${tag ?? 'latest'}` : `${name}@${digest}`;
}
