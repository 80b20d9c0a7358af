import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { librariesOf } from './programs.ts';

const run = promisify(execFile);
/** Kept between runs, so that only the first one needs the network. */
const cache = fileURLToPath(new URL('../../.cache/debian', import.meta.url));
const downloadTimeoutMs = 120_000;
/** Packages needed by packages: more rounds than this would mean that something else is wrong. */
const maxRounds = 5;

export interface Unpacking {
  readonly packages: readonly string[];
  /** Programs and libraries, as paths below the folder, that must find their libraries there or on this machine. */
  readonly programs: readonly string[];
  /** What to do where a package cannot be had. */
  readonly instead: string;
  readonly say: (text: string) => void;
}

/**
 * Unpacks Debian packages into `root` without installing them, with those of the packages they depend on whose libraries
 * the programs would miss on this machine.
 */
export async function unpackPackages(root: string, { packages, programs, instead, say }: Unpacking): Promise<void> {
  const unpacked = new Set<string>();
  let wanted = [...packages];
  for (let round = 0; round < maxRounds; round++) {
    const dependencies: string[] = [];
    for (const name of wanted) {
      const file = await download(name, instead, say);
      await run('dpkg-deb', ['-x', file, root]);
      unpacked.add(name);
      dependencies.push(...(await dependenciesOf(file)));
    }
    const missing = await Promise.all(
      programs.map(async (path) => (await librariesOf(join(root, path), root)).missing),
    );
    wanted = [...new Set(dependencies)].filter((name) => !unpacked.has(name));
    if (missing.flat().length === 0 || wanted.length === 0) return;
  }
}

async function dependenciesOf(file: string): Promise<string[]> {
  const { stdout } = await run('dpkg-deb', ['-f', file, 'Depends']);
  return stdout
    .split(',')
    .map((one) => one.trim().split(/[\s|(:]/)[0] ?? '')
    .filter((name) => name.startsWith('lib'));
}

/** The package's file, from the cache or from where apt gets its packages. */
async function download(name: string, instead: string, say: (text: string) => void): Promise<string> {
  await mkdir(cache, { recursive: true });
  const present = await cached(name);
  if (present !== undefined) return present;
  say(`downloading the Debian package ${name}`);
  await aptGet(['download', name]).catch(async (error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      throw new Error(`this machine has no apt-get. ${instead}`, { cause: error });
    say('apt does not find it: updating its lists (apt-get update)');
    await aptGet(['update']).catch(() => undefined); // the download below says what is wrong
    await aptGet(['download', name]).catch((again: unknown) => {
      throw new Error(noDownload(name, instead, again), { cause: again });
    });
  });
  const file = await cached(name);
  if (file === undefined) throw new Error(`apt-get download ${name} ended well but left no file in ${cache}`);
  return file;
}

const aptGet = (words: readonly string[]): Promise<unknown> =>
  run('apt-get', ['-q', ...words], { cwd: cache, timeout: downloadTimeoutMs });

async function cached(name: string): Promise<string | undefined> {
  const file = (await readdir(cache)).find((found) => found.startsWith(`${name}_`) && found.endsWith('.deb'));
  return file === undefined ? undefined : join(cache, file);
}

const noDownload = (name: string, instead: string, error: unknown): string => {
  const said = ((error as { stderr?: string }).stderr ?? (error as Error).message).trim();
  return (
    `the Debian package ${name} cannot be had:\n${said}\n` +
    `See that this machine reaches its package mirror (apt-get update) and run this again. ${instead}`
  );
};
