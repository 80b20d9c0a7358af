import { lstat, rm } from 'node:fs/promises';
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
  const left = await mountsAt(path);
  if (left.length > 0) throw new VolumeError(`${path} is not removed: ${left[0]?.path ?? ''} is still mounted`);
  if ((await lstat(path).catch(() => undefined)) === undefined) return;
  const { exitCode, stderr } = await runCommand('rm', ['-rf', '--one-file-system', '--', path], {
    timeoutMs: removeMs,
  });
  if (exitCode !== 0) throw new VolumeError(`${path} cannot be removed: ${stderr.trim().split('\n')[0] ?? ''}`);
}

/** Removes a folder in which only the agent itself has made files; faster, with the same care for mounts. */
export async function removeOwnFiles(path: string): Promise<void> {
  if ((await mountsAt(path)).length > 0) return removeTree(path);
  await rm(path, { recursive: true, force: true });
}
