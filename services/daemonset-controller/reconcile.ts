import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { DaemonSet, Node, Pod } from '../../lib/api/objects.ts';
import { availableInMs, controllerOf, isActive, isDeleting, isReady, isTerminal } from '../../lib/api/pods.ts';
import { countOf } from '../../lib/rollout/rollout.ts';
import { failureAmong, type Failure } from '../../lib/rollout/verdict.ts';
import { fitOf, isUp, targetOf } from './fit.ts';
import { holdOf } from './hold.ts';
import { onFailure } from './rollout.ts';
import { hashLabel, type Place } from './template.ts';

/** One node, with the pods that are for it. */
export interface Site {
  readonly node: string;
  readonly wanted: boolean;
  readonly mayStay: boolean;
  /** It is there and answers. */
  readonly up: boolean;
  /** Active pods of the newest template, the best first. */
  readonly next: readonly Pod[];
  /** Those of former templates. */
  readonly old: readonly Pod[];
  /** On their way out. */
  readonly going: readonly Pod[];
  /** Have ended by themselves. */
  readonly ended: readonly Pod[];
}

export interface Observed {
  readonly nodes: readonly Node[];
  /** Pods that the set owns, and ownerless ones that match. */
  readonly pods: readonly Pod[];
  /** The hash of the newest template. */
  readonly hash: string;
  /** That template was rolled out to its end before: what happens to its pods now is no failure of a rollout. */
  readonly isRolledOut?: boolean;
}

export interface Plan {
  readonly adopt: readonly Pod[];
  readonly release: readonly Pod[];
  readonly create: readonly Place[];
  readonly remove: readonly Pod[];
  /** Pods that failed as soon as they were made, and wait for their successors. */
  readonly held: readonly Pod[];
  /** When there is more to do by the clock alone. */
  readonly nextMs: number | undefined;
  /** Why the newest template cannot be good, as long as it is being rolled out: no more steps then, unless these are asked for. */
  readonly failure: Failure | undefined;
  /** The newest template is everywhere and available, as far as nodes answer and have room. */
  readonly isWhole: boolean;
  /** For the status. */
  readonly sites: readonly Site[];
}

/**
 * The changes that bring one pod of the newest template to each node that fits, as far as may be now. Depends on its arguments only,
 * and asks for nothing once all is as it should be.
 *
 * A node gets a pod when it has none, not even one on its way out: two of them might fight for what is the node's. Of several the
 * best stays. A pod that ended is replaced, and removed once its successor is there, so that it can be asked until then what it died of.
 */
export function reconcile(set: DaemonSet, observed: Observed, nowMs: number): Plan {
  const claimed = claim(set, observed.pods);
  const sites = sitesOf(set, observed, [...claimed.ours, ...claimed.adopt]);
  const create: Place[] = [];
  const remove: Pod[] = [];
  const held: Pod[] = [];
  const waits: number[] = [];
  const roll: Site[] = [];
  for (const site of sites) {
    const { next, old, going, ended, node } = site;
    const active = [...next, ...old];
    if (!site.wanted) {
      // A pod that has not come yet is kept away by what would let one stay.
      remove.push(...active.filter((pod) => !site.mayStay || pod.spec.nodeName === undefined), ...ended);
      continue;
    }
    remove.push(...next.slice(1), ...old.slice(1));
    if (active.length > 0) {
      remove.push(...ended);
      roll.push({ ...site, next: next.slice(0, 1), old: old.slice(0, 1) });
      continue;
    }
    roll.push(site);
    if (going.length > 0) continue;
    const hold = holdOf(ended, nowMs);
    if (hold.waitMs > 0) {
      waits.push(hold.waitMs);
      held.push(...hold.last);
    } else create.push({ node, hash: observed.hash, failures: hold.failures, after: hold.after });
  }
  const { minReadySeconds = 0 } = set.spec;
  const fresh = [
    ...roll.flatMap(({ next }) => next),
    ...held.filter(({ metadata }) => metadata.labels?.[hashLabel] === observed.hash),
  ];
  const failure =
    observed.isRolledOut === true || onFailure(set) === 'continue'
      ? undefined
      : failureAmong(fresh, minReadySeconds, nowMs);
  const step = stepOf(set, roll, { nowMs, stands: failure !== undefined });
  for (const pod of roll.flatMap(({ next, old }) => [...next, ...old])) {
    const wait = availableInMs(pod, minReadySeconds, nowMs);
    if (wait !== undefined && wait > 0) waits.push(wait);
  }
  return {
    adopt: claimed.adopt,
    release: claimed.release,
    create: [...create, ...step.beside.map(({ node }) => ({ node, hash: observed.hash, failures: 0, after: '' }))],
    remove: [...remove, ...step.remove],
    held,
    nextMs: waits.length === 0 ? undefined : Math.min(...waits),
    failure,
    isWhole: isWhole(roll, minReadySeconds, nowMs),
    sites,
  };
}

/** What has not been placed has no room there, which says nothing of the template; one at least must have shown that it works. */
function isWhole(sites: readonly Site[], minReadySeconds: number, nowMs: number): boolean {
  const due = sites.filter(({ up, next }) => up && next[0]?.spec.nodeName !== undefined);
  const works = ({ next: [pod] }: Site): boolean =>
    pod !== undefined && availableInMs(pod, minReadySeconds, nowMs) === 0;
  return (
    due.length > 0 &&
    due.every(works) &&
    sites.every(({ up, old, next }) => !up || (old.length === 0 && next.length > 0))
  );
}

/** Whose each pod is. One that is for no node in particular is left to itself: it might be bound anywhere. */
function claim(set: DaemonSet, pods: readonly Pod[]): { ours: readonly Pod[] } & Pick<Plan, 'adopt' | 'release'> {
  const selector = selectorOfLabelSelector(set.spec.selector);
  const [ours, adopt, release]: [Pod[], Pod[], Pod[]] = [[], [], []];
  for (const pod of pods) {
    const owner = controllerOf(pod);
    const isMatch = matches(selector, pod.metadata.labels);
    if (owner?.uid === set.metadata.uid) (isMatch || isDeleting(pod) ? ours : release).push(pod);
    else if (owner === undefined && isMatch && isActive(pod) && targetOf(pod) !== undefined) adopt.push(pod);
  }
  return { ours, adopt, release };
}

function sitesOf(set: DaemonSet, { nodes, hash }: Observed, pods: readonly Pod[]): readonly Site[] {
  const byNode = new Map<string, Pod[]>();
  for (const pod of pods) {
    const target = targetOf(pod) ?? '';
    const there = byNode.get(target);
    if (there === undefined) byNode.set(target, [pod]);
    else there.push(pod);
  }
  const known = new Map(nodes.map((node) => [node.metadata.name, node]));
  const names = [...new Set([...known.keys(), ...byNode.keys()])].sort();
  const fit = fitOf(set.spec.template.spec);
  return names.map((name) => {
    const node = known.get(name);
    const here = byNode.get(name) ?? [];
    const active = here.filter(isActive).toSorted(bestFirst);
    const isNext = ({ metadata }: Pod): boolean => metadata.labels?.[hashLabel] === hash;
    return {
      node: name,
      ...(node === undefined ? { wanted: false, mayStay: false } : fit(node)),
      up: node !== undefined && isUp(node),
      next: active.filter(isNext),
      old: active.filter((pod) => !isNext(pod)),
      going: here.filter((pod) => isDeleting(pod) && !isTerminal(pod)),
      ended: here.filter((pod) => isTerminal(pod) && !isDeleting(pod)),
    };
  });
}

/** Ready before unready, bound before unbound, the oldest before younger ones. */
const bestFirst = (a: Pod, b: Pod): number =>
  Number(isReady(b)) - Number(isReady(a)) ||
  Number(b.spec.nodeName !== undefined) - Number(a.spec.nodeName !== undefined) ||
  Date.parse(a.metadata.creationTimestamp) - Date.parse(b.metadata.creationTimestamp) ||
  (a.metadata.name < b.metadata.name ? -1 : 1);

interface Moment {
  readonly nowMs: number;
  /** Nothing of a former template is to give way now. */
  readonly stands: boolean;
}

interface Step {
  readonly remove: readonly Pod[];
  /** Where the new pod is to come beside the old one. */
  readonly beside: readonly Site[];
}

/**
 * The next step of a rolling update over the nodes that fit, each with at most one pod of the newest and one of former templates.
 *
 * A node that does not answer while its pod is of a former template is not the rollout's doing: it neither counts against the
 * bounds nor is it touched until it is back. One that fell silent with a new pod counts: that pod may be why.
 */
function stepOf({ spec }: DaemonSet, sites: readonly Site[], { nowMs, stands }: Moment): Step {
  const { minReadySeconds = 0, updateStrategy } = spec;
  const isAvailable = (pod: Pod | undefined): boolean =>
    pod !== undefined && availableInMs(pod, minReadySeconds, nowMs) === 0;
  const hasNext = ({ next }: Site): boolean => isAvailable(next[0]);
  const hasOld = ({ old }: Site): boolean => isAvailable(old[0]);
  const both = sites.filter(({ next, old }) => next.length > 0 && old.length > 0);
  const replaced = both.filter(hasNext);
  const rolling = updateStrategy.rollingUpdate;
  const { maxSurge, maxUnavailable } = boundsOf(rolling, sites.length);
  const surges = updateStrategy.type === 'RollingUpdate' && maxSurge > 0;
  // Where two met and none is to be beside the other: the one that works stays, the new one where neither does.
  const superfluous = surges
    ? []
    : both.filter((site) => !hasNext(site)).map((site) => (hasOld(site) ? site.next : site.old));
  const settled = { remove: [...replaced.flatMap(({ old }) => old), ...superfluous.flat()], beside: [] };
  if (updateStrategy.type === 'OnDelete' || stands) return settled;
  const due = sites.filter(({ next, old, up }) => up && next.length === 0 && old.length > 0);
  const broken = due.filter((site) => !hasOld(site));
  const whole = due.filter(hasOld);
  if (surges) {
    const room = Math.max(0, maxSurge - (both.length - replaced.length));
    return { ...settled, beside: [...broken, ...whole].slice(0, room) };
  }
  const inWork = sites.filter(
    (site) => !hasNext(site) && !hasOld(site) && (site.old.length === 0 || site.next.length > 0),
  );
  const first = broken.slice(0, Math.max(0, maxUnavailable - inWork.length));
  const more = whole.slice(0, Math.max(0, maxUnavailable - inWork.length - broken.length));
  return { ...settled, remove: [...settled.remove, ...[...first, ...more].flatMap(({ old }) => old)] };
}

function boundsOf(
  rolling: DaemonSet['spec']['updateStrategy']['rollingUpdate'],
  nodes: number,
): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const maxSurge = countOf(rolling?.maxSurge, nodes, 'up');
  return { maxSurge, maxUnavailable: Math.max(maxSurge > 0 ? 0 : 1, countOf(rolling?.maxUnavailable, nodes, 'up')) };
}
