import type { Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { addressOf } from '../cache/cache.ts';
import { indexedOf, parseObject } from '../cache/indexed.ts';
import { selecting, type Selecting } from '../cache/selecting.ts';
import { kindOf, type Core } from './core.ts';
import type { Paging, Selection, Served, ServedList } from './registry.ts';
import { checkHasScale, servedScale } from './scale.ts';

/** `Registry.get`. */
export async function get(core: Core, resourceName: string, key: Key): Promise<Served | undefined> {
  const { resource } = kindOf(resourceName);
  await core.cache.fresh();
  const entry = core.cache.get(resource, key);
  return entry === undefined ? undefined : { json: entry.json, revision: entry.revision };
}

/** `Registry.scale`. */
export async function getScale(core: Core, resourceName: string, key: Key): Promise<Served | undefined> {
  checkHasScale(kindOf(resourceName));
  const served = await get(core, resourceName, key);
  return served === undefined ? undefined : servedScale(served.json, served.revision);
}

/** `Registry.list`: the present from the cache, without parsing; the past from the store. */
export async function list(core: Core, resourceName: string, options: Selection & Paging): Promise<ServedList> {
  const { resource } = kindOf(resourceName);
  const chosen = selecting(resource, options);
  const limit = options.limit === undefined || options.limit <= 0 ? Infinity : options.limit;
  const token = options.continue === undefined || options.continue === '' ? undefined : decode(options.continue);
  await core.cache.fresh();
  const revision = token?.revision ?? options.atRevision ?? core.cache.revision;
  if (revision > core.cache.revision) {
    throw new ApiError('BadRequest', `revision ${revision} is yet to come: the latest is ${core.cache.revision}`);
  }
  const page = { revision, afterKey: token?.afterKey ?? '', limit };
  return revision === core.cache.revision ? listPresent(core, chosen, page) : listPast(core, chosen, page);
}

interface Page {
  readonly revision: number;
  readonly afterKey: Key;
  readonly limit: number;
}

function listPresent(core: Core, chosen: Selecting, { revision, afterKey, limit }: Page): ServedList {
  const { entries, remaining } = core.cache.filing(chosen.resource).select(chosen, afterKey, limit);
  const items = entries.map(({ json, revision: changed }) => ({ json, revision: changed }));
  const last = entries.at(-1);
  if (remaining === 0 || last === undefined) return { items, revision };
  return { items, revision, continue: encode({ revision, afterKey: last.key }), remaining };
}

const pastPage = 500;

async function listPast(core: Core, chosen: Selecting, { revision, afterKey, limit }: Page): Promise<ServedList> {
  const { resource, namespace } = chosen;
  const prefix = namespace === undefined ? `${resource}/` : `${resource}/${namespace}/`;
  const items: Served[] = [];
  let after = afterKey === '' ? '' : `${resource}/${afterKey}`;
  for (;;) {
    const page = await core.store.list(prefix, { limit: pastPage, afterKey: after, atRevision: revision });
    for (const { key, value, revision: changed } of page.entries) {
      if (!matches(chosen, resource, keyOf(key), value)) continue;
      if (items.length >= limit) return { items, revision, continue: encode({ revision, afterKey: keyOf(after) }) };
      items.push({ json: withRevision(value, changed), revision: changed });
      after = key;
    }
    after = page.entries.at(-1)?.key ?? after;
    if (!page.more) return { items, revision };
  }
}

const matches = (chosen: Selecting, resource: Resource, key: Key, value: Uint8Array): boolean =>
  chosen.matches(indexedOf(resource, key, value), () => parseObject(value));
const keyOf = (storeKey: string): Key => addressOf(storeKey)?.key ?? '';

interface Token {
  readonly revision: number;
  readonly afterKey: Key;
}

const encode = (token: Token): string =>
  Buffer.from(JSON.stringify([token.revision, token.afterKey])).toString('base64url');

function decode(text: string): Token {
  try {
    const [revision, afterKey] = JSON.parse(Buffer.from(text, 'base64url').toString()) as [unknown, unknown];
    if (Number.isSafeInteger(revision) && typeof afterKey === 'string')
      return { revision: revision as number, afterKey };
  } catch {
    // Said below, as for any other text that this server did not give.
  }
  throw new ApiError('BadRequest', 'continue: not a token that this server gave');
}
