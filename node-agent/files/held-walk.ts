import { constants, open, readlink, type FileHandle } from 'node:fs/promises';

/** Opens a name without opening what it stands for: enough to look at it and to mount it. Node does not name this flag. */
const O_PATH = 0o10000000;
const maxLinks = 40;

/** A place held open: whatever its name comes to mean, it is this place. */
export interface HeldPlace {
  /** Leads to the place for any process of the machine, until `close`. */
  readonly path: string;
  readonly isDirectory: boolean;
  close(): Promise<void>;
}

export interface WalkRules {
  /** What leads out of the root ("..", links with a leading /): refused, or taken as it is where nothing else is (a container's root). */
  readonly outside: 'refused' | 'root';
  /** Makes a folder that is missing, at `at` in the folder `here`; without this it is an error. */
  readonly make?: (at: string, here: FileHandle) => Promise<void>;
  /** What is thrown: `what` goes on after the path, as in `leads out`. */
  readonly error: (what: string, options?: ErrorOptions) => Error;
}

/**
 * Walks from a root to a path name by name, each opened from the one before it, links followed by hand: whoever changes names and links
 * meanwhile, and however, never makes it leave the root. The last name too is followed where it is a link.
 */
export async function walkFrom(root: string, path: string, rules: WalkRules): Promise<HeldPlace> {
  let walk: Walk | undefined;
  try {
    walk = new Walk(await open(root, O_PATH | constants.O_DIRECTORY), path, rules);
    return await walk.toEnd();
  } catch (error) {
    await walk?.close();
    throw error;
  }
}

class Walk {
  /** Folders from the root down to where we stand: the way back for "..", which the kernel is not asked for. */
  readonly #way: FileHandle[];
  readonly #ahead: string[];
  readonly #rules: WalkRules;
  #links = 0;

  constructor(root: FileHandle, path: string, rules: WalkRules) {
    this.#way = [root];
    this.#ahead = partsOf(path);
    this.#rules = rules;
  }

  async toEnd(): Promise<HeldPlace> {
    for (let name = this.#ahead.shift(); name !== undefined; name = this.#ahead.shift()) {
      if (name === '..') {
        if (this.#way.length > 1) await this.#way.pop()?.close();
        else if (this.#rules.outside === 'refused') throw this.#rules.error('leads out of the volume');
        continue;
      }
      const found = await this.#step(name);
      if (found === undefined) continue;
      if (this.#ahead.length > 0) {
        await found.close();
        throw this.#rules.error(`goes through "${name}", which is no folder`);
      }
      return this.#held(found, false);
    }
    const end = this.#way.pop();
    if (end === undefined) throw this.#rules.error('leads nowhere');
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
    const isAway = target.startsWith('/');
    const tooMany = ++this.#links > maxLinks;
    if (tooMany && this.#rules.outside === 'root') throw this.#rules.error(`goes through more than ${maxLinks} links`);
    if (tooMany || (isAway && this.#rules.outside === 'refused'))
      throw this.#rules.error(`follows the link "${name}" to ${target}, out of the volume`);
    if (isAway) await Promise.all(this.#way.splice(1).map((folder) => folder.close()));
    this.#ahead.unshift(...partsOf(target));
    return undefined;
  }

  async #open(at: string): Promise<FileHandle> {
    const flags = O_PATH | constants.O_NOFOLLOW;
    try {
      return await open(at, flags);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || this.#rules.make === undefined) throw error;
    }
    await this.#rules.make(at, this.#here);
    return open(at, flags);
  }

  get #here(): FileHandle {
    const here = this.#way.at(-1);
    if (here === undefined) throw this.#rules.error('leads nowhere');
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
}

const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '' && part !== '.');
const placeOf = ({ fd }: FileHandle, process: number | 'self' = 'self'): string => `/proc/${process}/fd/${fd}`;
