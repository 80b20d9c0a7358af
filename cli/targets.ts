import type { Resource } from '../lib/api/kinds.ts';
import { inCategory, kindInfo, knownResources, learnNamed, resourceNamed } from './kinds.ts';
import type { Session } from './session.ts';
import { UsageError } from './shell.ts';

/** What a person named: one kind, and which of its objects; without names, all that the selectors leave. */
export interface Target {
  readonly resource: Resource;
  readonly names?: readonly string[];
}

/** The kinds behind a word that stands for several. */
const categories: Readonly<Record<string, readonly Resource[]>> = {
  all: [
    'pods',
    'replicationcontrollers',
    'services',
    'daemonsets',
    'deployments',
    'replicasets',
    'jobs',
    'cronjobs',
    'horizontalpodautoscalers',
  ],
};

/**
 * Reads `pods`, `pods,svc`, `pods web-1 web-2`, `pod/web-1 svc/web`. One target a kind, in the order given.
 * Throws UsageError for an unknown kind, or where both forms are mixed.
 */
export function parseTargets(words: readonly string[]): Target[] {
  const [first, ...rest] = words;
  if (first === undefined) throw new UsageError(`name a kind, such as pods or pod/web-1. Kinds: ${kindList()}`);
  if (words.some((word) => word.includes('/'))) return parsePairs(words);
  const chosen = [...new Set(first.split(',').flatMap(resourcesNamed))];
  return chosen.map((resource) => (rest.length === 0 ? { resource } : { resource, names: rest }));
}

/** As `parseTargets`, asking the cluster for its own kinds where a word names none that is built in. */
export async function readTargets(session: Session, words: readonly string[]): Promise<Target[]> {
  const [first = ''] = words;
  const pairs = words.filter((word) => word.includes('/'));
  await learnNamed(
    session,
    pairs.length > 0 ? pairs.map((word) => word.slice(0, word.indexOf('/'))) : first.split(','),
  );
  return parseTargets(words);
}

function parsePairs(words: readonly string[]): Target[] {
  const byResource = new Map<Resource, string[]>();
  for (const word of words) {
    const slash = word.indexOf('/');
    const name = word.slice(slash + 1);
    if (slash <= 0 || name === '' || name.includes('/')) {
      throw new UsageError(`"${word}": with kind/name, every object is written so, as in pod/web-1 service/web`);
    }
    for (const resource of resourcesNamed(word.slice(0, slash))) {
      byResource.set(resource, [...(byResource.get(resource) ?? []), name]);
    }
  }
  return [...byResource].map(([resource, names]) => ({ resource, names: [...new Set(names)] }));
}

function resourcesNamed(word: string): readonly Resource[] {
  const category = categories[word.toLowerCase()];
  if (category !== undefined) return [...category, ...inCategory(word.toLowerCase())];
  const resource = resourceNamed(word);
  if (resource === undefined) throw new UsageError(`there is no kind "${word}". Kinds: ${kindList()}`);
  return [resource];
}

const kindList = (): string =>
  knownResources()
    .map((resource) => {
      const short = kindInfo(resource).shortNames[0];
      return short === undefined ? resource : `${resource} (${short})`;
    })
    .join(', ');

/** `pod/web-1`, the name under which every command speaks of an object; with the group where it is not the core one. */
export function nameOf(resource: Resource, name: string): string {
  const { singular, group } = kindInfo(resource);
  return group === '' ? `${singular}/${name}` : `${singular}.${group}/${name}`;
}

/** The namespace in which to look for objects of a kind; undefined for all, and for kinds that have none. */
export const scopeOf = (resource: Resource, namespace: string, all: boolean): string | undefined =>
  all || !kindInfo(resource).namespaced ? undefined : namespace;

/**
 * A selector as the API reads it. `stage==production && role==frontend` is how the Borg and Omega papers' successor
 * wrote them (F90, ACM Queue 2016); the API itself knows the comma only.
 */
export const selectorText = (text: string): string => text.replace(/\s*&&\s*/g, ',').trim();
