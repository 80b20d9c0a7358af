import { execFile } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';

const exec = promisify(execFile);

/**
 * Makes `ip` an address of this machine, on the loopback interface. It stays when the process ends; see `removeAddress`.
 * Rejects with what to do about it when that is not allowed.
 */
export async function ensureAddress(ip: string): Promise<void> {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address) ?? []);
  if (own.includes(ip)) return;
  try {
    await exec('ip', ['address', 'replace', `${ip}/32`, 'dev', 'lo'], { timeout: 10_000 });
  } catch (error) {
    const why = messageOf(error).trim();
    throw new Error(
      `--ensure-address ${ip}: cannot put it on the loopback interface (${why}); run as root, or put it there yourself`,
      {
        cause: error,
      },
    );
  }
}

/** Takes the address off the loopback interface again; that it is not there is no error. */
export async function removeAddress(ip: string): Promise<void> {
  await exec('ip', ['address', 'del', `${ip}/32`, 'dev', 'lo'], { timeout: 10_000 }).catch((error: unknown) => {
    if (!/Cannot assign|not found/i.test(messageOf(error))) throw error;
  });
}
