// Adds up what the suites counted, and names what failed once more with its cause, where a long log ends; the last line
// is `N passed, N failed, N skipped`. A suite that ended badly without a failed test of its own (it crashed, or lint
// found something) counts as one failure. What passed only in its second run is named: there is a race to be found.
import { relative } from 'node:path';
import { countsOf } from './counts.mjs';

const [, , folder, suites, ...failedSuites] = process.argv;
const total = { passes: 0, failures: 0, pending: 0 };
const withFailures = new Set();
const tell = (words, { name, file, cause }) => {
  const lines = cause.split('\n').slice(0, 12);
  console.log(`\n${words}: ${name}\n  ${relative(process.cwd(), file)}\n  ${lines.join('\n  ')}`);
};
let raced = 0;
for (const suite of suites.split(' ')) {
  const counts = countsOf(folder, suite);
  if (counts === undefined) continue;
  for (const file of Object.values(counts.files)) for (const key of Object.keys(total)) total[key] += file[key];
  if (counts.failed.length > 0) withFailures.add(suite);
  for (const test of counts.failed) tell(`failed in ${suite}`, test);
  const isOver = new Set(counts.failed.map(({ name }) => name));
  for (const test of counts.first.failed.filter(({ name }) => !isOver.has(name))) {
    tell(`failed in ${suite}, and passed when run again`, test);
    raced += 1;
  }
}
const silent = failedSuites.filter((suite) => !withFailures.has(suite));
if (raced > 0) console.log(`\n${raced} passed only in a second run: a race in each, to be found`);
if (failedSuites.length > 0) console.log(`\nfailed: ${failedSuites.join(', ')}`);
console.log(`\n${total.passes} passed, ${total.failures + silent.length} failed, ${total.pending} skipped`);
process.exit(failedSuites.length === 0 && total.passes > 0 ? 0 : 1);
