import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unpackPackages, type Unpacking } from './debian.ts';
import type { ImageFile } from './engine.ts';
import { etcFiles, withLibraries } from './programs.ts';
import { treeFiles } from './tree.ts';

const neverNeeded = /^\/usr\/share\/(doc|man|lintian|bug|locale|bash-completion)$/;

/** What a busybox of one static file stands in for. */
const shellTools = [
  'sh',
  'cat',
  'chmod',
  'cp',
  'echo',
  'env',
  'ls',
  'mkdir',
  'mv',
  'printf',
  'rm',
  'sed',
  'sleep',
  'sync',
];

/**
 * The whole content of some Debian packages with the libraries they need, and a shell for the script that starts
 * them. Packages are downloaded once (to `.cache/debian`) and not installed.
 */
export async function unpackedFiles(
  wanted: Omit<Unpacking, 'packages'> & { readonly packages: readonly string[]; readonly leaveOut: RegExp },
): Promise<ImageFile[]> {
  const root = await mkdtemp(join(tmpdir(), 'troupe-image-'));
  try {
    const packages = [...wanted.packages, 'busybox-static'];
    await unpackPackages(root, { ...wanted, packages });
    const programs = wanted.programs.map((path) => ({ file: join(root, path), path: `/${path}` }));
    const out = (path: string): boolean => neverNeeded.test(path) || wanted.leaveOut.test(path);
    const tree = (await treeFiles(root, neverNeeded)).filter(({ path }) => !out(path));
    const files = new Map(tree.map((file) => [file.path, file]));
    for (const file of await withLibraries(programs, root)) files.set(file.path, file);
    const tools = shellTools.map((name) => ({ path: `/bin/${name}`, linkTo: '/bin/busybox' }));
    return [...etcFiles, ...tools, ...files.values()];
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

/** Changes with the machine's Debian release and processor, and with the parts of an image that are made here. */
export async function contentHash(...parts: readonly (string | Buffer)[]): Promise<string> {
  const system = await readFile('/etc/os-release', 'utf8').catch(() => 'no os-release');
  const release = /^VERSION_ID=(.*)$/m.exec(system)?.[1] ?? 'unknown';
  const hash = createHash('sha256').update(`${release} ${process.arch}`);
  for (const part of parts) hash.update('\0').update(part);
  return hash.digest('hex').slice(0, 16);
}
