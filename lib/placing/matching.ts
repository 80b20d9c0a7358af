import { formatSelector, matches, selectorOfLabelSelector, type Requirement, type Selector } from '../api/labels.ts';
import type { Labels, LabelSelector } from '../api/objects.ts';

/** Some pods: by their labels, in some namespaces. */
interface Selection {
  /** Undefined matches no pod. */
  readonly labels: Selector | undefined;
  readonly namespaces: readonly string[];
  /** Namespaces besides those named. */
  readonly namespaceSelector: Selector | undefined;
}

/** Pods that are in every one of the selections. Two with the same key match the same pods. */
export interface Matcher {
  readonly key: string;
  readonly selections: readonly [Selection, ...Selection[]];
}

export interface MatcherText {
  readonly labelSelector?: LabelSelector;
  readonly namespaces?: readonly string[];
  readonly namespaceSelector?: LabelSelector;
  readonly matchLabelKeys?: readonly string[];
  readonly mismatchLabelKeys?: readonly string[];
}

/** A term of a pod with these labels in this namespace, which is where it looks unless it says otherwise. */
export function matcherOf(text: MatcherText, namespace: string, own: Labels | undefined): Matcher {
  const { labelSelector, namespaces = [], namespaceSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = text;
  const labels =
    labelSelector === undefined
      ? undefined
      : [
          ...selectorOfLabelSelector(labelSelector),
          ...fromOwn(matchLabelKeys, 'In', own),
          ...fromOwn(mismatchLabelKeys, 'NotIn', own),
        ];
  const elsewhere = namespaceSelector === undefined ? undefined : selectorOfLabelSelector(namespaceSelector);
  const named = namespaces.length === 0 && elsewhere === undefined ? [namespace] : [...namespaces].sort();
  const key = [
    labels === undefined ? '-' : formatSelector(labels),
    named.join(','),
    elsewhere === undefined ? '-' : `in ${formatSelector(elsewhere)}`,
  ].join(' | ');
  return { key, selections: [{ labels, namespaces: named, namespaceSelector: elsewhere }] };
}

/** A key that the pod itself does not have says nothing. */
const fromOwn = (keys: readonly string[], operator: 'In' | 'NotIn', own: Labels = {}): readonly Requirement[] =>
  keys.flatMap((key) => {
    const value = Object.hasOwn(own, key) ? own[key] : undefined;
    return value === undefined ? [] : [{ key, operator, values: [value] }];
  });

/** The pods that match all of them; undefined for none at all. */
export function allOf(matchers: readonly Matcher[]): Matcher | undefined {
  const [first, ...rest] = matchers;
  if (first === undefined || rest.length === 0) return first;
  const more = rest.flatMap(({ selections }) => selections);
  return { key: matchers.map(({ key }) => key).join(' && '), selections: [...first.selections, ...more] };
}

/** The labels of a namespace; undefined where it is not known. */
export type NamespaceLabels = (namespace: string) => Labels | undefined;

export const matchesPod = (
  { selections }: Matcher,
  pod: { readonly namespace: string; readonly labels: Labels | undefined },
  labelsOf: NamespaceLabels,
): boolean =>
  selections.every(
    ({ labels, namespaces, namespaceSelector }) =>
      labels !== undefined &&
      (namespaces.includes(pod.namespace) ||
        (namespaceSelector !== undefined && matches(namespaceSelector, labelsOf(pod.namespace)))) &&
      matches(labels, pod.labels),
  );

/** Whether what it matches depends on the labels of namespaces. */
export const asksNamespaces = ({ selections }: Matcher): boolean =>
  selections.some(({ namespaceSelector }) => namespaceSelector !== undefined);

/**
 * Answers "which of these match this pod?" without asking each: every one is filed under its namespaces and one label that it
 * wants, where it has such, so that only those that share both with the pod are tried.
 */
export class MatcherIndex<T extends { readonly matcher: Matcher }> {
  readonly #buckets = new Map<string, Set<T>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(entry: T): void {
    this.#size += 1;
    for (const bucket of bucketsOf(entry.matcher)) {
      const entries = this.#buckets.get(bucket);
      if (entries === undefined) this.#buckets.set(bucket, new Set([entry]));
      else entries.add(entry);
    }
  }

  delete(entry: T): void {
    this.#size -= 1;
    for (const bucket of bucketsOf(entry.matcher)) {
      const entries = this.#buckets.get(bucket);
      entries?.delete(entry);
      if (entries?.size === 0) this.#buckets.delete(bucket);
    }
  }

  matching(namespace: string, labels: Labels | undefined, labelsOf: NamespaceLabels): readonly T[] {
    if (this.#size === 0) return none;
    const found: T[] = [];
    const pod = { namespace, labels };
    const tryAll = (bucket: string): void => {
      for (const entry of this.#buckets.get(bucket) ?? none)
        if (matchesPod(entry.matcher, pod, labelsOf)) found.push(entry);
    };
    for (const place of [namespace, anywhere]) {
      tryAll(`${place}/`);
      for (const name in labels) tryAll(pairOf(place, name, labels[name] ?? ''));
    }
    return found;
  }
}

const none: readonly never[] = [];
const anywhere = '*';

/** A pair of a pod's labels in its namespace, as matchers are filed by it. */
export const pairOf = (namespace: string, name: string, value: string): string => `${namespace}/${name}=${value}`;

/** The pairs of which a pod that matches has at least one; undefined where nothing of the kind can be said. */
export function pairsOf(matcher: Matcher): readonly string[] | undefined {
  const buckets = bucketsOf(matcher);
  return buckets.some((bucket) => bucket.endsWith('/') || bucket.startsWith(`${anywhere}/`)) ? undefined : buckets;
}

function bucketsOf({ selections: [{ labels, namespaces, namespaceSelector }] }: Matcher): readonly string[] {
  if (labels === undefined) return none;
  const wanted = labels.find(({ operator, values }) => operator === 'In' && values.length === 1);
  const places = namespaceSelector === undefined ? [...new Set(namespaces)] : [anywhere];
  return places.map((place) =>
    wanted === undefined ? `${place}/` : pairOf(place, wanted.key, wanted.values[0] ?? ''),
  );
}
