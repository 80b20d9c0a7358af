// Names the files of a suite that are worth a second run: where more than a few fail it is no race that was lost.
import { countsOf } from './counts.mjs';

const atMost = 3;
const [, , folder, suite] = process.argv;
const files = new Set((countsOf(folder, suite)?.failed ?? []).map(({ file }) => file));
if (!files.has('') && files.size <= atMost) for (const file of files) console.log(file);
