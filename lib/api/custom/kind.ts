import { isObject } from '../json.ts';
import type { Custom, KindInfo } from '../kinds.ts';
import type { CustomResourceDefinition, CustomVersion } from '../objects.ts';

/** A kind that users defined, in one of its versions. */
export interface CustomKind extends KindInfo {
  readonly resource: Custom;
  /** As in paths; `resource` has the group too. */
  readonly plural: string;
  readonly listKind: string;
  readonly categories: readonly string[];
  /** All that are served. */
  readonly versions: readonly CustomVersion[];
  /** The one that `version` names: its schema, columns and subresources. */
  readonly at: CustomVersion;
  /** In which objects are stored. */
  readonly storageVersion: string;
}

export const isEstablished = ({ status }: CustomResourceDefinition): boolean =>
  status.conditions?.some(({ type, status: answer }) => type === 'Established' && answer === 'True') === true;

/** The kind in the version that is asked for, or in that in which it is stored; undefined when it is not served, or not in that version. */
export function customKindOf(definition: CustomResourceDefinition, version?: string): CustomKind | undefined {
  const { group, scope, versions } = definition.spec;
  const storage = versions.find((each) => each.storage);
  const at = version === undefined ? storage : versions.find((each) => each.name === version && each.served);
  if (storage === undefined || at === undefined || !isEstablished(definition)) return undefined;
  const { plural, singular = '', kind, listKind, shortNames = [], categories = [] } = definition.spec.names;
  return {
    ...{ resource: `${plural}.${group}`, plural, kind, singular, shortNames, categories, group, at },
    listKind: listKind ?? `${kind}List`,
    version: at.name,
    namespaced: scope === 'Namespaced',
    hasStatus: at.subresources?.status !== undefined,
    versions: versions.filter((each) => each.served),
    storageVersion: storage.name,
  };
}

export const storageApiVersion = (kind: CustomKind): string => `${kind.group}/${kind.storageVersion}`;

/** The version that an object says it is of, if it is one of the kind that is served. */
export function versionIn(kind: CustomKind, value: unknown): string | undefined {
  const said = isObject(value) ? value['apiVersion'] : undefined;
  return kind.versions.find(({ name }) => said === `${kind.group}/${name}`)?.name;
}
