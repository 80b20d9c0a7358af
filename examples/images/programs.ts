import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { ImageFile } from './engine.ts';

const run = promisify(execFile);

/** A program with the shared libraries it names, so that it starts in an image that has nothing else. */
export interface Program {
  /** Here on this machine. */
  readonly file: string;
  /** In the image. */
  readonly path: string;
}

/**
 * The programs and every library that `ldd` finds for them, each where the programs will look for it. `root` is a folder
 * in which packages were unpacked: what is found there is taken as if it were at `/`.
 */
export async function withLibraries(programs: readonly Program[], root?: string): Promise<ImageFile[]> {
  const files = new Map<string, ImageFile>();
  for (const { file, path } of programs) {
    files.set(path, { path, content: await readFile(file), mode: 0o755 });
    const { found, missing } = await librariesOf(file, root);
    if (missing.length > 0) throw new Error(`${file} needs libraries that are not here: ${missing.join(', ')}`);
    for (const library of found) {
      const target = root !== undefined && library.startsWith(`${root}/`) ? library.slice(root.length) : library;
      if (!files.has(target)) files.set(target, { path: target, content: await readFile(library), mode: 0o755 });
    }
  }
  return [...files.values()];
}

/** What the dynamic linker would load for a program. */
export async function librariesOf(file: string, root?: string): Promise<{ found: string[]; missing: string[] }> {
  const folders = root === undefined ? [] : await libraryFolders(root);
  const env = { ...process.env, ...(folders.length === 0 ? {} : { LD_LIBRARY_PATH: folders.join(':') }) };
  const { stdout } = await run('ldd', [file], { env }).catch((error: unknown) => {
    const said = (error as { stdout?: string }).stdout ?? '';
    if (said.includes('not a dynamic executable')) return { stdout: '' };
    throw error;
  });
  const found: string[] = [];
  const missing: string[] = [];
  for (const line of stdout.split('\n')) {
    const [, name, target] = /^\s*(\S+)(?: => (\S+|not found))?/.exec(line) ?? [];
    if (name === undefined || name.startsWith('linux-vdso')) continue;
    if (target === 'not' || line.includes('not found')) missing.push(name);
    else found.push(target ?? name);
  }
  return { found, missing };
}

async function libraryFolders(root: string): Promise<string[]> {
  const { stdout } = await run('find', [root, '-name', '*.so*', '-printf', '%h\n']);
  return [...new Set(stdout.split('\n').filter((folder) => folder !== ''))];
}

/** Names are looked up in /etc/hosts and then by DNS; programs find a name for their user. */
export const etcFiles: readonly ImageFile[] = [
  { path: '/etc/nsswitch.conf', content: Buffer.from('hosts: files dns\npasswd: files\ngroup: files\n') },
  {
    path: '/etc/passwd',
    content: Buffer.from('root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n'),
  },
  { path: '/etc/group', content: Buffer.from('root:x:0:\nnogroup:x:65534:\n') },
  { path: '/tmp', mode: 0o1777 },
];
