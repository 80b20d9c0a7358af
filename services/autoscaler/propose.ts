import type { Figures, Groups } from './group.ts';

/** How far a metric may be off its target, as a part of it: above, and below. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

/** What a metric asks for by itself. */
export interface Proposal {
  readonly replicas: number;
  /** What is, as a part of what should be. */
  readonly ratio: number;
}

const isNear = (ratio: number, { up, down }: Tolerance): boolean => ratio >= 1 - down && ratio <= 1 + up;

/** Rounded up, but for what floating point adds to a whole number. */
const ceil = (value: number): number => Math.max(0, Math.ceil(value - 1e-9));

/**
 * By what each pod has and should have. `share` is what a pod should have, by uid: with it at every pod the ratio is 1. `full` is
 * what a pod of which nothing is known is taken to have when the others ask for fewer pods. Undefined when no pod was measured.
 *
 * What is not known only ever holds back: a missing figure counts as nothing on the way up and as full on the way down, a pod that
 * is not ready as nothing on the way up; where that turns the answer round, the count stays (Kubernetes, autoscaling/v2).
 */
export function byPods(
  current: number,
  groups: Groups,
  figures: Figures,
  by: {
    readonly share: (uid: string) => number;
    readonly full: (uid: string) => number;
    readonly tolerance: Tolerance;
  },
): Proposal | undefined {
  const { measured, unready, missing } = groups;
  const has = new Map(measured.map((uid) => [uid, figures.get(uid)?.value ?? 0]));
  if (has.size === 0) return undefined;
  const ratio = ratioOf(has, by.share);
  const wakeful = unready.length > 0 && ratio > 1;
  if (!wakeful && missing.length === 0)
    return { ratio, replicas: isNear(ratio, by.tolerance) ? current : ceil(ratio * has.size) };
  if (ratio < 1) for (const uid of missing) has.set(uid, by.full(uid));
  else if (ratio > 1) for (const uid of missing) has.set(uid, 0);
  if (wakeful) for (const uid of unready) has.set(uid, 0);
  const careful = ratioOf(has, by.share);
  const turned = (ratio < 1 && careful > 1) || (ratio > 1 && careful < 1);
  if (turned || isNear(careful, by.tolerance)) return { ratio, replicas: current };
  const replicas = ceil(careful * has.size);
  const backwards = (careful < 1 && replicas > current) || (careful > 1 && replicas < current);
  return { ratio, replicas: backwards ? current : replicas };
}

function ratioOf(has: ReadonlyMap<string, number>, share: (uid: string) => number): number {
  let [is, should] = [0, 0];
  for (const [uid, value] of has) {
    is += value;
    should += share(uid);
  }
  return is / should;
}

/** By one value for all: so many times what it should be needs so many times the pods that are ready. */
export function byValue(
  current: number,
  { value, target, ready, tolerance }: { value: number; target: number; ready: number; tolerance: Tolerance },
): Proposal {
  const ratio = value / target;
  if (current === 0) return { ratio, replicas: ceil(ratio) };
  return { ratio, replicas: isNear(ratio, tolerance) ? current : ceil(ratio * ready) };
}

/** By one value that is shared out evenly: each pod there is has its part of it. */
export function byShare(
  present: number,
  { value, target, tolerance }: { value: number; target: number; tolerance: Tolerance },
): Proposal {
  const ratio = present === 0 ? (value === 0 ? 1 : Infinity) : value / (target * present);
  return { ratio, replicas: present > 0 && isNear(ratio, tolerance) ? present : ceil(value / target) };
}
