import type { Pod } from './objects.ts';

/**
 * On a pod that is to be evicted as soon as another serves in its place: until this time (RFC 3339) its controller does not count it
 * among its replicas, and so makes the other, and does not remove it. Who sets it renews it while it goes on, so that nothing is left of it where that ends.
 */
export const leavingAnnotation = 'troupe.dev/leaving-until';

export const isLeaving = ({ metadata }: Pod, nowMs: number): boolean =>
  Date.parse(metadata.annotations?.[leavingAnnotation] ?? '') > nowMs;
