import { constants, lchown, open, readdir, type FileHandle } from 'node:fs/promises';
import type { PodSecurityContext } from '../../lib/api/objects.ts';

export type OwnershipPolicy = NonNullable<PodSecurityContext['fsGroupChangePolicy']>;

const folderBits = 0o2770;
const fileBits = 0o660;

/**
 * Gives a volume that outlives pods to the group of `fsGroup`: it owns everything in it and may read and write it, and what is made in its
 * folders is the group's too. `OnRootMismatch`: nothing is done where the volume's own folder is the group's already. Links are not
 * followed, other file systems not entered. Resolves to how many files and folders were looked at; a second call, after a
 * crash too, goes through all again.
 */
export async function giveToGroup(path: string, group: number, policy: OwnershipPolicy = 'Always'): Promise<number> {
  const root = await open(path, folderFlags);
  try {
    const { gid, mode, dev } = await root.stat();
    if (policy === 'OnRootMismatch' && gid === group && (mode & folderBits) === folderBits) return 1;
    // The root last: it tells whether all was done.
    const looked = await giveBelow(root, group, dev);
    await give(root, group, folderBits);
    return looked + 1;
  } finally {
    await root.close();
  }
}

const folderFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_DIRECTORY;
// A FIFO without a writer is not waited for; a terminal does not become ours.
const fileFlags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY;

async function giveBelow(folder: FileHandle, group: number, device: number): Promise<number> {
  const here = `/proc/self/fd/${folder.fd}`;
  let looked = 0;
  for (const entry of await readdir(here, { withFileTypes: true })) {
    const at = `${here}/${entry.name}`;
    looked++;
    if (!entry.isDirectory() && !entry.isFile()) {
      await lchown(at, -1, group).catch(ifGone);
      continue;
    }
    const handle = await open(at, entry.isDirectory() ? folderFlags : fileFlags).catch(ifGone);
    if (handle === undefined) continue;
    try {
      const is = await handle.stat();
      if (is.dev !== device || !(is.isDirectory() || is.isFile())) continue;
      if (is.isDirectory()) looked += await giveBelow(handle, group, device);
      await give(handle, group, is.isDirectory() ? folderBits : fileBits);
    } finally {
      await handle.close();
    }
  }
  return looked;
}

async function give(handle: FileHandle, group: number, bits: number): Promise<void> {
  const { uid, mode } = await handle.stat();
  await handle.chown(uid, group);
  await handle.chmod((mode & 0o7777) | bits);
}

/** Another pod that uses the volume may remove or replace what we have just seen. */
function ifGone(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENOTDIR') return undefined;
  throw error;
}
