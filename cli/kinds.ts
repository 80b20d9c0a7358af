import { isCustom, kinds, resourceByName, resourceOfKind, resources } from '../lib/api/kinds.ts';
import type { Custom, KindInfo, Resource } from '../lib/api/kinds.ts';
import { columnsOf, rowOf, type Column } from '../lib/api/printing/index.ts';
import type { Objects } from '../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../lib/api/objects.ts';
import { plainSteps } from '../lib/api/custom/json-path.ts';
import { customKindOf, type CustomKind } from '../lib/api/custom/kind.ts';
import { customColumns, customRow } from '../lib/api/custom/printing.ts';
import type { Session } from './session.ts';

/** The kinds that users of this command's cluster defined, as far as they were asked for: a process runs one command. */
const custom = new Map<Custom, CustomKind>();

/** Asks the cluster for its own kinds, beside which stand those of definitions that are about to be applied. */
export async function learnKinds(session: Session, coming: readonly CustomResourceDefinition[] = []): Promise<void> {
  const client = await session.client();
  const { items } = await client.list('customresourcedefinitions', {}, session.call);
  custom.clear();
  for (const definition of coming) {
    const kind = customKindOf({ ...definition, status: established });
    if (kind !== undefined) custom.set(kind.resource, kind);
  }
  for (const definition of items) {
    const kind = customKindOf(definition);
    if (kind !== undefined) custom.set(kind.resource, kind);
  }
}

const established = { conditions: [{ type: 'Established', status: 'True' }] } as const;

/** As `learnKinds`, only when one of these words names no built-in kind. */
export async function learnNamed(session: Session, words: readonly string[]): Promise<void> {
  if (words.some((word) => !namesBuiltIn(word))) await learnKinds(session);
}

const namesBuiltIn = (word: string): boolean => word === 'all' || resourceByName(word) !== undefined;

export const knownResources = (): readonly Resource[] => [...resources, ...custom.keys()];

export function kindInfo(resource: Resource): KindInfo {
  if (!isCustom(resource)) return kinds[resource];
  const kind = custom.get(resource);
  if (kind === undefined) throw new Error(`the kind of ${resource} was not asked for`);
  return kind;
}

/** Where objects of a kind that users defined have their number of replicas; undefined where the kind has no scale. */
export function replicasPath(resource: Resource): readonly string[] | undefined {
  const path = isCustom(resource) ? custom.get(resource)?.at.subresources?.scale?.specReplicasPath : undefined;
  return path === undefined ? undefined : plainSteps(path);
}

/** What a word such as `pods`, `po`, `widget` or `widgets.example.com` names. */
export function resourceNamed(word: string): Resource | undefined {
  const found = resourceByName(word);
  if (found !== undefined) return found;
  const lower = word.toLowerCase();
  for (const kind of custom.values()) {
    const names = [kind.plural, kind.singular, kind.kind.toLowerCase(), ...kind.shortNames];
    if (names.includes(lower) || names.some((name) => `${name}.${kind.group}` === lower)) return kind.resource;
  }
  return resources.find((resource) => kinds[resource].group !== '' && `${resource}.${kinds[resource].group}` === lower);
}

export function resourceFor(apiVersion: string, kind: string): Resource | undefined {
  for (const each of custom.values())
    if (each.kind === kind && each.versions.some(({ name }) => apiVersion === `${each.group}/${name}`))
      return each.resource;
  return resourceOfKind(apiVersion, kind);
}

/** Of all that a category such as `all` stands for. */
export const inCategory = (category: string): readonly Resource[] =>
  [...custom.values()].filter(({ categories }) => categories.includes(category)).map(({ resource }) => resource);

export function tableColumns(resource: Resource): readonly Column[] {
  if (!isCustom(resource)) return columnsOf(resource);
  const kind = custom.get(resource);
  return kind === undefined ? [] : customColumns(kind.at);
}

export function tableRow(resource: Resource, object: Objects[Resource], nowMs: number): readonly string[] {
  if (!isCustom(resource)) return rowOf(resource, object as Objects['pods'], nowMs);
  const kind = custom.get(resource);
  return kind === undefined ? [] : customRow(kind.at, object, nowMs);
}
