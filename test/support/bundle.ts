import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildSync } from 'esbuild';

const bundles = new Map<string, string>();
let folder: string | undefined;

/** A program of the tests' own in one file, which so starts in the time of a bare Node; made once, and gone with this process. */
export function bundle(file: string): string {
  const known = bundles.get(file);
  if (known !== undefined) return known;
  if (folder === undefined) {
    const made = (folder = mkdtempSync(join(tmpdir(), 'troupe-programs-')));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  }
  const outfile = join(folder, `${bundles.size}.cjs`);
  buildSync({
    entryPoints: [file],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'error',
  });
  bundles.set(file, outfile);
  return outfile;
}
