import { constants, lstat, open, readdir, readlink, stat, statfs, type FileHandle } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { posix } from 'node:path';
import { once } from 'node:events';
import tar from 'tar-stream';
import { messageOf } from '../../lib/base/errors.ts';
import type { RuntimeFiles } from '../runtime/streams.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { fileFault } from './container-root.ts';
import type { HeldPlace } from './held-walk.ts';

type EntryHeader = Parameters<tar.Pack['entry']>[0];

/** So much is read at a time. */
const pieceBytes = 256 * 1024;
/** Each level of folders is held open while what is in it is read. */
const mostLevels = 200;
/** So many files with several names are remembered, to be told as such; more of them come more than once. */
const mostLinked = 10_000;
/** What the kernel makes up: proc, sysfs, cgroup (v1, v2), devpts, mqueue. */
const madeUp: ReadonlySet<number> = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x19800202]);

const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;
const folderFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY;

/**
 * A file or a folder as a tar, whose first entry has the last part of `path` as its name. Nothing is read before it is asked for, and nobody
 * is held up meanwhile. What goes while the folder is read is left out; sockets too, and what the kernel makes up below the folder. `place` is closed with
 * the end of the tar.
 */
export async function readPlace(place: HeldPlace, path: string, signal: AbortSignal): Promise<RuntimeFiles> {
  const name = posix.basename(path) === '' ? '.' : posix.basename(path);
  try {
    const is = await stat(place.path);
    const ofFile = is.isFile();
    if (!ofFile && !is.isDirectory()) throw new RuntimeError('BadTar', `${path}: it is neither a file nor a folder`);
    return {
      name,
      sizeBytes: ofFile ? is.size : 0,
      isFolder: !ofFile,
      tar: begunOrLetGo(place, packed(place, name, path), signal),
    };
  } catch (error) {
    await place.close();
    throw fileFault(error, path);
  }
}

/** The place is held until its bytes are taken; where nobody begins to, until the iterator's `return` or the signal says so. */
function begunOrLetGo(
  place: HeldPlace,
  parts: AsyncGenerator<Uint8Array, void>,
  signal: AbortSignal,
): AsyncIterable<Uint8Array> {
  let isSettled = false;
  const settle = (): boolean => {
    signal.removeEventListener('abort', letGo);
    return isSettled ? false : (isSettled = true);
  };
  const letGo = (): void => {
    if (settle()) void place.close().catch(() => undefined); // what cannot be closed is not open
  };
  signal.addEventListener('abort', letGo, { once: true });
  if (signal.aborted) letGo();
  const iterator = {
    next: () => {
      settle();
      return parts.next();
    },
    return: () => {
      letGo();
      return parts.return();
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}

async function* packed(place: HeldPlace, name: string, path: string): AsyncGenerator<Uint8Array, void> {
  const pack = tar.pack();
  const packing = new Packing(pack)
    .add(place.path, name)
    .then(() => {
      pack.finalize();
    })
    .catch((error: unknown) => {
      const fault = fileFault(error, path);
      pack.destroy(fault instanceof Error ? fault : new Error(messageOf(fault)));
    });
  try {
    yield* pack as AsyncIterable<Uint8Array>;
  } finally {
    pack.destroy();
    await packing;
    await place.close();
  }
}

class Packing {
  readonly #pack: tar.Pack;
  readonly #linked = new Map<string, string>();

  constructor(pack: tar.Pack) {
    this.#pack = pack;
  }

  /** The place itself: a file or a folder. `at` is a link of the kernel's to it. */
  async add(at: string, name: string): Promise<void> {
    const is = await stat(at);
    if (is.isDirectory()) await this.#addFolder(await open(at, constants.O_RDONLY | constants.O_DIRECTORY), name, 0);
    else await this.#addFile(await open(at, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY), name);
  }

  async #addFolder(folder: FileHandle, name: string, level: number, device?: number): Promise<void> {
    try {
      const is = await folder.stat();
      await this.#entry({ ...headerOf(is), name: `${name}/`, type: 'directory' });
      const here = `/proc/self/fd/${folder.fd}`;
      if (device !== undefined && is.dev !== device && madeUp.has((await statfs(here)).type)) return;
      if (level === mostLevels)
        throw new RuntimeError('BadTar', `${name}: folders are more than ${mostLevels} deep; copy a part of them`);
      for (const entry of (await readdir(here)).toSorted())
        await this.#addChild(`${here}/${entry}`, `${name}/${entry}`, level + 1, is.dev);
    } finally {
      await folder.close();
    }
  }

  async #addChild(at: string, name: string, level: number, device: number): Promise<void> {
    const is = await lstat(at).catch(ifGone);
    if (is === undefined) return;
    if (is.isDirectory()) {
      const folder = await open(at, folderFlags).catch(ifGone);
      if (folder !== undefined) await this.#addFolder(folder, name, level, device);
    } else if (is.isFile()) {
      const file = await open(at, fileFlags).catch(ifGone);
      if (file !== undefined) await this.#addFile(file, name);
    } else if (is.isSymbolicLink()) {
      const linkname = await readlink(at).catch(ifGone);
      if (linkname !== undefined) await this.#entry({ ...headerOf(is), name, type: 'symlink', linkname });
    } else if (!is.isSocket()) {
      const type = is.isFIFO() ? 'fifo' : is.isBlockDevice() ? 'block-device' : 'character-device';
      await this.#entry({ ...headerOf(is), name, type, devmajor: is.rdev >> 8, devminor: is.rdev & 0xff });
    }
  }

  /** As long as it is now: what is written to it meanwhile is left out. */
  async #addFile(file: FileHandle, name: string): Promise<void> {
    try {
      const is = await file.stat();
      if (!is.isFile()) return; // another thing has its name now
      const key = `${is.dev}:${is.ino}`;
      const original = is.nlink > 1 ? this.#linked.get(key) : undefined;
      if (original !== undefined) return await this.#entry({ ...headerOf(is), name, type: 'link', linkname: original });
      if (is.nlink > 1 && this.#linked.size < mostLinked) this.#linked.set(key, name);
      const { entry, over } = this.#begin({ ...headerOf(is), name, type: 'file', size: is.size });
      for (let left = is.size; left > 0;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(Math.min(left, pieceBytes)), 0, null, null);
        if (bytesRead === 0) throw new RuntimeError('BadTar', `${name}: it became shorter while it was copied`);
        left -= bytesRead;
        if (!entry.write(buffer.subarray(0, bytesRead))) await Promise.race([once(entry, 'drain'), over]);
      }
      entry.end(Buffer.alloc(0));
      await over;
    } finally {
      await file.close();
    }
  }

  async #entry(header: EntryHeader): Promise<void> {
    await this.#begin(header).over;
  }

  /** `over` rejects where nobody takes the tar any more. */
  #begin(header: EntryHeader): { readonly entry: ReturnType<tar.Pack['entry']>; readonly over: Promise<void> } {
    const { promise: over, resolve, reject } = promised();
    over.catch(() => undefined); // whoever waits for it hears of it
    const entry = this.#pack.entry(header, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
    entry.on('error', () => undefined); // `over` says it
    return { entry, over };
  }
}

function promised(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve = (): void => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((done, failed) => {
    resolve = done;
    reject = failed;
  });
  return { promise, resolve, reject };
}

const headerOf = ({ mode, uid, gid, mtime }: Stats): Pick<tar.Header, 'mode' | 'uid' | 'gid' | 'mtime'> => ({
  ...{ mode: mode & 0o7777, uid, gid, mtime },
});

/** What went, or became something else, between two looks. */
function ifGone(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENOTDIR' || code === 'ENXIO') return undefined;
  throw error;
}
