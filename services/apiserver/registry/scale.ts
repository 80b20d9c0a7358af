import { isAbsent, isObject, objectAt, type Json } from '../../../lib/api/json.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import type { KindInfo, Resource } from '../../../lib/api/kinds.ts';
import { formatSelector, selectorOf } from '../../../lib/api/labels.ts';
import type { ApiObject, ReplicationController, Scale } from '../../../lib/api/objects.ts';
import { applyMergePatch } from '../../../lib/api/patch.ts';
import { ApiError, invalid } from '../../../lib/base/errors.ts';
import { parseObject } from '../cache/indexed.ts';
import { rewrite, type Core } from './core.ts';
import { expectedRevision } from './drafts.ts';
import type { Served, WriteOptions, Written } from './registry.ts';
import { nextObject } from './next.ts';

type Kind = KindInfo & { readonly resource: Resource };

export function checkHasScale(info: KindInfo): void {
  if (info.resource === 'replicationcontrollers') return;
  throw new ApiError('MethodNotAllowed', `${info.resource} have no scale`, { resource: info.resource });
}

/** The Scale (autoscaling/v1) of a ReplicationController: its replica count by itself, for those who only count. */
export function scaleOf(object: ReplicationController): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const selector = formatSelector(selectorOf(object.spec.selector));
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    spec: { replicas: object.spec.replicas },
    status: { replicas: object.status.replicas, selector },
  };
}

export function servedScale(json: Buffer, revision: number): Served {
  const scale = scaleOf(parseObject(json) as ReplicationController);
  return { json: Buffer.from(JSON.stringify(scale)), revision };
}

/** Sets the replica count from a Scale; conditional on its resourceVersion when that is set. */
export function updateScale(
  core: Core,
  info: Kind,
  key: Key,
  input: { readonly object: unknown; readonly options: WriteOptions },
): Promise<Written> {
  const { object, options } = input;
  return rescale(core, info, key, { options, next: () => object });
}

/** A merge patch on the Scale. */
export function patchScale(
  core: Core,
  info: Kind,
  key: Key,
  input: { readonly patch: Json; readonly options: WriteOptions },
): Promise<Written> {
  const { patch, options } = input;
  return rescale(core, info, key, { options, next: (scale) => applyMergePatch(scale, patch), given: patch });
}

async function rescale(
  core: Core,
  info: Kind,
  key: Key,
  input: {
    readonly options: WriteOptions;
    readonly next: (scale: Json) => unknown;
    /** Where a resourceVersion counts as an expectation; the new Scale when absent. */
    readonly given?: Json;
  },
): Promise<Written> {
  checkHasScale(info);
  const whole = input.given ?? input.next({});
  const written = await rewrite(
    core,
    { resource: info.resource, key },
    (current) => {
      const now = scaleOf(current.object as unknown as ReplicationController);
      const replicas = replicasIn(input.next(now as unknown as Json), splitKey(key).name);
      const spec = { ...objectAt(current.object, 'spec'), replicas };
      const next = { ...current.object, spec, metadata: { ...objectAt(current.object, 'metadata') } };
      return nextObject(core, info, current, { next, traceparent: input.options.traceparent });
    },
    { ...input.options, expectRevision: isObject(whole) ? expectedRevision({ ...whole }) : undefined },
  );
  const scale = scaleOf(written.object as ReplicationController);
  const json = Buffer.from(JSON.stringify(scale));
  return { served: { json, revision: written.served.revision }, object: scale as ApiObject, warnings: [] };
}

function replicasIn(scale: unknown, name: string): number {
  if (!isObject(scale)) throw new ApiError('BadRequest', 'a Scale is a JSON object');
  const replicas = objectAt(scale, 'spec')['replicas'];
  if (isAbsent(replicas)) return 0; // as in the wire form, where zero and absent are the same
  if (typeof replicas === 'number' && Number.isInteger(replicas) && replicas >= 0 && replicas < 2 ** 31)
    return replicas;
  throw invalid('Scale', name, [
    {
      field: 'spec.replicas',
      reason: 'FieldValueInvalid',
      message: `Invalid value: ${JSON.stringify(replicas)}: must be a whole number, 0 or more`,
    },
  ]);
}
