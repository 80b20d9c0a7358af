import { ApiError, alreadyExists, conflict, notFound } from '../../lib/base/errors.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { AnyObject } from '../../lib/api/kinds.ts';
import type { ApiObject } from '../../lib/api/objects.ts';
import type { Registry, Selection, Served, WatchBatch, Written } from '../../services/apiserver/registry/registry.ts';

type Stored = { object: AnyObject; revision: number };
type Change = { resource: string; type: 'ADDED' | 'MODIFIED' | 'DELETED'; stored: Stored };

/** Just enough of a registry to test a door: versions and watches, no rules. `watches` counts those held now. */
export interface FakeRegistry extends Registry {
  watches: number;
  /** Watches after an older revision are Expired. */
  compactedRevision: number;
  /** The options that the last write came with. */
  lastOptions: object | undefined;
}

export function newFakeRegistry(): FakeRegistry {
  const objects = new Map<string, Map<string, Stored>>();
  const changes: Change[] = [];
  const waiting = new Set<() => void>();
  let revision = 0;

  const of = (resource: string): Map<string, Stored> => {
    const known = objects.get(resource) ?? new Map<string, Stored>();
    objects.set(resource, known);
    return known;
  };
  const served = ({ object, revision: at }: Stored): Served => ({
    json: Buffer.from(JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: String(at) } })),
    revision: at,
  });
  const written = (stored: Stored, warnings: readonly string[] = []): Written => ({
    served: served(stored),
    object: stored.object,
    warnings,
  });
  const matches = ({ object }: Stored, { namespace, labelSelector }: Selection): boolean => {
    const [label = '', value] = labelSelector?.split('=') ?? [];
    return (
      (namespace === undefined || object.metadata.namespace === namespace) &&
      (labelSelector === undefined || object.metadata.labels?.[label] === value)
    );
  };
  function commit(resource: string, key: string, type: Change['type'], object: AnyObject): Stored {
    const stored = { object, revision: ++revision };
    if (type === 'DELETED') of(resource).delete(key);
    else of(resource).set(key, stored);
    changes.push({ resource, type, stored });
    for (const wake of waiting) wake();
    return stored;
  }
  function present(resource: string, key: string): Stored {
    const stored = of(resource).get(key);
    if (stored === undefined) throw notFound(resource, key.slice(key.indexOf('/') + 1));
    return stored;
  }

  const registry: FakeRegistry = {
    watches: 0,
    compactedRevision: 0,
    lastOptions: undefined,
    async get(resource, key) {
      const stored = of(resource).get(key);
      return stored === undefined ? undefined : served(stored);
    },
    async list(resource, selection) {
      const found = [...of(resource).values()].filter((stored) => matches(stored, selection));
      const start = Number(selection.continue ?? 0);
      const end = selection.limit === undefined ? found.length : start + selection.limit;
      return {
        items: found.slice(start, end).map(served),
        revision,
        ...(end < found.length ? { continue: String(end), remaining: found.length - end } : {}),
      };
    },
    async *watch(resource, selection, fromRevision, signal): AsyncGenerator<WatchBatch> {
      if (fromRevision < registry.compactedRevision) {
        throw new ApiError('Expired', `revision ${fromRevision} is compacted; list again`);
      }
      registry.watches++;
      try {
        let next = changes.findIndex((change) => change.stored.revision > fromRevision);
        if (next < 0) next = changes.length;
        while (!signal.aborted) {
          const batch = changes.slice(next);
          next = changes.length;
          const last = batch.at(-1);
          if (last !== undefined) {
            const wanted = batch.filter((change) => change.resource === resource && matches(change.stored, selection));
            yield {
              revision: last.stored.revision,
              changes: wanted.map(({ type, stored }) => ({ type, served: served(stored) })),
            };
            continue;
          }
          await new Promise<void>((resolve) => {
            const wake = (): void => {
              waiting.delete(wake);
              signal.removeEventListener('abort', wake);
              resolve();
            };
            waiting.add(wake);
            signal.addEventListener('abort', wake, { once: true });
          });
        }
      } finally {
        registry.watches--;
      }
    },
    async position(resource) {
      return changes.findLast((change) => change.resource === resource)?.stored.revision ?? 0;
    },
    async create(resource, namespace, draft, options) {
      registry.lastOptions = options;
      const { metadata, ...rest } = draft as AnyObject;
      const object = {
        ...rest,
        metadata: { ...metadata, ...(namespace === undefined ? {} : { namespace }), uid: `uid-${revision}` },
      };
      const key = keyOf(object);
      if (of(resource).has(key)) throw alreadyExists(resource, metadata.name);
      if (options.dryRun === true) return written({ object: object, revision: 0 });
      const warnings = 'oddField' in rest ? ['unknown field "oddField"'] : [];
      return written(commit(resource, key, 'ADDED', object), warnings);
    },
    async update(resource, key, value, options) {
      registry.lastOptions = options;
      const stored = present(resource, key);
      const wanted = (value as ApiObject).metadata.resourceVersion as string | undefined;
      if (wanted !== undefined && wanted !== String(stored.revision))
        throw conflict(resource, stored.object.metadata.name);
      return written(commit(resource, key, 'MODIFIED', value as AnyObject));
    },
    async patch(resource, key, patch, options) {
      registry.lastOptions = options;
      const { object } = present(resource, key);
      const { metadata, ...rest } = patch as Partial<AnyObject>;
      const changed = { ...object, ...rest, metadata: { ...object.metadata, ...metadata } };
      return written(commit(resource, key, 'MODIFIED', changed));
    },
    async delete(resource, key, options) {
      registry.lastOptions = options;
      return { ...written(commit(resource, key, 'DELETED', present(resource, key).object)), gone: true };
    },
    async deleteCollection(resource, selection) {
      const found = [...of(resource)].filter(([, stored]) => matches(stored, selection));
      for (const [key, stored] of found) commit(resource, key, 'DELETED', stored.object);
      return found.length;
    },
    async bind(binding, options) {
      registry.lastOptions = options;
      const key = keyOf(binding);
      const { object } = present('pods', key);
      const spec = object.spec as { readonly nodeName?: string };
      if (spec.nodeName !== undefined) throw conflict('pods', binding.metadata.name, `it is on ${spec.nodeName}`);
      return written(commit('pods', key, 'MODIFIED', { ...object, spec: { ...spec, nodeName: binding.target.name } }));
    },
    async scale(resource, key) {
      const stored = of(resource).get(key);
      if (stored === undefined) return undefined;
      const { replicas } = stored.object.spec as { replicas: number };
      const object = {
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: stored.object.metadata,
        spec: { replicas },
      };
      return served({ object: object, revision: stored.revision });
    },
  };
  return registry;
}
