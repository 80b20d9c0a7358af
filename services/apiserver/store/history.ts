/** How much of the past is kept; whichever is reached first. */
export interface HistoryBounds {
  readonly maxAgeMs: number;
  readonly maxBytes: number;
}

/**
 * The revision up to which history should be compacted now; the present compacted revision when nothing is to be done.
 * By age it is exact. By size it takes a share of the revisions in proportion to the excess, and comes nearer each time.
 */
export function compactionTarget(input: {
  readonly compacted: number;
  readonly revision: number;
  readonly bytes: number;
  readonly bounds: HistoryBounds;
  readonly nowMs: number;
  /** When a revision after `compacted` was committed. */
  readonly timeOf: (revision: number) => number | undefined;
}): number {
  const { compacted, revision, bytes, bounds } = input;
  let target = lastOlderThan(input.nowMs - bounds.maxAgeMs, input);
  if (bytes > bounds.maxBytes) {
    const excess = (bytes - 0.9 * bounds.maxBytes) / bytes;
    target = Math.max(target, compacted + Math.ceil((revision - compacted) * excess));
  }
  return Math.min(target, revision);
}

function lastOlderThan(
  timeMs: number,
  { compacted, revision, timeOf }: Pick<Parameters<typeof compactionTarget>[0], 'compacted' | 'revision' | 'timeOf'>,
): number {
  let low = compacted;
  let high = revision;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((timeOf(middle) ?? Infinity) < timeMs) low = middle;
    else high = middle - 1;
  }
  return low;
}
