import { rm, rmdir } from 'node:fs/promises';
import { runCommand } from '../network/run-command.ts';
import { VolumeError } from './driver.ts';
import { mountsAt, unmountAll } from './mounts.ts';

/** Big volumes take long; the work is a process of its own, in nobody's way. */
const removeMs = 10 * 60_000;

/**
 * Removes a folder and all in it, and nothing else: what is mounted there is unmounted first, nothing is deleted while a mount is
 * left, links are removed and not followed, other file systems are not entered. Throws VolumeError; a second call goes on
 * where the first ended.
 */
export async function removeTree(path: string): Promise<void> {
  await unmountAll(path); // before anything is asked of the path: a dead file server would not answer
  if (await isGoneWhenEmpty(path)) return;
  await checkUnmounted(path);
  const { exitCode, stderr } = await runCommand('rm', ['-rf', '--one-file-system', '--', path], {
    timeoutMs: removeMs,
  });
  if (exitCode !== 0) throw new VolumeError(`${path} cannot be removed: ${stderr.trim().split('\n')[0] ?? ''}`);
}

/** As `removeTree`, for a folder in which only the agent itself has made files: without a process of its own. */
export async function removeOwnFiles(path: string): Promise<void> {
  await unmountAll(path);
  await checkUnmounted(path);
  await rm(path, { recursive: true, force: true });
}

async function checkUnmounted(path: string): Promise<void> {
  const [left] = mountsAt(path);
  if (left !== undefined) throw new VolumeError(`${path} is not removed: ${left.path} is still mounted`);
}

/** An empty folder needs no process to remove it; it cannot hold a mount either. */
async function isGoneWhenEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}
