/** Sets of indexes as the status of a Job tells them: `0-3,5`. */

/** Unreadable parts are left out; the API refuses them. Indexes from `below` on are left out too. */
export function parseIndexes(text: string | undefined, below: number): Set<number> {
  const indexes = new Set<number>();
  for (const part of (text ?? '').split(',')) {
    const found = /^([0-9]+)(?:-([0-9]+))?$/.exec(part);
    if (found === null) continue;
    const [first, last] = [Number(found[1]), Math.min(Number(found[2] ?? found[1]), below - 1)];
    for (let index = first; index <= last; index++) indexes.add(index);
  }
  return indexes;
}

export function formatIndexes(indexes: Iterable<number>): string {
  const runs: string[] = [];
  const sorted = [...indexes].sort((a, b) => a - b);
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at] ?? 0;
    let last = first;
    while (sorted[at + 1] === last + 1) last = sorted[++at] ?? last;
    at++;
    runs.push(last === first ? `${first}` : `${first}-${last}`);
  }
  return runs.join(',');
}
