import type { ScalingPolicy, ScalingRules } from '../../lib/api/objects.ts';

/** What was wanted at a moment, before it was held back. */
export interface Wish {
  readonly atMs: number;
  readonly replicas: number;
}
/** What was done at a moment: so many more, or, below zero, fewer. */
export interface Change {
  readonly atMs: number;
  readonly change: number;
}

/** What the pace of an autoscaler is judged by. Wishes live in the process alone; changes are in the status, too. */
export interface Memory {
  readonly wishes: readonly Wish[];
  readonly changes: readonly Change[];
}
export const noMemory: Memory = { wishes: [], changes: [] };

/** The rules of one direction, complete. */
export type Rules = Required<Pick<ScalingRules, 'selectPolicy' | 'policies' | 'stabilizationWindowSeconds'>>;
export interface Pace {
  readonly up: Rules;
  readonly down: Rules;
}

/** More changes than this are told as fewer: the oldest are taken together, at the time of the younger one. */
const mostChanges = 200;

/**
 * The most careful of what was wanted within the windows: up to the least wish of the one, down to the greatest of the other, else
 * where it is. A load that comes and goes within a window moves nothing. `wish` itself is not among the wishes yet.
 */
export function stabilized(
  current: number,
  wish: number,
  { memory: { wishes }, pace, nowMs }: { readonly memory: Memory; readonly pace: Pace; readonly nowMs: number },
): number {
  const within = ({ stabilizationWindowSeconds }: Rules): readonly number[] =>
    wishes.filter(({ atMs }) => atMs > nowMs - stabilizationWindowSeconds * 1000).map(({ replicas }) => replicas);
  const least = Math.min(wish, ...within(pace.up));
  const greatest = Math.max(wish, ...within(pace.down));
  return current < least ? least : current > greatest ? greatest : current;
}

/** The most that the policies allow to go up to now, counting what was done in their periods. Never below `current`. */
export function ceiling(current: number, { changes }: Memory, rules: Rules, nowMs: number): number {
  const limit = (policy: ScalingPolicy): number => {
    const start = startOf(current, changes, policy, nowMs);
    return policy.type === 'Pods' ? start + policy.value : Math.ceil(start * (1 + policy.value / 100) - 1e-9);
  };
  return Math.max(current, choose(current, rules, limit, 'up'));
}

/** The least that the policies allow to go down to now. Never above `current`. */
export function floor(current: number, { changes }: Memory, rules: Rules, nowMs: number): number {
  const limit = (policy: ScalingPolicy): number => {
    const start = startOf(current, changes, policy, nowMs);
    return policy.type === 'Pods' ? start - policy.value : Math.trunc(start * (1 - policy.value / 100) + 1e-9);
  };
  return Math.min(current, Math.max(0, choose(current, rules, limit, 'down')));
}

function choose(
  current: number,
  { selectPolicy, policies }: Rules,
  limit: (policy: ScalingPolicy) => number,
  direction: 'up' | 'down',
): number {
  if (selectPolicy === 'Disabled' || policies.length === 0) return current;
  const farthest = direction === 'up' ? Math.max : Math.min;
  const nearest = direction === 'up' ? Math.min : Math.max;
  return (selectPolicy === 'Max' ? farthest : nearest)(...policies.map(limit));
}

/** How many there were when the period of a policy began. */
function startOf(current: number, changes: readonly Change[], { periodSeconds }: ScalingPolicy, nowMs: number): number {
  const since = nowMs - periodSeconds * 1000;
  return changes.reduce((count, { atMs, change }) => (atMs > since ? count - change : count), current);
}

/** With a wish and perhaps a change more, without what no window or period reaches any more. */
export function remembering(
  memory: Memory,
  { wish, change }: { readonly wish?: number; readonly change?: number },
  pace: Pace,
  nowMs: number,
): Memory {
  const windowMs = 1000 * Math.max(pace.up.stabilizationWindowSeconds, pace.down.stabilizationWindowSeconds);
  const periods = [...pace.up.policies, ...pace.down.policies].map(({ periodSeconds }) => periodSeconds);
  const periodMs = 1000 * Math.max(0, ...periods);
  const wishes = [...memory.wishes, ...(wish === undefined ? [] : [{ atMs: nowMs, replicas: wish }])];
  const changes = [...memory.changes, ...(change === undefined || change === 0 ? [] : [{ atMs: nowMs, change }])];
  return {
    wishes: wishes.filter(({ atMs }) => atMs > nowMs - windowMs),
    changes: shortened(changes.filter(({ atMs }) => atMs > nowMs - periodMs)),
  };
}

function shortened(changes: readonly Change[]): readonly Change[] {
  if (changes.length <= mostChanges) return changes;
  const [first, second, ...rest] = changes;
  if (first === undefined || second === undefined) return changes;
  return shortened([{ atMs: second.atMs, change: first.change + second.change }, ...rest]);
}
