import { constants, mkdir, open, readlink, type FileHandle } from 'node:fs/promises';
import { messageOf } from '../../lib/base/errors.ts';
import { VolumeError } from './driver.ts';

/** Opens a name without opening what it stands for: enough to look at it and to mount it. Node does not name this flag. */
const O_PATH = 0o10000000;
const maxLinks = 40;

/** A place inside a volume, held open: whatever the names come to mean, it is this place. */
export interface HeldPlace {
  /** Leads to the place for any process of the machine, until `close`. */
  readonly path: string;
  readonly isDirectory: boolean;
  close(): Promise<void>;
}

/**
 * Finds `subPath` inside `root`, making folders that are missing, and never leaves `root`: containers write there and may put links
 * anywhere, at any moment. `create: false` makes nothing. Each part is opened from the one before it; a link is followed by hand, and only to places inside. Throws
 * VolumeError where the path leads out, or through something that is no folder.
 */
export async function openBeneath(root: string, subPath: string, create = true): Promise<HeldPlace> {
  let walk: Walk | undefined;
  try {
    walk = new Walk(await open(root, O_PATH | constants.O_DIRECTORY), subPath, create);
    return await walk.toEnd();
  } catch (error) {
    await walk?.close();
    if (error instanceof VolumeError) throw error;
    throw new VolumeError(`subPath "${subPath}" cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

class Walk {
  /** Folders from the root down to where we stand: the way back for "..", which the kernel is not asked for. */
  readonly #way: FileHandle[];
  readonly #subPath: string;
  readonly #create: boolean;
  readonly #ahead: string[];
  #links = 0;

  constructor(root: FileHandle, subPath: string, create: boolean) {
    this.#way = [root];
    this.#create = create;
    this.#subPath = subPath;
    this.#ahead = parts(subPath);
  }

  async toEnd(): Promise<HeldPlace> {
    for (let name = this.#ahead.shift(); name !== undefined; name = this.#ahead.shift()) {
      if (name === '..') {
        if (this.#way.length === 1) throw this.#error('leads out of the volume');
        await this.#way.pop()?.close();
        continue;
      }
      const found = await this.#step(name);
      if (found === undefined) continue;
      if (this.#ahead.length > 0) {
        await found.close();
        throw this.#error(`goes through "${name}", which is no folder`);
      }
      return this.#held(found, false);
    }
    const end = this.#way.pop();
    if (end === undefined) throw this.#error('leads nowhere');
    return this.#held(end, true);
  }

  async close(): Promise<void> {
    await Promise.all(this.#way.splice(0).map((handle) => handle.close()));
  }

  /** Goes on to one name; undefined where it was a folder or a link, else the file. */
  async #step(name: string): Promise<FileHandle | undefined> {
    const at = `${placeOf(this.#here)}/${name}`;
    const handle = await this.#open(at);
    const is = await handle.stat();
    if (is.isDirectory()) {
      this.#way.push(handle);
      return undefined;
    }
    if (!is.isSymbolicLink()) return handle;
    await handle.close();
    const target = await readlink(at);
    if (target.startsWith('/') || ++this.#links > maxLinks)
      throw this.#error(`follows the link "${name}" to ${target}, out of the volume`);
    this.#ahead.unshift(...parts(target));
    return undefined;
  }

  async #open(at: string): Promise<FileHandle> {
    const flags = O_PATH | constants.O_NOFOLLOW;
    try {
      return await open(at, flags);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    if (!this.#create) throw this.#error('does not exist in the volume');
    // As open as the folder it lies in, and of its group.
    const { mode, uid, gid } = await this.#here.stat();
    try {
      await mkdir(at, { mode: mode & 0o777 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw this.#error('cannot be made', { cause: error });
    }
    const made = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY);
    try {
      await made.chown(uid, gid);
      await made.chmod(mode & 0o7777);
    } finally {
      await made.close();
    }
    return open(at, flags);
  }

  get #here(): FileHandle {
    const here = this.#way.at(-1);
    if (here === undefined) throw this.#error('leads nowhere');
    return here;
  }

  #held(handle: FileHandle, isDirectory: boolean): HeldPlace {
    return {
      path: placeOf(handle, process.pid),
      isDirectory,
      close: async () => {
        await handle.close();
        await this.close();
      },
    };
  }

  #error(what: string, options?: ErrorOptions): VolumeError {
    return new VolumeError(`subPath "${this.#subPath}" ${what}`, options);
  }
}

const parts = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.');
const placeOf = ({ fd }: FileHandle, process: number | 'self' = 'self'): string => `/proc/${process}/fd/${fd}`;
