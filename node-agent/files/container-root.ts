import { constants, open, readFile } from 'node:fs/promises';
import { RuntimeError } from '../runtime/runtime.ts';
import { walkFrom, type HeldPlace } from './held-walk.ts';

/** What a container that runs has for `/`, with all that is mounted inside. */
export interface ContainerRoot {
  /** Finds a path as the container's own processes would. NoSuchFile. */
  find(path: string): Promise<HeldPlace>;
  /** Lets go. */
  close(): Promise<void>;
}

/**
 * The root of the process `pid`, held: it stays what it is, whoever has that number later. Undefined where it cannot be reached from
 * here, or has users of its own, whose numbers would have to be translated: then the engine must be asked.
 */
export async function openRoot(pid: number): Promise<ContainerRoot | undefined> {
  const users = await readFile(`/proc/${pid}/uid_map`, 'utf8').catch(() => '');
  if (!/^\s*0\s+0\s+4294967295\s*$/.test(users)) return undefined;
  const root = await open(`/proc/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY).catch(() => undefined);
  if (root === undefined) return undefined;
  return {
    async find(path) {
      const error = (what: string): RuntimeError => new RuntimeError('NoSuchFile', `${path}: ${what}`);
      try {
        return await walkFrom(`/proc/self/fd/${root.fd}`, path, { outside: 'root', error });
      } catch (fault) {
        throw fileFault(fault, path);
      }
    },
    close: () => root.close(),
  };
}

/** A fault of the file system in words for people. */
export function fileFault(error: unknown, path: string): unknown {
  if (error instanceof RuntimeError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT')
    return new RuntimeError('NoSuchFile', `${path}: there is no such file or folder`, { cause: error });
  if (code === 'ENOTDIR') return new RuntimeError('NoSuchFile', `${path}: it is not a folder`, { cause: error });
  if (code === 'EROFS') return new RuntimeError('ReadOnly', `${path}: it can only be read`, { cause: error });
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new RuntimeError('NoSpace', `${path}: there is no space left for it`, { cause: error });
  return error;
}
