import type { Pod } from '../../lib/api/objects.ts';
import { conditionOf, isDeleting } from '../../lib/api/pods.ts';

/** What is known about one pod: cpu in thousandths, all else in its own unit. */
export interface Figure {
  readonly value: number;
  /** When it was taken, ms since 1970; it is about `windowMs` before that. */
  readonly atMs: number;
  readonly windowMs: number;
}
export type Figures = ReadonlyMap<string, Figure>;

export interface Delays {
  readonly cpuInitializationMs: number;
  readonly initialReadinessMs: number;
}

/** The pods of a target, by uid, as far as they count. */
export interface Groups {
  /** With a figure to go by. */
  readonly measured: readonly string[];
  /** Not ready yet: they will take load, and have none. */
  readonly unready: readonly string[];
  /** They run, and nothing is known about them. */
  readonly missing: readonly string[];
}

/**
 * Sorts pods as Kubernetes does (autoscaling/v2, "Algorithm details"): those that failed or go count nowhere; those that wait to be started are
 * unready; with cpu, so are those that are starting, whose first figures would tell of the start and not of the load.
 */
export function groupPods(
  pods: readonly Pod[],
  figures: Figures,
  { cpu, nowMs, delays }: { readonly cpu: boolean; readonly nowMs: number; readonly delays: Delays },
): Groups {
  const groups = { measured: [] as string[], unready: [] as string[], missing: [] as string[] };
  for (const pod of pods) {
    const { uid } = pod.metadata;
    if (isDeleting(pod) || pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded') continue;
    const figure = figures.get(uid);
    if (pod.status.phase === 'Pending') groups.unready.push(uid);
    else if (figure === undefined) groups.missing.push(uid);
    else if (cpu && isStarting(pod, figure, nowMs, delays)) groups.unready.push(uid);
    else groups.measured.push(uid);
  }
  return groups;
}

function isStarting(pod: Pod, figure: Figure, nowMs: number, delays: Delays): boolean {
  const ready = conditionOf(pod.status, 'Ready');
  const startedMs = Date.parse(pod.status.startTime ?? '');
  if (ready === undefined || Number.isNaN(startedMs)) return true;
  const turnedMs = Date.parse(ready.lastTransitionTime ?? '');
  if (startedMs + delays.cpuInitializationMs > nowMs)
    return ready.status === 'False' || figure.atMs < turnedMs + figure.windowMs;
  return ready.status === 'False' && turnedMs < startedMs + delays.initialReadinessMs;
}
