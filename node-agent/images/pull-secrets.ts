import type { Secret } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { RegistryAuth } from '../runtime/runtime.ts';
import { canonicalHost, parseReference } from '../../lib/api/image-reference.ts';

export interface Credentials {
  /** To be tried in this order: the one that names the place most closely first, then as the pod lists them. */
  readonly auths: readonly RegistryAuth[];
  /** What is wrong with a Secret; never what is in it. */
  readonly problems: readonly string[];
}

interface Entry {
  readonly host: string;
  readonly path: string;
  readonly auth: RegistryAuth;
}

/** What the Secrets know of the registry that an image comes from: `.dockerconfigjson` and the older `.dockercfg`. */
export function credentialsFor(image: string, secrets: readonly Secret[]): Credentials {
  const reference = parseReference(image);
  const problems: string[] = [];
  const entries: Entry[] = [];
  for (const secret of secrets) {
    try {
      entries.push(...entriesOf(secret));
    } catch (error) {
      problems.push(`Secret "${secret.metadata.name}": ${messageOf(error)}`);
    }
  }
  const fitting = entries
    .filter((entry) => fits(entry, reference))
    .sort((a, b) => b.path.length - a.path.length)
    .map(({ auth }) => auth);
  const seen = new Set<string>();
  return {
    auths: fitting.filter((auth) => !seen.has(JSON.stringify(auth)) && seen.add(JSON.stringify(auth))),
    problems,
  };
}

const kinds = [
  { type: 'kubernetes.io/dockerconfigjson', key: '.dockerconfigjson', inside: 'auths' },
  { type: 'kubernetes.io/dockercfg', key: '.dockercfg', inside: undefined },
] as const;

function entriesOf({ type, data }: Secret): readonly Entry[] {
  const kind = kinds.find((candidate) => candidate.type === type);
  if (kind === undefined)
    throw new Error(`is of type "${type ?? 'Opaque'}", not one of ${kinds.map((k) => k.type).join(', ')}`);
  const text = Buffer.from(data?.[kind.key] ?? '', 'base64').toString('utf8');
  const json = objectFrom(text, kind.key);
  const places = kind.inside === undefined ? json : (json[kind.inside] ?? {});
  if (!isObject(places)) throw new Error(`"${kind.key}" has no object "${kind.inside}"`);
  return Object.entries(places).flatMap(([place, value]) => {
    const auth = isObject(value) ? authOf(place, value) : undefined;
    return auth === undefined ? [] : [{ ...placeOf(place), auth }];
  });
}

function objectFrom(text: string, key: string): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(text);
    if (isObject(json)) return json;
  } catch {
    // said below: the parser's own words would quote what is secret
  }
  throw new Error(`"${key}" is missing or not a JSON object`);
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const textIn = (value: unknown): string => (typeof value === 'string' ? value : '');

/** `auth` is the base64 of `user:password`, and wins over the two apart. */
function authOf(place: string, value: Readonly<Record<string, unknown>>): RegistryAuth | undefined {
  const joined = Buffer.from(textIn(value['auth']), 'base64').toString('utf8');
  const colon = joined.indexOf(':');
  const username = colon > 0 ? joined.slice(0, colon) : textIn(value['username']);
  const password = colon > 0 ? joined.slice(colon + 1).replace(/\0+$/, '') : textIn(value['password']);
  const identityToken = textIn(value['identitytoken']);
  if (username === '' && identityToken === '') return undefined;
  return { server: placeOf(place).host, username, password, ...(identityToken === '' ? {} : { identityToken }) };
}

/** `https://host:port/v1/`, `host/path`, `*.host`: scheme and the versions of old registries mean nothing. */
function placeOf(place: string): { readonly host: string; readonly path: string } {
  const bare = place.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  const slash = bare.indexOf('/');
  const host = canonicalHost(slash < 0 ? bare : bare.slice(0, slash));
  const path = slash < 0 ? '' : bare.slice(slash + 1);
  return { host, path: /^v[12]$/.test(path) ? '' : path };
}

/** The path counts by whole parts; `*` in the host stands for one label, or part of one. */
function fits(entry: Entry, { host, path }: { readonly host: string; readonly path: string }): boolean {
  const [wanted, found] = [entry.host.split('.'), host.split('.')];
  const sameHost =
    wanted.length === found.length && wanted.every((label, at) => labelPattern(label).test(found[at] ?? ''));
  return sameHost && (entry.path === '' || path === entry.path || path.startsWith(`${entry.path}/`));
}

const labelPattern = (label: string): RegExp =>
  new RegExp(`^${label.replace(/[^*A-Za-z0-9-]/g, '\\$&').replaceAll('*', '[^.]*')}$`);
