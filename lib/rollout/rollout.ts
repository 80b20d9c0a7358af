import type { IntOrString } from '../api/objects.ts';

/** The pods of one template: those of a ReplicaSet, or of a ReplicationController. */
export interface Group {
  readonly name: string;
  /** How many its own loop has been told to keep. */
  readonly wanted: number;
  /** Active pods that are there; more than wanted while its loop has not yet removed them. */
  readonly present: number;
  readonly ready: number;
  readonly available: number;
  /** Pods on their way out. */
  readonly going: number;
  /** The older goes first. */
  readonly bornMs: number;
  /** The `replicas` of the whole for which this group was given its size; undefined when nobody said. */
  readonly sizedFor?: number;
}

export interface Aim {
  /** How many pods there should be, whatever their template. */
  readonly replicas: number;
  /** So many may be there besides. */
  readonly maxSurge: number;
  /** So many may be missing. */
  readonly maxUnavailable: number;
  /** All old pods go before the first new one comes. */
  readonly recreate?: boolean;
  /** Makes no steps from old to new; a changed number of replicas is followed all the same. */
  readonly held?: boolean;
  /** The new template gets no more pods than these for now, and the old ones keep the rest: a canary, or one step at a time. */
  readonly limit?: number;
}

export interface Size {
  readonly name: string;
  readonly wanted: number;
}

/**
 * The next sizes on the way from `old` to `next`, those that change alone; none when there is nothing to do now. `next` is
 * undefined while the new template has no group yet.
 *
 * What holds at every step, by the pods that were seen: nothing is made while there are `replicas + maxSurge`; nothing that is
 * available is removed while `replicas - maxUnavailable` or fewer are. Pods that are not ready go first, the oldest template
 * before younger ones. It depends on its arguments only and asks for the same again until it is done, so that it may be
 * called by anyone at any time: after a crash, by a successor, twice.
 */
export function rollOut(aim: Aim, next: Group | undefined, old: readonly Group[]): readonly Size[] {
  const plan = new Plan(aim, next, old);
  if (!followScale(aim, plan)) {
    if (aim.held === true) hold(aim, plan);
    else if (aim.recreate === true) recreate(aim, plan);
    else roll(aim, plan);
  }
  return plan.changes();
}

/** Sizes as they would be, and what can be counted on with them. */
class Plan {
  readonly next: Group | undefined;
  /** The oldest first. */
  readonly old: readonly Group[];
  readonly all: readonly Group[];
  readonly #sizes: Map<string, number>;
  readonly #promised: number;

  constructor({ replicas, maxUnavailable }: Aim, next: Group | undefined, old: readonly Group[]) {
    this.next = next;
    this.old = old.toSorted((a, b) => a.bornMs - b.bornMs || (a.name < b.name ? -1 : 1));
    this.all = next === undefined ? this.old : [...this.old, next];
    this.#sizes = new Map(this.all.map(({ name, wanted }) => [name, wanted]));
    this.#promised = replicas - maxUnavailable;
  }

  size(group: Group): number {
    return this.#sizes.get(group.name) ?? group.wanted;
  }
  set(group: Group, wanted: number): void {
    this.#sizes.set(group.name, wanted);
  }
  /** Pods as they would be wanted. */
  get total(): number {
    return sum(this.all, (group) => this.size(group));
  }
  /** Pods that are there or are about to be made. */
  get crowd(): number {
    return sum(this.all, (group) => Math.max(this.size(group), group.wanted, group.present));
  }
  /** Of a group's pods, those that its loop removes before any ready one. */
  idle(group: Group): number {
    return Math.max(0, this.size(group) - Math.min(group.ready, group.wanted));
  }
  /** How many of a group can be taken away so that what is promised stays available, whichever of its ready pods go. */
  spare(group: Group): number {
    let over = sum(this.all, (each) => leftOf(each, this.size(each))) - this.#promised;
    const size = this.size(group);
    let gone = 0;
    for (; gone < size; gone++) {
      const lost = leftOf(group, size - gone) - leftOf(group, size - gone - 1);
      if (lost > 0 && over < lost) break;
      over -= lost;
    }
    return gone;
  }
  changes(): readonly Size[] {
    return this.all
      .map((group) => ({ name: group.name, wanted: this.size(group), before: group.wanted }))
      .filter(({ wanted, before }) => wanted !== before)
      .map(({ name, wanted }) => ({ name, wanted }));
  }
}

const sum = (groups: readonly Group[], of: (group: Group) => number): number =>
  groups.reduce((total, group) => total + of(group), 0);

/** The available pods of a group that are left at worst when it has so many: its loop takes unready ones first, but of the ready any. */
const leftOf = ({ available, ready, wanted }: Group, size: number): number =>
  Math.max(0, available - Math.max(0, ready - Math.min(size, wanted)));

/** The new template grows into the room that there is, then the old ones give way to what has become available. */
function roll(aim: Aim, plan: Plan): void {
  const { next } = plan;
  if (next === undefined) return trim(aim, plan);
  // Within one template there is nothing to weigh: its own loop removes the cheapest to lose.
  if (plan.size(next) > aim.replicas && plan.total === plan.size(next)) plan.set(next, aim.replicas);
  const room = aim.replicas + aim.maxSurge - plan.crowd;
  const limit = Math.min(aim.replicas, aim.limit ?? aim.replicas);
  const lacking = limit - plan.size(next);
  if (room > 0 && lacking > 0) plan.set(next, plan.size(next) + Math.min(room, lacking));
  // As many as may be missing go at most, beyond what the new template lacks: old pods that only starve for a moment come back.
  const notYet = Math.max(0, plan.size(next) - next.available);
  const beyondLimit = plan.total - plan.size(next) - (aim.replicas - Math.max(limit, plan.size(next)));
  let surplus = Math.min(plan.total - (aim.replicas - aim.maxUnavailable) - notYet, beyondLimit);
  for (const take of [idleOf, spareOf]) {
    for (const group of plan.old) {
      const gone = Math.max(0, Math.min(surplus, take(plan, group), plan.size(group)));
      plan.set(group, plan.size(group) - gone);
      surplus -= gone;
    }
  }
  trim(aim, plan);
}

type Take = (plan: Plan, group: Group) => number;
const idleOf: Take = (plan, group) => plan.idle(group);
const spareOf: Take = (plan, group) => plan.spare(group);

/** Takes away what is beyond the bound, as after a change to fewer replicas: what is not ready first, old before new. */
function trim(aim: Aim, plan: Plan): void {
  let excess = plan.total - (aim.replicas + (plan.old.some((group) => plan.size(group) > 0) ? aim.maxSurge : 0));
  for (const take of [idleOf, spareOf]) {
    for (const group of plan.all) {
      const gone = Math.max(0, Math.min(excess, take(plan, group), plan.size(group)));
      plan.set(group, plan.size(group) - gone);
      excess -= gone;
    }
  }
}

function recreate(aim: Aim, plan: Plan): void {
  for (const group of plan.old) plan.set(group, 0);
  const { next } = plan;
  if (next === undefined) return;
  const free = plan.old.every(({ wanted, present, going }) => wanted + present + going === 0);
  if (free || plan.size(next) > aim.replicas) plan.set(next, aim.replicas);
}

/** Without steps, the number of pods is kept all the same: fewer by what can be spared, more in proportion. */
function hold(aim: Aim, plan: Plan): void {
  trim(aim, plan);
  const room = aim.replicas + aim.maxSurge - plan.crowd;
  const more = Math.min(room, aim.replicas - plan.total);
  if (more > 0) grow(plan, more);
}

/**
 * More replicas in the middle of a rollout go to all templates in proportion, so that one that turns out bad is not given all of them
 * (Kubernetes: proportional scaling). True when that is this step.
 */
function followScale(aim: Aim, plan: Plan): boolean {
  if (aim.recreate === true) return false;
  const active = plan.all.filter(({ wanted }) => wanted > 0);
  if (active.length < 2 || !active.some(({ sizedFor = aim.replicas }) => sizedFor < aim.replicas)) return false;
  const more = aim.replicas + aim.maxSurge - plan.crowd;
  if (more <= 0) return false;
  grow(plan, more);
  return true;
}

/** Shares `more` among the groups that have pods by their sizes; what cannot be divided goes to the largest parts, the newest first. */
function grow(plan: Plan, more: number): void {
  const active = plan.all.filter((group) => plan.size(group) > 0);
  const [newest] = plan.all.toReversed();
  if (active.length === 0) return newest === undefined ? undefined : plan.set(newest, plan.size(newest) + more);
  const total = plan.total;
  const shares = active.map((group, index) => ({ group, index, exact: (plan.size(group) * more) / total }));
  let left = more - shares.reduce((given, { exact }) => given + Math.floor(exact), 0);
  for (const { group, exact } of shares.toSorted((a, b) => (b.exact % 1) - (a.exact % 1) || b.index - a.index)) {
    plan.set(group, plan.size(group) + Math.floor(exact) + (left-- > 0 ? 1 : 0));
  }
}

/** A number of pods, or a percentage of `replicas` rounded as told. What cannot be read counts as 0. */
export function countOf(value: IntOrString | undefined, replicas: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const percent = /^([0-9]+)%$/.exec(value ?? '')?.[1];
  if (percent === undefined) return 0;
  const exact = (Number(percent) * replicas) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

/** The bounds of a rolling update. Both 0, as percentages of few pods may come to, would allow no step: then one may be missing. */
export function boundsOf(
  replicas: number,
  limits: { readonly maxSurge?: IntOrString; readonly maxUnavailable?: IntOrString },
): { readonly maxSurge: number; readonly maxUnavailable: number } {
  const maxSurge = countOf(limits.maxSurge, replicas, 'up');
  const maxUnavailable = Math.min(replicas, countOf(limits.maxUnavailable, replicas, 'down'));
  return { maxSurge, maxUnavailable: maxSurge === 0 && maxUnavailable === 0 ? 1 : maxUnavailable };
}
