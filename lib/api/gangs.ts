import type { Pod } from './objects.ts';
import { isActive } from './pods.ts';

/**
 * Pods of one namespace with the same `troupe.dev/gang` get their nodes together or not at all: at least as many at one time as
 * `troupe.dev/gang-size` says. Both are checked when a pod or a template of it is written.
 */
export const gangAnnotation = 'troupe.dev/gang';
export const gangSizeAnnotation = 'troupe.dev/gang-size';
export const mostInGang = 1_000;

export interface GangOf {
  /** `namespace/name`. */
  readonly key: string;
  readonly name: string;
  readonly size: number;
}

/** The gang that a pod belongs to; undefined for none, and for what cannot be read. */
export function gangOf({ metadata }: Pick<Pod, 'metadata'>): GangOf | undefined {
  const name = metadata.annotations?.[gangAnnotation];
  if (name === undefined) return undefined;
  const size = gangSizeIn(metadata.annotations?.[gangSizeAnnotation]);
  return size === undefined ? undefined : { key: `${metadata.namespace ?? ''}/${name}`, name, size };
}

/** undefined for what is no whole number from 1 to `mostInGang`. */
export function gangSizeIn(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,4}$/.test(text)) return undefined;
  const size = Number(text);
  return size >= 1 && size <= mostInGang ? size : undefined;
}

/** Counts among those that have their place: it runs there, or did its work there; what failed or is on its way out leaves its place to another. */
export const hasGangPlace = (pod: Pod): boolean =>
  pod.spec.nodeName !== undefined && (pod.status.phase === 'Succeeded' || isActive(pod));
