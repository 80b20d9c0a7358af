import type { Key } from '../api/keys.ts';
import type { Labels } from '../api/objects.ts';
import {
  asksNamespaces,
  matchesPod,
  MatcherIndex,
  pairOf,
  pairsOf,
  type Matcher,
  type NamespaceLabels,
} from './matching.ts';
import type { Pose, Rules } from './rules.ts';

/** What a tally must know of a node. Its labels may change: see `forgetDomains`. */
interface Place {
  readonly labels: Labels;
}

/** How many of some pods are where: on each node, and on all nodes with one value of a label. */
export class Tally<N extends Place = Place> {
  readonly #byNode = new Map<N, number>();
  readonly #byDomain = new Map<string, Map<string, number>>();

  get byNode(): ReadonlyMap<N, number> {
    return this.#byNode;
  }

  /** Counts by the value of one label; nodes without it are left out. */
  domains(key: string): ReadonlyMap<string, number> {
    let counts = this.#byDomain.get(key);
    if (counts === undefined) {
      this.#byDomain.set(key, (counts = new Map<string, number>()));
      for (const [node, count] of this.#byNode) addAt(counts, node.labels[key], count);
    }
    return counts;
  }

  count(node: N, by: number): void {
    addAt(this.#byNode, node, by);
    for (const [key, counts] of this.#byDomain) addAt(counts, node.labels[key], by);
  }

  forgetDomains(): void {
    this.#byDomain.clear();
  }
}

function addAt<K>(counts: Map<K, number>, key: K | undefined, by: number): void {
  if (key === undefined) return;
  const next = (counts.get(key) ?? 0) + by;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}

interface Wanted<N extends Place> {
  readonly matcher: Matcher;
  readonly key: string;
  readonly staying: boolean;
  readonly tally: Tally<N>;
}

/** What the pods of some nodes ask of those that come, and where they are. */
export interface Posed<N extends Place = Place> extends Pose {
  readonly tally: Tally<N>;
}

/** A pod that takes room, as far as others may ask for it. */
export interface Counted<N extends Place> {
  readonly key: Key;
  readonly namespace: string;
  readonly labels: Labels | undefined;
  readonly rules: Rules | undefined;
  readonly node: N;
  /** Not on its way out. */
  readonly staying: boolean;
}

/** Tallies kept at one time; the one made first goes, and is made again when it is asked for. */
const maxWanted = 2_000;

/**
 * Counts of pods that others asked for, kept current by each pod that comes and goes, so that a decision about affinity and
 * spreading reads a few numbers and walks over no pods. A tally is made when it is asked for first, by a walk over the pods that
 * share a label with it. Where nobody asks, nothing is kept.
 */
export class Tallies<N extends Place> {
  readonly #wanted = new Map<string, Wanted<N>>();
  readonly #wantedIndex = new MatcherIndex<Wanted<N>>();
  readonly #posed = new Map<string, Posed<N>>();
  readonly #posedIndex = new MatcherIndex<Posed<N>>();
  /** Pods by each of their labels; undefined until a tally is asked for. */
  #byPair: Map<string, Map<Key, Counted<N>>> | undefined;
  readonly #namespaces = new Map<string, Labels>();
  readonly #everyone: () => Iterable<Counted<N>>;

  constructor(everyone: () => Iterable<Counted<N>>) {
    this.#everyone = everyone;
  }

  readonly labelsOf: NamespaceLabels = (namespace) => this.#namespaces.get(namespace);

  /** Pods that match; with `staying` those alone that are not on their way out. */
  of(matcher: Matcher, staying: boolean): Tally<N> {
    const key = `${staying ? 'staying' : 'all'} ${matcher.key}`;
    const known = this.#wanted.get(key);
    if (known !== undefined) return known.tally;
    const [oldest] = this.#wanted.size < maxWanted ? [] : this.#wanted.values();
    if (oldest !== undefined) this.#drop(oldest);
    const made: Wanted<N> = { matcher, key, staying, tally: new Tally<N>() };
    for (const pod of this.#candidates(matcher))
      if ((pod.staying || !staying) && matchesPod(matcher, pod, this.labelsOf)) made.tally.count(pod.node, 1);
    this.#wanted.set(key, made);
    this.#wantedIndex.add(made);
    return made.tally;
  }

  *#candidates(matcher: Matcher): Iterable<Counted<N>> {
    if (this.#byPair === undefined) {
      this.#byPair = new Map();
      for (const counted of this.#everyone()) this.#file(this.#byPair, counted, 1);
    }
    const pairs = pairsOf(matcher);
    if (pairs === undefined) yield* this.#everyone();
    else for (const pair of pairs) yield* this.#byPair.get(pair)?.values() ?? [];
  }

  #file(byPair: Map<string, Map<Key, Counted<N>>>, counted: Counted<N>, by: 1 | -1): void {
    const { namespace, labels } = counted;
    for (const name in labels) {
      const pair = pairOf(namespace, name, labels[name] ?? '');
      let pods = byPair.get(pair);
      if (pods === undefined) byPair.set(pair, (pods = new Map<Key, Counted<N>>()));
      if (by === 1) pods.set(counted.key, counted);
      else pods.delete(counted.key);
      if (pods.size === 0) byPair.delete(pair);
    }
  }

  #drop(wanted: Wanted<N>): void {
    this.#wanted.delete(wanted.key);
    this.#wantedIndex.delete(wanted);
  }

  /** What those that have their node ask of this pod. */
  posedTo(namespace: string, labels: Labels | undefined): readonly Posed<N>[] {
    return this.#posedIndex.matching(namespace, labels, this.labelsOf);
  }

  /** Whether pods without rules of their own must be counted, too. */
  get countsAll(): boolean {
    return this.#byPair !== undefined;
  }

  /** A pod has come (1) or gone (-1). */
  count(counted: Counted<N>, by: 1 | -1): void {
    const { namespace, labels, rules, node, staying } = counted;
    if (this.#byPair !== undefined) this.#file(this.#byPair, counted, by);
    if (this.#wantedIndex.size > 0) {
      for (const wanted of this.#wantedIndex.matching(namespace, labels, this.labelsOf))
        if (staying || !wanted.staying) wanted.tally.count(node, by);
    }
    for (const pose of rules?.poses ?? []) {
      let posed = this.#posed.get(pose.key);
      if (posed === undefined) {
        posed = { ...pose, tally: new Tally<N>() };
        this.#posed.set(pose.key, posed);
        this.#posedIndex.add(posed);
      }
      posed.tally.count(node, by);
      if (posed.tally.byNode.size > 0) continue;
      this.#posed.delete(pose.key);
      this.#posedIndex.delete(posed);
    }
  }

  /** The labels of a node that may have pods have changed. */
  forgetDomains(): void {
    for (const { tally } of this.#wanted.values()) tally.forgetDomains();
    for (const { tally } of this.#posed.values()) tally.forgetDomains();
  }

  /** Undefined labels: it has gone. */
  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, labels);
    for (const wanted of [...this.#wanted.values()]) if (asksNamespaces(wanted.matcher)) this.#drop(wanted);
  }
}
