import { createHash } from 'node:crypto';
import { execFile } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';

const exec = promisify(execFile);

/** Makes addresses ones that this machine answers for. */
export interface LocalAddresses {
  /** After it the address can be bound to. Twice is harmless. */
  add(ip: string): Promise<void>;
  /** What is not there is no error. */
  remove(ip: string): Promise<void>;
  /** Those that this or an earlier process has added. */
  list(): Promise<readonly string[]>;
}

/** Puts `/32` addresses on a network device, under a label that tells them from everybody else's. Needs root. */
export class DeviceAddresses implements LocalAddresses {
  readonly #device: string;
  readonly #label: string;
  readonly #added: (ip: string) => void;

  /** `added` is told of each address that is new on this machine. Throws an Error with a sentence when the device's name leaves no room for a label: the kernel keeps 15 characters. */
  constructor(device: string, cluster: string, added: (ip: string) => void = () => undefined) {
    this.#added = added;
    const mark = createHash('sha256').update(cluster).digest('hex');
    const room = 15 - device.length - 2;
    if (room < 3)
      throw new Error(
        `--device ${device}: its name has more than 10 characters, which leaves no room for a label; use lo`,
      );
    this.#device = device;
    this.#label = `${device}:b${mark.slice(0, Math.min(8, room))}`;
  }

  async add(ip: string): Promise<void> {
    // Looking is cheap, and it is asked for at each change of a Service; a program to run is not.
    const own = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
    if (own.some((each) => each.address === ip)) return;
    await address('replace', `${ip}/32`, 'dev', this.#device, 'label', this.#label);
    this.#added(ip);
  }

  async remove(ip: string): Promise<void> {
    await address('del', `${ip}/32`, 'dev', this.#device).catch((error: unknown) => {
      if (!messageOf(error).includes('Cannot assign')) throw error;
    });
  }

  async list(): Promise<readonly string[]> {
    const out = await address('show', 'dev', this.#device, 'label', this.#label);
    return [...out.matchAll(/^\s+inet (\d+\.\d+\.\d+\.\d+)\/32 /gm)].flatMap(([, ip]) => ip ?? []);
  }
}

async function address(...words: readonly string[]): Promise<string> {
  try {
    const { stdout } = await exec('ip', ['-4', 'address', ...words], { timeout: 10_000 });
    return stdout;
  } catch (error) {
    throw new Error(`ip address ${words.join(' ')}: ${messageOf(error).trim()}`, { cause: error });
  }
}
