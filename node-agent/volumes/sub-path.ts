import { constants, mkdir, open, type FileHandle } from 'node:fs/promises';
import { messageOf } from '../../lib/base/errors.ts';
import { walkFrom, type HeldPlace } from '../files/held-walk.ts';
import { VolumeError } from './driver.ts';

/**
 * Finds `subPath` inside `root`, making folders that are missing, and never leaves `root`: containers write there and may put links
 * anywhere, at any moment (`walkFrom`). `create: false` makes nothing. Throws VolumeError where the path leads out, or through
 * something that is no folder.
 */
export async function openBeneath(root: string, subPath: string, create = true): Promise<HeldPlace> {
  const fault = (what: string, options?: ErrorOptions): VolumeError =>
    new VolumeError(`subPath "${subPath}" ${what}`, options);
  const make = async (at: string, here: FileHandle): Promise<void> => {
    if (!create) throw fault('does not exist in the volume');
    await makeLike(at, here, fault);
  };
  try {
    return await walkFrom(root, subPath, { outside: 'refused', make, error: fault });
  } catch (error) {
    if (error instanceof VolumeError) throw error;
    throw fault(`cannot be opened: ${messageOf(error)}`, { cause: error });
  }
}

/** A folder as open as the one it lies in, and of its group. */
async function makeLike(
  at: string,
  here: FileHandle,
  fault: (what: string, options?: ErrorOptions) => VolumeError,
): Promise<void> {
  const { mode, uid, gid } = await here.stat();
  try {
    await mkdir(at, { mode: mode & 0o777 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw fault('cannot be made', { cause: error });
  }
  const made = await open(at, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY);
  try {
    await made.chown(uid, gid);
    await made.chmod(mode & 0o7777);
  } finally {
    await made.close();
  }
}
