// Adds up what the suites counted, and names what failed once more with its cause, where a long log ends; the last line
// is `N passed, N failed, N skipped`. A suite that ended badly without a failed test of its own (it crashed, or lint
// found something) counts as one failure.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const [, , folder, ...failedSuites] = process.argv;
const total = { passes: 0, failures: 0, pending: 0 };
const counted = new Map();
for (const file of readdirSync(folder)) {
  const counts = JSON.parse(readFileSync(join(folder, file), 'utf8'));
  counted.set(file.replace('.json', ''), counts);
  for (const key of Object.keys(total)) total[key] += counts[key];
}
for (const [suite, { failed }] of counted) {
  for (const { name, file, cause } of failed) {
    const lines = cause.split('\n').slice(0, 12);
    console.log(`\nfailed in ${suite}: ${name}\n  ${relative(process.cwd(), file ?? '')}\n  ${lines.join('\n  ')}`);
  }
}
const silent = failedSuites.filter((suite) => !(counted.get(suite)?.failures > 0));
if (failedSuites.length > 0) console.log(`\nfailed: ${failedSuites.join(', ')}`);
console.log(`\n${total.passes} passed, ${total.failures + silent.length} failed, ${total.pending} skipped`);
process.exit(failedSuites.length === 0 && total.passes > 0 ? 0 : 1);
