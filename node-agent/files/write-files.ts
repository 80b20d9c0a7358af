import {
  constants,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  symlink,
  unlink,
  lchown,
  type FileHandle,
} from 'node:fs/promises';
import { posix } from 'node:path';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import { messageOf } from '../../lib/base/errors.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { fileFault, type ContainerRoot } from './container-root.ts';
import type { HeldPlace } from './held-walk.ts';

interface Entry extends AsyncIterable<Uint8Array> {
  readonly header: tar.Header;
}

const folderFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY;
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const oldFile = constants.O_WRONLY | constants.O_TRUNC | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/**
 * Unpacks a tar into a folder of a container; owners, modes and times are those of the tar. A file that is there already is replaced, a folder
 * is filled. Names that lead out of the folder are refused; links that lie there are followed as the container's processes would
 * follow them. Resolves when all is written. NoSuchFile, ReadOnly, NoSpace, BadTar.
 */
export async function writeFiles(
  root: ContainerRoot,
  folder: string,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  const target = await root.find(folder);
  await target.close();
  if (!target.isDirectory) throw new RuntimeError('NoSuchFile', `${folder}: it is not a folder`);
  const input = Readable.from(source, { objectMode: false, signal });
  const extract = tar.extract();
  let lost: Error | undefined;
  input.once('error', (error) => {
    lost = error;
    extract.destroy(error);
  });
  input.pipe(extract);
  const writing = new Writing(root, folder);
  try {
    for await (const entry of extract as AsyncIterable<Entry>) {
      await writing.write(entry);
      for await (const rest of entry) void rest; // what was not read keeps the next entry back
    }
    await writing.finish();
  } catch (error) {
    signal.throwIfAborted();
    if (lost !== undefined) throw lost; // half a tar is no tar: whoever sends it has gone
    if (!isOfTar(error)) throw error;
    throw new RuntimeError('BadTar', `${folder}: what came could not be unpacked: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    input.destroy();
    await writing.close();
  }
}

const isOfTar = (error: unknown): boolean =>
  (error as { code?: unknown }).code === 'STREAM_DESTROYED' ||
  /invalid tar header|unexpected end of data/i.test(messageOf(error));

class Writing {
  readonly #root: ContainerRoot;
  readonly #folder: string;
  readonly #folders: { readonly path: string; readonly header: tar.Header }[] = [];
  /** The folder of the entry before: as a rule that of the next one too. */
  #parent: { readonly path: string; readonly held: HeldPlace } | undefined;

  constructor(root: ContainerRoot, folder: string) {
    this.#root = root;
    this.#folder = folder;
  }

  async write(entry: Entry): Promise<void> {
    const { header } = entry;
    const path = this.#pathOf(header.name);
    try {
      if (path === this.#folder) return; // it was there before, and stays as it is
      const at = await this.#placeOf(path);
      switch (header.type) {
        case 'directory':
          if (await this.#isLinkToFolder(at, path)) return; // into which the rest goes
          await makeFolder(at);
          this.#folders.push({ path, header });
          return;
        case 'file':
        case 'contiguous-file':
          return await writeFile(at, entry);
        case 'symlink':
          await clear(at);
          await symlink(header.linkname ?? '', at);
          await lchown(at, header.uid ?? 0, header.gid ?? 0);
          if (header.mtime !== undefined) await lutimes(at, header.mtime, header.mtime);
          return;
        case 'link': {
          const original = this.#pathOf(header.linkname ?? '');
          const held = await this.#root.find(posix.dirname(original));
          try {
            await clear(at);
            await link(`${held.path}/${posix.basename(original)}`, at);
          } finally {
            await held.close();
          }
          return;
        }
        case 'block-device':
        case 'character-device':
        case 'fifo':
        default:
          throw new RuntimeError('BadTar', `${path}: a ${header.type ?? 'thing'} cannot be copied`);
      }
    } catch (error) {
      throw fileFault(error, path);
    }
  }

  /** Times and rights of folders last, since what is put into them changes the ones and may need the others. */
  async finish(): Promise<void> {
    for (const { path, header } of this.#folders.toReversed()) {
      const handle = await open(await this.#placeOf(path), folderFlags);
      try {
        await give(handle, header);
      } finally {
        await handle.close();
      }
    }
  }

  async close(): Promise<void> {
    await this.#parent?.held.close();
    this.#parent = undefined;
  }

  #pathOf(name: string): string {
    const path = posix.join(this.#folder, name).replace(/(.)\/+$/, '$1');
    const inside = this.#folder.endsWith('/') ? this.#folder : `${this.#folder}/`;
    const base = this.#folder.replace(/(.)\/+$/, '$1');
    if (name.includes('\0') || name.split('/').includes('..') || (path !== base && !path.startsWith(inside)))
      throw new RuntimeError('BadTar', `the tar has an entry ${JSON.stringify(name)}, which leads out of ${base}`);
    return path;
  }

  async #isLinkToFolder(at: string, path: string): Promise<boolean> {
    if ((await lstat(at).catch(() => undefined))?.isSymbolicLink() !== true) return false;
    const found = await this.#root.find(path);
    await found.close();
    return found.isDirectory;
  }

  /** A name to work with: its folder is held, and made where it is missing. */
  async #placeOf(path: string): Promise<string> {
    const folder = posix.dirname(path);
    if (this.#parent?.path !== folder) {
      await this.close();
      this.#parent = { path: folder, held: await this.#find(folder) };
    }
    return `${this.#parent.held.path}/${posix.basename(path)}`;
  }

  async #find(folder: string): Promise<HeldPlace> {
    try {
      return await this.#root.find(folder);
    } catch (error) {
      if (!(error instanceof RuntimeError) || error.code !== 'NoSuchFile' || folder.length <= this.#folder.length)
        throw error;
    }
    const above = await this.#find(posix.dirname(folder));
    try {
      await makeFolder(`${above.path}/${posix.basename(folder)}`);
    } finally {
      await above.close();
    }
    return this.#root.find(folder);
  }
}

async function makeFolder(at: string): Promise<void> {
  try {
    await mkdir(at, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !(await lstat(at)).isDirectory()) throw error;
  }
}

/** Removes what has the name, for something else to take it. A folder is not removed for anything. */
async function clear(at: string): Promise<void> {
  const found = await lstat(at).catch(() => undefined);
  if (found === undefined) return;
  if (found.isDirectory())
    throw new RuntimeError('BadTar', `${posix.basename(at)}: there is a folder of that name already`);
  await unlink(at);
}

async function writeFile(at: string, entry: Entry): Promise<void> {
  const handle = await openNew(at);
  try {
    for await (const part of entry) await handle.writeFile(part);
    await give(handle, entry.header);
  } finally {
    await handle.close();
  }
}

/** A file of its own, so that who reads the one before goes on with that; where a name is itself a mount (such as /etc/hosts), the one that is there. */
async function openNew(at: string): Promise<FileHandle> {
  try {
    await clear(at);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
    const handle = await open(at, oldFile);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw error;
  }
  return open(at, newFile, 0o600);
}

/** Owner first, since changing it takes bits of the mode away. */
async function give(handle: FileHandle, { uid = 0, gid = 0, mode = 0o644, mtime }: tar.Header): Promise<void> {
  await handle.chown(uid, gid);
  await handle.chmod(mode & 0o7777);
  if (mtime !== undefined) await handle.utimes(mtime, mtime);
}
