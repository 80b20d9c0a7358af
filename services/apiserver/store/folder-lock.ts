import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ApiError, messageOf } from '../../../lib/base/errors.ts';

/** Held until released or until the process is gone, however it ends. */
export interface FolderLock {
  release(): void;
}

/**
 * Makes this process the only one that uses a data folder; the folder is created when missing.
 * The kernel holds the lock on an open file (flock), so that kill -9 leaves nothing to clean up. Node has no flock
 * of its own: the tool of that name (util-linux, BusyBox) locks the file that it inherits, which stays open here.
 * Throws Conflict naming the folder and the holder's pid, or ServiceUnavailable when the folder cannot be used.
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, 'lock');
  let file: number;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    file = openSync(path, 'a+', 0o600);
  } catch (error) {
    throw new ApiError('ServiceUnavailable', `cannot use the data folder ${folder}: ${messageOf(error)}`);
  }
  const { status, error, stderr } = spawnSync('flock', ['-n', '-x', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', file],
  });
  if (status !== 0) {
    const holder = readFileSync(path, 'utf8').trim();
    closeSync(file);
    if (error !== undefined) {
      throw new ApiError('ServiceUnavailable', `cannot lock the data folder ${folder}: flock: ${messageOf(error)}`);
    }
    if (stderr.length > 0) {
      throw new ApiError('ServiceUnavailable', `cannot lock the data folder ${folder}: ${stderr.toString().trim()}`);
    }
    throw new ApiError(
      'Conflict',
      `the data folder ${folder} is in use by another apiserver${holder === '' ? '' : ` (pid ${holder})`}; stop that one, or give this one a folder of its own with --data`,
    );
  }
  ftruncateSync(file);
  writeSync(file, `${process.pid}\n`);
  let held = true;
  return {
    release() {
      if (held) closeSync(file);
      held = false;
    },
  };
}
