import type { CustomKind } from '../../../lib/api/custom/kind.ts';
import { parseJsonPath, plainSteps, valuesAt } from '../../../lib/api/custom/json-path.ts';
import { isAbsent, isObject, objectAt, type Json, type MutableJson } from '../../../lib/api/json.ts';
import { splitKey, type Key } from '../../../lib/api/keys.ts';
import { formatSelector, selectorOf, selectorOfLabelSelector } from '../../../lib/api/labels.ts';
import type { ApiObject, Deployment, ReplicaSet, ReplicationController, Scale } from '../../../lib/api/objects.ts';
import { applyPatch, type PatchType } from '../../../lib/api/patch/patch.ts';
import { ApiError, invalid } from '../../../lib/base/errors.ts';
import { parseObject } from '../cache/indexed.ts';
import { rewrite, type Core } from './core.ts';
import type { Kind } from './kinds.ts';
import { expectedRevision } from './drafts.ts';
import { handOf } from './managing.ts';
import type { Served, WriteOptions, Written } from './registry.ts';
import { nextObject } from './next.ts';

/** The built-in kinds with a number of replicas. */
export const scaled = ['replicationcontrollers', 'replicasets', 'deployments'] as const;
type Scaled = ReplicationController | ReplicaSet | Deployment;

/** Whether the objects of a kind have a number of replicas that can be set by itself. */
export const hasScale = (kind: Kind): boolean =>
  kind.at === undefined
    ? (scaled as readonly string[]).includes(kind.resource)
    : kind.at.subresources?.scale !== undefined;

export function checkHasScale(kind: Kind): void {
  if (hasScale(kind)) return;
  throw new ApiError('MethodNotAllowed', `${kind.resource} have no scale`, { resource: kind.resource });
}

/** The Scale (autoscaling/v1) of an object: its replica count by itself, for those who only count. */
export function scaleOf(kind: Kind, object: ApiObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: { name, ...(namespace === undefined ? {} : { namespace }), uid, resourceVersion, creationTimestamp },
    ...(kind.at === undefined ? ofController(object as Scaled) : ofCustom(kind, object)),
  };
}

const ofController = ({ kind, spec, status }: Scaled): Pick<Scale, 'spec' | 'status'> => ({
  spec: { replicas: spec.replicas },
  status: {
    replicas: status.replicas ?? 0,
    selector: formatSelector(
      kind === 'ReplicationController'
        ? selectorOf(spec.selector as ReplicationController['spec']['selector'])
        : selectorOfLabelSelector(spec.selector),
    ),
  },
});

function ofCustom({ at }: CustomKind, object: ApiObject): Pick<Scale, 'spec' | 'status'> {
  const { specReplicasPath = '', statusReplicasPath = '', labelSelectorPath } = at.subresources?.scale ?? {};
  const read = (path: string): unknown => {
    const steps = parseJsonPath(path);
    return steps === undefined ? undefined : valuesAt(steps, object)[0];
  };
  const [wanted, present] = [read(specReplicasPath), read(statusReplicasPath)];
  const selector = labelSelectorPath === undefined ? undefined : read(labelSelectorPath);
  return {
    spec: typeof wanted === 'number' ? { replicas: wanted } : {},
    status: {
      replicas: typeof present === 'number' ? present : 0,
      ...(typeof selector === 'string' ? { selector } : {}),
    },
  };
}

/** The object with another number of replicas. */
function withReplicas(kind: Kind, object: Json, replicas: number): MutableJson {
  const path = kind.at?.subresources?.scale?.specReplicasPath ?? '.spec.replicas';
  return put(object, plainSteps(path) ?? [], replicas);
}

function put(object: Json, [step, ...rest]: readonly string[], value: unknown): MutableJson {
  if (step === undefined) return { ...object };
  return { ...object, [step]: rest.length === 0 ? value : put(objectAt(object, step), rest, value) };
}

export function servedScale(kind: Kind, json: Buffer, revision: number): Served {
  const scale = scaleOf(kind, parseObject(json));
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

/** A patch of the Scale. */
export function patchScale(
  core: Core,
  info: Kind,
  key: Key,
  input: {
    readonly patch: { readonly type: Exclude<PatchType, 'apply'>; readonly value: unknown };
    readonly options: WriteOptions;
  },
): Promise<Written> {
  const { patch, options } = input;
  const given = isObject(patch.value) ? patch.value : {};
  return rescale(core, info, key, { options, next: (scale) => applyPatch('Scale', scale, patch), given });
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
      const now = scaleOf(info, current.object as unknown as ApiObject);
      const replicas = replicasIn(input.next(now as unknown as Json), splitKey(key).name);
      const next = withReplicas(info, current.object, replicas);
      next['metadata'] = { ...objectAt(current.object, 'metadata') };
      const hand = handOf(core, info, 'Update', { ...input.options, subresource: 'scale' });
      return nextObject(core, info, current, { next, traceparent: input.options.traceparent, hand });
    },
    { ...input.options, expectRevision: isObject(whole) ? expectedRevision({ ...whole }) : undefined },
  );
  const scale = scaleOf(info, written.object);
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
