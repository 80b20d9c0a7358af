// What the suites counted (`<suite>.json`, by scripts/reporter.cjs), and what came of files that were run again
// (`<suite>.again.json`): the second run of a file takes the place of the first.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const read = (path) => (existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined);

/** { first, again, files, failed } of a suite; undefined where it ended without a word. */
export function countsOf(folder, suite) {
  const first = read(join(folder, `${suite}.json`));
  if (first === undefined) return undefined;
  const again = read(join(folder, `${suite}.again.json`));
  const isAgain = (file) => again?.files[file] !== undefined;
  return {
    first,
    again,
    files: { ...first.files, ...again?.files },
    failed: [...first.failed.filter(({ file }) => !isAgain(file)), ...(again?.failed ?? [])],
  };
}
