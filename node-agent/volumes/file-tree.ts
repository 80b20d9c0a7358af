import * as nodeFs from 'node:fs/promises';
import { join } from 'node:path';
import { VolumeError } from './driver.ts';

export interface TreeFile {
  /** Relative, without "." and ".."; its first part does not begin with "..". */
  readonly path: string;
  readonly data: Buffer;
  readonly mode: number;
}

/** What of the file system a tree is written with; tests let it fail at any step. */
export type TreeFs = Pick<
  typeof nodeFs,
  | 'chmod'
  | 'chown'
  | 'lstat'
  | 'mkdir'
  | 'mkdtemp'
  | 'readFile'
  | 'readdir'
  | 'readlink'
  | 'rename'
  | 'rm'
  | 'symlink'
  | 'writeFile'
>;

export interface TreeOptions {
  /** Group of all files, which it may read; undefined: root's, by mode alone. */
  readonly group?: number | undefined;
  readonly fs?: TreeFs;
}

/** The link that names the current files; one rename of it shows all new files at once. */
const currentLink = '..data';
const revisionPrefix = '..rev-';

/**
 * Makes a folder show exactly these files, all of them at one moment: a reader sees the old ones or the new ones, never some of each.
 *
 *   a        -> ..data/a
 *   deep     -> ..data/deep
 *   ..data   -> ..rev-Xy12z3
 *   ..rev-Xy12z3/a, ..rev-Xy12z3/deep/b
 *
 * Resolves to whether anything differed; files that are right already are not touched. Cut off at any step, the
 * folder shows the old or the new files, and the next call mends the rest. Throws VolumeError where one path is a file
 * and another lies below it.
 */
export async function writeTree(
  folder: string,
  files: readonly TreeFile[],
  options: TreeOptions = {},
): Promise<boolean> {
  const { group, fs = nodeFs } = options;
  const wanted = new Map(files.map((file) => [file.path, withGroup(file, group)]));
  for (const path of wanted.keys())
    for (const above of parents(path))
      if (wanted.has(above))
        throw new VolumeError(`"${above}" is wanted both as a file and as the folder of "${path}"`);

  let current = await fs.readlink(join(folder, currentLink)).catch(() => undefined);
  const differs = current === undefined || !(await shows(fs, join(folder, current), wanted, group));
  if (differs) {
    const fresh = await fs.mkdtemp(join(folder, revisionPrefix));
    await fill(fs, fresh, wanted, group).catch(async (error: unknown) => {
      await fs.rm(fresh, { recursive: true, force: true }).catch(() => undefined); // what was full must not stay full
      throw error;
    });
    const aside = join(folder, `${currentLink}-next`);
    await fs.rm(aside, { force: true });
    current = fresh.slice(folder.length + 1);
    await fs.symlink(current, aside);
    await fs.rename(aside, join(folder, currentLink));
  }
  await link(fs, folder, new Set([...wanted.keys()].map((path) => path.split('/')[0] ?? path)), current ?? '');
  return differs;
}

/** Its group can read it, whatever its mode says: that is what fsGroup is for. */
const withGroup = (file: TreeFile, group: number | undefined): TreeFile =>
  group === undefined ? file : { ...file, mode: file.mode | 0o440 };

function parents(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'));
}

const folderMode = 0o755;

async function fill(
  fs: TreeFs,
  root: string,
  wanted: ReadonlyMap<string, TreeFile>,
  group: number | undefined,
): Promise<void> {
  const folders = new Set([...wanted.keys()].flatMap(parents));
  for (const path of ['', ...folders]) {
    const at = join(root, path);
    if (path !== '') await fs.mkdir(at);
    if (group !== undefined) await fs.chown(at, 0, group);
    await fs.chmod(at, folderMode);
  }
  for (const file of wanted.values()) {
    const at = join(root, file.path);
    await fs.writeFile(at, file.data, { mode: 0o600 });
    if (group !== undefined) await fs.chown(at, 0, group);
    await fs.chmod(at, file.mode); // after the owner, since changing that takes bits away; whatever our umask is
  }
}

/** Whether a revision holds exactly what is wanted. */
async function shows(
  fs: TreeFs,
  root: string,
  wanted: ReadonlyMap<string, TreeFile>,
  group: number | undefined,
): Promise<boolean> {
  try {
    const entries = await fs.readdir(root, { recursive: true, withFileTypes: true });
    const found = entries.filter((entry) => !entry.isDirectory());
    if (found.length !== wanted.size) return false;
    for (const entry of found) {
      const path = join(entry.parentPath, entry.name);
      const file = wanted.get(path.slice(root.length + 1));
      if (file === undefined || !entry.isFile()) return false;
      const { mode, gid, size } = await fs.lstat(path);
      if ((mode & 0o7777) !== file.mode || size !== file.data.length) return false;
      if (group !== undefined && gid !== group) return false;
      if (!file.data.equals(await fs.readFile(path))) return false;
    }
    return true;
  } catch {
    return false; // it is not whole
  }
}

/** Leaves the links of what is wanted, and the current revision, and nothing else. */
async function link(fs: TreeFs, folder: string, names: ReadonlySet<string>, current: string): Promise<void> {
  for (const name of names) {
    const at = join(folder, name);
    const target = `${currentLink}/${name}`;
    if ((await fs.readlink(at).catch(() => undefined)) === target) continue;
    await fs.rm(at, { recursive: true, force: true });
    await fs.symlink(target, at);
  }
  for (const name of await fs.readdir(folder))
    if (!names.has(name) && name !== current && name !== currentLink)
      await fs.rm(join(folder, name), { recursive: true, force: true });
}
