import type {
  Condition,
  HorizontalPodAutoscaler,
  HorizontalPodAutoscalerStatus,
  MetricSpec,
  MetricStatus,
} from '../../lib/api/objects.ts';
import { rfc3339 } from '../../lib/base/clock.ts';
import type { Finding } from './decide.ts';
import type { Measured } from './measure.ts';
import type { Change, Memory } from './pace.ts';

export type ConditionType = 'AbleToScale' | 'ScalingActive' | 'ScalingLimited';
export type Findings = Readonly<Partial<Record<ConditionType, Finding>>>;

/** A status that says what was found and done. What was not looked at stays as it was. */
export function statusOf(
  autoscaler: HorizontalPodAutoscaler,
  found: {
    readonly findings: Findings;
    readonly current?: number;
    readonly desired?: number;
    readonly metrics?: readonly Measured[];
    readonly memory?: Memory;
    readonly scaled: boolean;
  },
  nowMs: number,
): HorizontalPodAutoscalerStatus {
  const { status, spec, metadata } = autoscaler;
  const { findings, current, desired, metrics, memory, scaled } = found;
  const recent = memory === undefined ? status.recentScales : memory.changes.map(toScale);
  const { recentScales: _, ...before } = status;
  return {
    ...before,
    ...(metadata.generation !== undefined && { observedGeneration: metadata.generation }),
    ...(current !== undefined && { currentReplicas: current }),
    ...(desired !== undefined && { desiredReplicas: desired }),
    ...(scaled && { lastScaleTime: rfc3339(nowMs) }),
    ...(metrics !== undefined && { currentMetrics: figuresOf(spec.metrics, metrics) }),
    ...(recent !== undefined && recent.length > 0 && { recentScales: recent }),
    conditions: conditionsOf(status.conditions ?? [], findings, nowMs),
  };
}

/** Those that were measured, at their place in the spec as far as all before them were. */
function figuresOf(specs: readonly MetricSpec[], measured: readonly Measured[]): readonly MetricStatus[] {
  return specs.flatMap((spec, index): MetricStatus[] => {
    const found = measured[index];
    if (found === undefined || 'why' in found) return [];
    const { current } = found;
    switch (spec.type) {
      case 'Resource':
        return [{ type: spec.type, resource: { name: spec.resource.name, current } }];
      case 'ContainerResource': {
        const { name, container } = spec.containerResource;
        return [{ type: spec.type, containerResource: { name, container, current } }];
      }
      case 'Pods':
        return [{ type: spec.type, pods: { metric: spec.pods.metric, current } }];
      case 'Object': {
        const { describedObject, metric } = spec.object;
        return [{ type: spec.type, object: { describedObject, metric, current } }];
      }
      case 'External':
        return [{ type: spec.type, external: { metric: spec.external.metric, current } }];
    }
  });
}

function conditionsOf(before: readonly Condition[], findings: Findings, nowMs: number): readonly Condition[] {
  const kept = before.filter(({ type }) => !Object.hasOwn(findings, type));
  const next = Object.entries(findings).map(([type, finding]): Condition => {
    const was = before.find((condition) => condition.type === type);
    const since = was?.status === finding.status ? was.lastTransitionTime : undefined;
    return { type, ...finding, lastTransitionTime: since ?? rfc3339(nowMs) };
  });
  return [...kept, ...next].toSorted((a, b) => (a.type < b.type ? -1 : 1));
}

/** Times have whole seconds: rounded up, so that a policy never counts a change for too short. */
const toScale = ({ atMs, change }: Change): { time: string; change: number } => ({
  time: rfc3339(Math.ceil(atMs / 1000) * 1000),
  change,
});

/**
 * What another instance of the autoscaler, or this one before its restart, has left: the changes it told of, and, where the count is
 * another than it told, that difference as a change of now. It may have set the count and ended before it could say so.
 */
export function memoryLeft({ status }: HorizontalPodAutoscaler, current: number, nowMs: number): Memory {
  const changes = (status.recentScales ?? []).map(({ time, change }) => ({ atMs: Date.parse(time), change }));
  const untold = status.desiredReplicas === undefined ? 0 : current - status.desiredReplicas;
  return { wishes: [], changes: untold === 0 ? changes : [...changes, { atMs: nowMs, change: untold }] };
}
