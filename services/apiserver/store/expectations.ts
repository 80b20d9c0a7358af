import { ApiError } from '../../../lib/base/errors.ts';
import { StoreConflict, type StoreEntry, type StoreOp } from './store.ts';

export const maxOpsPerCommit = 1000;
export const maxKeyBytes = 700;

/** Refuses what no store could commit, whatever it holds. Throws BadRequest. */
export function checkOps(ops: readonly StoreOp[]): void {
  if (ops.length === 0 || ops.length > maxOpsPerCommit) {
    throw new ApiError('BadRequest', `a commit has 1 to ${maxOpsPerCommit} operations, this one has ${ops.length}`);
  }
  for (const { key } of ops) {
    if (key === '' || (key.length * 3 > maxKeyBytes && Buffer.byteLength(key) > maxKeyBytes)) {
      throw new ApiError('BadRequest', `a key has 1 to ${maxKeyBytes} bytes, "${key.slice(0, 40)}…" has not`);
    }
  }
  if (ops.length > 1 && new Set(ops.map((op) => op.key)).size < ops.length) {
    throw new ApiError('BadRequest', 'a commit may name each key once');
  }
}

/** The revision that each key has now, 0 when absent; throws StoreConflict for the first operation whose expectation does not hold. */
export function checkExpectations(
  ops: readonly StoreOp[],
  revisionOf: (key: string) => number,
  entryOf: (key: string) => StoreEntry | undefined,
): readonly number[] {
  return ops.map(({ key, value, ifRevision }, index) => {
    const revision = revisionOf(key);
    if (ifRevision === undefined) return revision;
    const absentDeletion = value === undefined && revision === 0;
    if (revision !== ifRevision || absentDeletion) throw new StoreConflict(index, key, entryOf(key));
    return revision;
  });
}
