import { shapeOf, shapeOfCustom, type Shape } from '../../../lib/api/apply/shape.ts';
import { customKindOf, type CustomKind } from '../../../lib/api/custom/kind.ts';
import { isCustom, kinds, resources, type BuiltIn, type Custom, type KindInfo } from '../../../lib/api/kinds.ts';
import type { CustomResourceDefinition } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Cache } from '../cache/cache.ts';
import { objectOf } from '../cache/filing.ts';

export type BuiltInKind = KindInfo & { readonly resource: BuiltIn; readonly at?: undefined };
/** A kind that is served; one that users defined has its version `at`. */
export type Kind = BuiltInKind | CustomKind;

/** What is served now: what is built in, and what users have defined. */
export interface KindSource {
  /** By the name of the resource (`pods`, `widgets.example.com`, also `leases.coordination.k8s.io`), in the version or that of the store. */
  find(resource: string, version?: string): Kind | undefined;
  /** As paths name it. */
  at(group: string, version: string, plural: string): Kind | undefined;
  /** By what its objects say. */
  ofObject(apiVersion: string, kind: string): Kind | undefined;
  /** Every kind that users defined, in each version that is served. */
  custom(): readonly CustomKind[];
  /** Changes with every definition. */
  readonly state: number;
}

const builtIn = (resource: BuiltIn): BuiltInKind => kinds[resource] as BuiltInKind;
const byQualifiedName = new Map(
  resources.map((resource) => [`${resource}.${kinds[resource].group}`, resource] as const),
);

/** Kinds as the cache has their definitions: read again only when one of these has changed. */
export class CachedKinds implements KindSource {
  readonly #cache: Cache;
  #state = -1;
  #definitions = new Map<Custom, CustomResourceDefinition>();
  #found = new Map<string, CustomKind | undefined>();

  constructor(cache: Cache) {
    this.#cache = cache;
  }

  get state(): number {
    const position = this.#cache.position('customresourcedefinitions');
    if (position !== this.#state) {
      this.#state = position;
      this.#found = new Map();
      this.#definitions = new Map();
      for (const entry of this.#cache.filing('customresourcedefinitions').entries())
        this.#definitions.set(entry.key as Custom, objectOf<CustomResourceDefinition>(entry));
    }
    return this.#state;
  }

  find(resource: string, version?: string): Kind | undefined {
    if (Object.hasOwn(kinds, resource)) return builtIn(resource as BuiltIn);
    const own = byQualifiedName.get(resource as `${BuiltIn}.${string}`);
    if (own !== undefined) return builtIn(own);
    return isCustom(resource) ? this.#custom(resource, version) : undefined;
  }

  at(group: string, version: string, plural: string): Kind | undefined {
    if (Object.hasOwn(kinds, plural)) {
      const info = kinds[plural as BuiltIn];
      if (info.group === group && info.version === version) return builtIn(plural as BuiltIn);
    }
    return group === '' ? undefined : this.#custom(`${plural}.${group}`, version);
  }

  ofObject(apiVersion: string, kind: string): Kind | undefined {
    const found = resources.find(
      (resource) =>
        kinds[resource].kind === kind &&
        apiVersion === [kinds[resource].group, kinds[resource].version].filter(Boolean).join('/'),
    );
    if (found !== undefined) return builtIn(found);
    return this.custom().find((each) => each.kind === kind && `${each.group}/${each.version}` === apiVersion);
  }

  custom(): readonly CustomKind[] {
    void this.state;
    return [...this.#definitions.values()].flatMap(({ metadata, spec }) =>
      spec.versions.flatMap(({ name }) => this.#custom(metadata.name as Custom, name) ?? []),
    );
  }

  #custom(resource: Custom, version: string | undefined): CustomKind | undefined {
    void this.state;
    const id = `${resource} ${version ?? ''}`;
    if (this.#found.has(id)) return this.#found.get(id);
    const definition = this.#definitions.get(resource);
    const kind = definition === undefined ? undefined : customKindOf(definition, version);
    if (definition !== undefined) this.#found.set(id, kind); // of what is not defined anybody may ask anything
    return kind;
  }
}

/** NotFound with the names that there are. */
export function kindNamed(source: KindSource, name: string, version?: string): Kind {
  const found = source.find(name, version);
  if (found !== undefined) return found;
  const custom = source.custom().map(({ resource }) => resource);
  throw new ApiError(
    'NotFound',
    `there is no resource "${name}"; there are ${[...resources, ...new Set(custom)].join(', ')}`,
    {
      resource: name,
    },
  );
}

/** What server-side apply knows of an object of this kind. */
export const shapeOfKind = (kind: Kind): Shape =>
  kind.at === undefined ? shapeOf(kind.kind) : shapeOfCustom(kind.at.schema?.openAPIV3Schema);

/** The message whose members an object's fields are looked up in: of a custom kind only metadata is known here. */
export const messageOf = (kind: Kind): string => (kind.at === undefined ? kind.kind : 'CustomObject');
