import { isObject } from '../api/json.ts';
import type { Labels } from '../api/objects.ts';

/** Where a failed rollout was taken back: from which template to which, and why. Holds as long as the workload has that template. */
export const revertedAnnotation = 'troupe.dev/reverted';

export interface Reverted {
  /** Names of what stands for a template in the history: ReplicaSets, ControllerRevisions. */
  readonly from: string;
  readonly to: string;
  readonly reason: string;
  readonly cause: string;
}

/** undefined: absent, or written by someone else. */
export function revertedOf({
  metadata,
}: {
  readonly metadata: { readonly annotations?: Labels };
}): Reverted | undefined {
  try {
    const value: unknown = JSON.parse(metadata.annotations?.[revertedAnnotation] ?? '');
    if (!isObject(value)) return undefined;
    const { from, to, reason, cause } = value;
    const texts = [from, to, reason, cause].every((each) => typeof each === 'string');
    return texts ? (value as unknown as Reverted) : undefined;
  } catch {
    return undefined;
  }
}
