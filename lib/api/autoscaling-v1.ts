import { isAbsent, isObject, listAt, objectAt, textAt, type Json, type MutableJson } from './json.ts';

/** The older version of the group, by cpu alone. Autoscalers are kept as v2; whoever asks for v1 sees and writes them in this form. */
export const autoscalingV1 = 'autoscaling/v1';
const autoscalingV2 = 'autoscaling/v2';

/** What v1 has no field for, as JSON with `metrics` and `behavior` of v2, so that reading and writing back loses nothing. */
export const restAnnotation = 'troupe.dev/autoscaling-v2';
/** Where clients of v1 look for conditions; for reading only (Kubernetes, autoscaling/v1). */
export const conditionsAnnotation = 'autoscaling.alpha.kubernetes.io/conditions';

const isCpuShare = (metric: unknown): boolean => {
  const resource = objectAt(asMetric(metric), 'resource');
  return resource['name'] === 'cpu' && !isAbsent(objectAt(resource, 'target')['averageUtilization']);
};
const asMetric = (metric: unknown): Json => (isObject(metric) ? metric : {});

const cpuShare = (percent: unknown): Json => ({
  type: 'Resource',
  resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: percent } },
});

/** An autoscaler of v2 as v1 shows it. */
export function toAutoscalingV1(autoscaler: object): Json {
  const { apiVersion: _, kind, metadata, ...whole } = autoscaler as Json;
  const { metrics: __, behavior, ...spec } = objectAt(whole, 'spec');
  const { currentMetrics: ___, conditions, recentScales: ____, ...status } = objectAt(whole, 'status');
  const metrics = listAt(objectAt(whole, 'spec'), 'metrics');
  const cpu = metrics.find(isCpuShare);
  const others = metrics.filter((metric) => metric !== cpu);
  const rest = { ...(others.length > 0 && { metrics: others }), ...(isAbsent(behavior) ? {} : { behavior }) };
  const said = {
    ...objectAt(objectAt(autoscaler as Json, 'metadata'), 'annotations'),
    ...(Object.keys(rest).length > 0 && { [restAnnotation]: JSON.stringify(rest) }),
    ...(isAbsent(conditions) ? {} : { [conditionsAnnotation]: JSON.stringify(conditions) }),
  };
  const current = listAt(objectAt(whole, 'status'), 'currentMetrics')
    .map((metric) => objectAt(objectAt(asMetric(metric), 'resource'), 'current')['averageUtilization'])
    .find((percent) => !isAbsent(percent));
  return {
    ...{ apiVersion: autoscalingV1, kind },
    metadata: { ...(metadata as object), ...(Object.keys(said).length > 0 && { annotations: said }) },
    ...whole,
    spec: {
      ...spec,
      ...(cpu !== undefined && {
        targetCPUUtilizationPercentage: objectAt(objectAt(cpu as Json, 'resource'), 'target')['averageUtilization'],
      }),
    },
    status: { ...status, ...(current !== undefined && { currentCPUUtilizationPercentage: current }) },
  };
}

/** An autoscaler of v1 as it is kept. A value that is no object, or that says another version, is left as it is, for others to judge. */
export function fromAutoscalingV1(value: unknown): unknown {
  if (!isObject(value)) return value;
  const version = textAt(value, 'apiVersion');
  if (version !== '' && version !== autoscalingV1) return value; // such as v2 itself
  const { metadata: _, spec: __, status: ___, ...others } = value;
  const next: MutableJson = { ...others, apiVersion: autoscalingV2 };
  const annotations = objectAt(objectAt(value, 'metadata'), 'annotations');
  const { [restAnnotation]: rest, [conditionsAnnotation]: ____, ...kept } = annotations;
  if (!isAbsent(value['metadata'])) {
    const metadata: MutableJson = { ...objectAt(value, 'metadata') };
    if (!isAbsent(metadata['annotations'])) metadata['annotations'] = kept;
    next['metadata'] = metadata;
  }
  if (!isAbsent(value['spec'])) next['spec'] = specOf(objectAt(value, 'spec'), restIn(rest));
  if (!isAbsent(value['status'])) {
    const { currentCPUUtilizationPercentage: _____, ...status } = objectAt(value, 'status');
    next['status'] = status;
  }
  return next;
}

function specOf({ targetCPUUtilizationPercentage: percent, ...spec }: Json, rest: Json): Json {
  const metrics = [...(isAbsent(percent) || percent === 0 ? [] : [cpuShare(percent)]), ...listAt(rest, 'metrics')];
  return {
    ...spec,
    ...(metrics.length > 0 && { metrics }),
    ...(isAbsent(rest['behavior']) ? {} : { behavior: rest['behavior'] }),
  };
}

function restIn(text: unknown): Json {
  try {
    const rest: unknown = typeof text === 'string' ? JSON.parse(text) : undefined;
    return isObject(rest) ? rest : {};
  } catch {
    return {}; // it was written by nobody who knows what it is for
  }
}

const percentPath = '/spec/targetCPUUtilizationPercentage';

/** A change that is written for v1: what it says of the share of cpu becomes the only metric. */
export function patchFromAutoscalingV1(patch: unknown): unknown {
  if (!Array.isArray(patch)) return isObject(patch) ? patchOf(patch) : patch;
  return patch.map((operation: unknown) =>
    isObject(operation) && operation['path'] === percentPath && operation['op'] !== 'remove'
      ? { ...operation, path: '/spec/metrics', value: [cpuShare(operation['value'])] }
      : operation,
  );
}

/** A patch that says no version stays without one. */
function patchOf(patch: Json): unknown {
  const next = fromAutoscalingV1(patch);
  if (!isObject(next) || !isAbsent(patch['apiVersion'])) return next;
  const { apiVersion: _, ...rest } = next;
  return rest;
}
