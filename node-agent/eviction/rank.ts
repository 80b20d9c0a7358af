import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting, isTerminal } from '../../lib/api/pods.ts';

/** A pod and what it takes of what is short. */
export interface Candidate {
  readonly pod: Pod;
  /** Bytes, or processes. */
  readonly used: number;
  /** What it said that it needs; 0 where it said nothing. */
  readonly requested: number;
}

/** Pods of such a priority run the node itself: they are never ended for room. */
const criticalPriority = 2_000_000_000;
export const isCritical = ({ spec }: Pod): boolean => (spec.priority ?? 0) >= criticalPriority;

/**
 * Whom to end first (F162): who takes more than asked for before who keeps to it; of those the lower priority; of those who is
 * further beyond its request; then the younger. So a BestEffort pod goes before a Guaranteed one of the same priority,
 * and nobody who keeps to its request goes while somebody does not. Who ends anyway is not among them.
 */
export function ranked(candidates: readonly Candidate[]): readonly Candidate[] {
  return candidates
    .filter(({ pod }) => !isTerminal(pod) && !isDeleting(pod) && !isCritical(pod))
    .toSorted(
      (a, b) =>
        Number(exceeds(b)) - Number(exceeds(a)) ||
        priority(a) - priority(b) ||
        beyond(b) - beyond(a) ||
        started(b) - started(a) ||
        (a.pod.metadata.uid < b.pod.metadata.uid ? -1 : 1),
    );
}

const exceeds = ({ used, requested }: Candidate): boolean => used > requested;
const beyond = ({ used, requested }: Candidate): number => used - requested;
const priority = ({ pod }: Candidate): number => pod.spec.priority ?? 0;
const started = ({ pod }: Candidate): number => Date.parse(pod.status.startTime ?? '') || 0;
