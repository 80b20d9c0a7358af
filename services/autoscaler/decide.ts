import type { HorizontalPodAutoscalerSpec } from '../../lib/api/objects.ts';
import { usualRules } from '../../lib/api/defaults/autoscaling.ts';
import { ceiling, floor, remembering, stabilized, type Memory, type Pace, type Rules } from './pace.ts';

/** True or not, why, and in words. */
export interface Finding {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

export interface Decision {
  readonly replicas: number;
  /** Why, for the event; empty where nothing changes. */
  readonly because: string;
  readonly able: Finding;
  readonly limited: Finding;
  readonly memory: Memory;
}

/** What the metrics ask for, and which of them. */
export interface Wanted {
  readonly replicas: number;
  readonly metric: string;
}

type Spec = Pick<HorizontalPodAutoscalerSpec, 'minReplicas' | 'maxReplicas' | 'behavior'> & {
  /** Why the least is more than the user's for now. */
  readonly awakeBecause?: string;
};

/**
 * The bounds while a Service is wanted that this autoscaler serves: a target that may go to zero has one pod at least, at once, and whatever
 * windows and policies say.
 */
export const awake = <S extends Spec>(spec: S, because: string | undefined): S =>
  because === undefined || spec.minReplicas > 0 ? spec : { ...spec, minReplicas: 1, awakeBecause: because };

/** The rules of a spec, with what it does not say. */
export function paceOf({ behavior }: Spec, downscaleStabilizationMs: number): Pace {
  const complete = (direction: 'scaleUp' | 'scaleDown'): Rules => {
    const said = behavior?.[direction];
    const usual = usualRules[direction];
    return {
      selectPolicy: said?.selectPolicy ?? usual.selectPolicy,
      policies: said?.policies ?? usual.policies,
      stabilizationWindowSeconds:
        said?.stabilizationWindowSeconds ?? usual.stabilizationWindowSeconds ?? downscaleStabilizationMs / 1000,
    };
  };
  return { up: complete('scaleUp'), down: complete('scaleDown') };
}

const within: Finding = {
  status: 'False',
  reason: 'DesiredWithinRange',
  message: 'the desired count is within the acceptable range',
};

/**
 * The number of replicas for now, from what the metrics want and what was wanted and done before. Pure: the same arguments give the same
 * answer. A count outside of the bounds is brought to them at once; inside, the windows and then the policies hold back. `wanted` is undefined
 * where a count is out of bounds and nothing was measured.
 */
export function decide(
  spec: Spec,
  current: number,
  wanted: Wanted | undefined,
  at: { readonly memory: Memory; readonly pace: Pace; readonly nowMs: number },
): Decision {
  const { memory, pace, nowMs } = at;
  const { minReplicas, maxReplicas } = spec;
  const outside = current > maxReplicas ? maxReplicas : current < minReplicas ? minReplicas : undefined;
  if (outside !== undefined || wanted === undefined) {
    const replicas = outside ?? current;
    return {
      replicas,
      because: because(
        current,
        replicas,
        current > maxReplicas ? 'above maxReplicas' : (spec.awakeBecause ?? 'below minReplicas'),
      ),
      able: ready(current, replicas),
      limited: within,
      // Waking is a wish, too: the window before the next zero begins with it.
      memory: remembering(
        memory,
        { change: replicas - current, ...(spec.awakeBecause !== undefined && { wish: replicas }) },
        pace,
        nowMs,
      ),
    };
  }
  // Whoever has just begun to watch knows no past: where it found things counts as the first wish.
  const past = memory.wishes.length > 0 ? memory : { ...memory, wishes: [{ atMs: nowMs, replicas: current }] };
  const steady = stabilized(current, wanted.replicas, { memory: past, pace, nowMs });
  const { replicas, limited } = held(spec, current, steady, { ...at, memory: past });
  return {
    replicas,
    because: because(current, replicas, `${wanted.metric} ${replicas > current ? 'above' : 'below'} target`),
    able: steady === wanted.replicas ? ready(current, replicas) : stabilizing(wanted.replicas, steady),
    limited,
    memory: remembering(past, { wish: wanted.replicas, change: replicas - current }, pace, nowMs),
  };
}

const because = (current: number, replicas: number, why: string): string => (current === replicas ? '' : why);

const ready = (current: number, replicas: number): Finding =>
  current === replicas
    ? { status: 'True', reason: 'ReadyForNewScale', message: 'recommended size matches current size' }
    : { status: 'True', reason: 'SucceededRescale', message: `the count was set from ${current} to ${replicas}` };

const stabilizing = (wanted: number, steady: number): Finding => ({
  status: 'True',
  reason: wanted < steady ? 'ScaleDownStabilized' : 'ScaleUpStabilized',
  message: `${wanted} would do now, but ${steady} was wanted within the stabilization window`,
});

/** Within the policies and the bounds. */
function held(
  { minReplicas, maxReplicas }: Spec,
  current: number,
  steady: number,
  { memory, pace, nowMs }: { readonly memory: Memory; readonly pace: Pace; readonly nowMs: number },
): { readonly replicas: number; readonly limited: Finding } {
  if (steady > current) {
    const most = ceiling(current, memory, pace.up, nowMs);
    if (steady > Math.min(most, maxReplicas))
      return most < maxReplicas
        ? limitedTo(most, 'ScaleUpLimit', `the desired count, ${steady}, is increasing faster than the policies allow`)
        : limitedTo(maxReplicas, 'TooManyReplicas', `the desired count, ${steady}, is more than maxReplicas`);
  } else {
    const least = steady < current ? floor(current, memory, pace.down, nowMs) : steady;
    if (steady < Math.max(least, minReplicas))
      return least > minReplicas
        ? limitedTo(
            least,
            'ScaleDownLimit',
            `the desired count, ${steady}, is decreasing faster than the policies allow`,
          )
        : limitedTo(minReplicas, 'TooFewReplicas', `the desired count, ${steady}, is less than minReplicas`);
  }
  return { replicas: steady, limited: within };
}

const limitedTo = (replicas: number, reason: string, message: string): { replicas: number; limited: Finding } => ({
  replicas,
  limited: { status: 'True', reason, message },
});
