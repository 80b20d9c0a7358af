import { resourceOfKind, type Resource } from '../kinds.ts';
import type { CrossVersionObjectReference, CustomResourceDefinition } from '../objects.ts';
import { customKindOf } from './kind.ts';

/** The resource of what a reference names, built in or defined by users. A text says why there is none. */
export function resourceOf(
  { apiVersion = 'v1', kind }: Pick<CrossVersionObjectReference, 'apiVersion' | 'kind'>,
  definitions: readonly CustomResourceDefinition[],
): { readonly resource: Resource } | { readonly why: string } {
  const builtIn = resourceOfKind(apiVersion, kind);
  if (builtIn !== undefined) return { resource: builtIn };
  for (const definition of definitions) {
    const { group, names, versions } = definition.spec;
    if (names.kind !== kind || !versions.some(({ name }) => `${group}/${name}` === apiVersion)) continue;
    const custom = customKindOf(definition);
    if (custom !== undefined) return { resource: custom.resource };
  }
  return { why: `no kind "${kind}" is served in version "${apiVersion}"` };
}
