import type { Key } from '../../../lib/api/keys.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { withRevision } from '../../../lib/api/stored.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import { addressOf } from '../cache/cache.ts';
import { indexedOf, parseObject } from '../cache/indexed.ts';
import { selecting, type Selecting } from '../cache/selecting.ts';
import { Slices } from '../cache/slices.ts';
import { kindOf, type Core } from './core.ts';
import type { Paging, Selection, Served, ServedList } from './registry.ts';
import { selectableIn } from './selectable.ts';
import { checkHasScale, servedScale } from './scale.ts';

/** `Registry.get`. */
export async function get(core: Core, resourceName: string, key: Key): Promise<Served | undefined> {
  const { resource } = await kindOf(core, resourceName);
  await core.cache.fresh();
  const entry = core.cache.get(resource, key);
  return entry === undefined ? undefined : { json: entry.json, revision: entry.revision };
}

/** `Registry.scale`. */
export async function getScale(core: Core, resourceName: string, key: Key): Promise<Served | undefined> {
  const kind = await kindOf(core, resourceName);
  checkHasScale(kind);
  const served = await get(core, resourceName, key);
  return served === undefined ? undefined : servedScale(kind, served.json, served.revision);
}

/** `Registry.list`: the present from the cache, without parsing; the past from the store. */
export async function list(core: Core, resourceName: string, options: Selection & Paging): Promise<ServedList> {
  const kind = await kindOf(core, resourceName);
  const chosen = selecting(kind.resource, options, selectableIn(kind));
  const limit = options.limit === undefined || options.limit <= 0 ? Infinity : options.limit;
  const token = options.continue === undefined || options.continue === '' ? undefined : decode(options.continue);
  await core.cache.fresh();
  if (!chosen.takesAll) await core.cache.filed(kind.resource);
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

/** What is there is noted at once, so that all of it is of one revision; looking through it may take its time. */
async function listPresent(core: Core, chosen: Selecting, { revision, afterKey, limit }: Page): Promise<ServedList> {
  const { seen, remaining } = core.cache.filing(chosen.resource).glimpse(chosen, afterKey, limit);
  if (chosen.takesAll) {
    const last = seen.at(-1);
    if (remaining === 0 || last === undefined) return { items: seen, revision };
    return { items: seen, revision, continue: encode({ revision, afterKey: last.key }), remaining };
  }
  const items: (typeof seen)[number][] = [];
  const slices = new Slices();
  for (const one of seen) {
    if (chosen.matches(one.indexed, () => parseObject(one.json))) {
      // How many more match would have to be counted: it is not told, as the API allows.
      if (items.length >= limit)
        return { items, revision, continue: encode({ revision, afterKey: items.at(-1)?.key ?? '' }) };
      items.push(one);
    }
    if (slices.isOver()) await slices.next();
  }
  return { items, revision };
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
