import { matchesMap } from './labels.ts';
import type { Labels } from './objects.ts';

/**
 * Answers "whose plain selector matches these labels?" without asking every selector: each is filed under one of its
 * pairs, so that only those sharing a pair with the labels are tried. For loops that hear of a pod and must know which
 * Services or ReplicationControllers it concerns. An empty selector matches nothing here.
 */
export class SelectorIndex {
  readonly #filed = new Map<string, { readonly bucket: string; readonly selector: Labels }>();
  readonly #buckets = new Map<string, Set<string>>();

  /** Files `key` (`namespace/name`) under its selector, instead of what it had before. True when that made a difference. */
  set(key: string, namespace: string, selector: Labels | undefined): boolean {
    const before = this.#filed.get(key);
    if (before !== undefined && selector !== undefined && samePairs(before.selector, selector)) return false;
    this.delete(key);
    const pair = particularPair(selector);
    if (selector === undefined || pair === undefined) return before !== undefined;
    const bucket = bucketOf(namespace, pair[0], pair[1]);
    this.#filed.set(key, { bucket, selector });
    const keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, new Set([key]));
    else keys.add(key);
    return true;
  }

  delete(key: string): boolean {
    const before = this.#filed.get(key);
    if (before === undefined) return false;
    this.#filed.delete(key);
    const keys = this.#buckets.get(before.bucket);
    keys?.delete(key);
    if (keys?.size === 0) this.#buckets.delete(before.bucket);
    return true;
  }

  /** The keys whose selector matches `labels` in that namespace. */
  matching(namespace: string, labels: Labels | undefined): string[] {
    const found: string[] = [];
    for (const name in labels) {
      for (const key of this.#buckets.get(bucketOf(namespace, name, labels[name] ?? '')) ?? []) {
        const selector = this.#filed.get(key)?.selector;
        if (selector !== undefined && matchesMap(selector, labels)) found.push(key);
      }
    }
    return found;
  }
}

const bucketOf = (namespace: string, name: string, value: string): string => `${namespace}/${name}=${value}`;

/** The pair to look under first: the longest is the most particular, as far as one can tell without knowing the labels in use. */
export function particularPair(selector: Labels | undefined): readonly [string, string] | undefined {
  let best: readonly [string, string] | undefined;
  for (const name in selector) {
    const value = selector[name] ?? '';
    if (best === undefined || name.length + value.length > best[0].length + best[1].length) best = [name, value];
  }
  return best;
}

const samePairs = (a: Labels, b: Labels): boolean =>
  Object.keys(a).length === Object.keys(b).length && matchesMap(a, b);
