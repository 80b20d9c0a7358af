import { constants } from 'node:fs';
import { chmod, link, lstat, mkdir, open, readdir, rm, symlink, utimes } from 'node:fs/promises';
import { dirname, join, posix, resolve, sep } from 'node:path';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import { ApiError } from '../../lib/base/errors.ts';

export interface UnpackOptions {
  /** The name that the file or folder has in the tar: it becomes `target`. */
  readonly root: string;
  readonly target: string;
  /** Permissions and times of the original. */
  readonly preserve: boolean;
  readonly onBytes: (count: number) => void;
  readonly onSkipped: (what: string) => void;
}

interface Entry extends AsyncIterable<Uint8Array> {
  readonly header: tar.Header;
}

/**
 * Writes what is in a tar that somebody else has made. Nothing is written outside `target`: not by names with `..` or a leading `/`, not
 * through links, neither those of the tar nor any that lie there already. Links that lead out are skipped. Resolves to the number of files.
 */
export async function unpack(source: AsyncIterable<Uint8Array>, options: UnpackOptions): Promise<number> {
  const extract = tar.extract();
  const input = Readable.from(source, { objectMode: false });
  input.once('error', (error) => {
    extract.destroy(error);
  });
  input.pipe(extract);
  const links: { readonly path: string; readonly to: string }[] = [];
  const folders: { readonly path: string; readonly header: tar.Header }[] = [];
  let files = 0;
  for await (const entry of extract as AsyncIterable<Entry>) {
    const { header } = entry;
    const path = placeOf(header.name, options);
    switch (header.type) {
      case 'directory':
        await makeFolder(path, options.target);
        folders.push({ path, header });
        break;
      case 'file':
      case 'contiguous-file':
        await makeFolder(dirname(path), options.target);
        await writeFile(path, entry, options);
        files++;
        break;
      case 'symlink':
        links.push({ path, to: header.linkname ?? '' });
        break;
      case 'link':
        await makeFolder(dirname(path), options.target);
        await linkTo(placeOf(header.linkname ?? '', options), path, options.target);
        files++;
        break;
      case 'block-device':
      case 'character-device':
      case 'fifo':
        options.onSkipped(`${header.name}: ${header.type} is neither a file, a folder nor a link`);
    }
    for await (const rest of entry) void rest; // what was not read keeps the next entry back
  }
  // Last, so that nothing can be written through them.
  for (const { path, to } of links) {
    if (!staysInside(path, to, options.target)) {
      options.onSkipped(`${path}: a link to ${to}, which is not among what is copied`);
      continue;
    }
    await makeFolder(dirname(path), options.target);
    await clear(path);
    await symlink(to, path);
    files++;
  }
  if (options.preserve) for (const { path, header } of folders.toReversed()) await preserve(path, header);
  return files;
}

/** Where an entry goes. BadRequest for a name that would leave the folder. */
export function placeOf(name: string, { root, target }: Pick<UnpackOptions, 'root' | 'target'>): string {
  const clean = posix.normalize(name).replace(/\/$/, '');
  const base = posix.normalize(root).replace(/^\/+|\/$/g, '');
  const relative =
    base === '' || base === '.'
      ? clean
      : clean === base
        ? ''
        : clean.startsWith(`${base}/`)
          ? clean.slice(base.length + 1)
          : undefined;
  if (
    relative === undefined ||
    relative.startsWith('/') ||
    relative.split('/').includes('..') ||
    relative.includes('\0')
  ) {
    throw new ApiError(
      'BadRequest',
      `the archive has an entry ${JSON.stringify(name)}, which does not belong into ${root}: nothing more is unpacked`,
    );
  }
  return relative === '' || relative === '.' ? target : join(target, ...relative.split('/'));
}

/** Steps up are taken only at the beginning, where the folders are real: after a link they would lead elsewhere than they seem to. */
function staysInside(path: string, to: string, target: string): boolean {
  if (to === '' || to.startsWith('/') || path === target || /(^|\/)(?!\.\.(\/|$))[^/]+\/(.*\/)?\.\.(\/|$)/.test(to))
    return false;
  const leads = resolve(dirname(path), to);
  return leads === resolve(target) || leads.startsWith(resolve(target) + sep);
}

/** Makes a folder and those above it, as far as the target. BadRequest where a link or a file is in the way. */
async function makeFolder(path: string, target: string): Promise<void> {
  if (path !== target && !path.startsWith(target + sep)) return; // above the target: that was there before
  await makeFolder(dirname(path), target);
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) await mkdir(path);
  else if (!found.isDirectory() && !(path === target && (await isFolder(path))))
    throw new ApiError('BadRequest', `${path}: it is there already and is no folder`);
}

/** The target itself may be a link to a folder: the person who named it meant that. */
const isFolder = (path: string): Promise<boolean> =>
  readdir(path).then(
    () => true,
    () => false,
  );

async function writeFile(path: string, entry: Entry, options: UnpackOptions): Promise<void> {
  await clear(path);
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const file = await open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o666);
  try {
    for await (const part of entry) {
      await file.writeFile(part);
      options.onBytes(part.length);
    }
  } finally {
    await file.close();
  }
  if (options.preserve) await preserve(path, entry.header);
}

/** A second name of a file that came before. */
async function linkTo(original: string, path: string, target: string): Promise<void> {
  await makeFolder(dirname(original), target); // refuses a way there that leads through a link
  await clear(path);
  await link(original, path);
}

async function clear(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new ApiError('BadRequest', `${path}: there is a folder of that name already`);
  if (found !== undefined) await rm(path);
}

async function preserve(path: string, { mode, mtime }: tar.Header): Promise<void> {
  if (mode !== undefined) await chmod(path, mode & 0o777); // no set-user-id from elsewhere
  if (mtime !== undefined) await utimes(path, mtime, mtime);
}
