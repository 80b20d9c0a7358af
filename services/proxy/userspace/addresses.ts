import { readFileSync } from 'node:fs';
import { messageOf } from '../../../lib/base/errors.ts';
import { run } from '../kernel/command.ts';

/** Makes virtual addresses ones that this machine answers for, so that a socket can be bound to them. */
export interface LocalAddresses {
  /** After it the address can be bound to. Twice is harmless. */
  add(ip: string): Promise<void>;
  /** Takes away what `add` made; what is not there is no error. */
  remove(ip: string): Promise<void>;
  /** Takes away what this or an earlier process has added. */
  removeAll(): Promise<void>;
}

/** Puts `/32` addresses on the loopback interface, under a label that tells them from everybody else's. Needs root. */
export class LoopbackAddresses implements LocalAddresses {
  readonly #label: string;

  /** `owner` tells two proxies on one machine apart; the kernel keeps 12 characters of it. */
  constructor(owner: string) {
    this.#label = `lo:${owner.replace(/^troupe_/, '').slice(0, 12)}`;
  }

  async add(ip: string): Promise<void> {
    await address('replace', `${ip}/32`, 'dev', 'lo', 'label', this.#label);
  }

  async remove(ip: string): Promise<void> {
    await address('del', `${ip}/32`, 'dev', 'lo').catch((error: unknown) => {
      if (!messageOf(error).includes('Cannot assign')) throw error;
    });
  }

  async removeAll(): Promise<void> {
    await address('flush', 'dev', 'lo', 'label', this.#label);
  }
}

async function address(...words: readonly string[]): Promise<void> {
  const { code, stderr } = await run('ip', ['address', ...words], { timeoutMs: 10_000 });
  if (code !== 0) throw new Error(`ip address ${words.join(' ')}: ${stderr.trim()}`);
}

/** Without root: only addresses that are local already, such as 127.0.0.0/8, can be served. */
export const givenAddresses: LocalAddresses = {
  async add() {},
  async remove() {},
  async removeAll() {},
};

/** Whether this process may change the network of its namespace (CAP_NET_ADMIN). */
export function canAdministerNetwork(): boolean {
  try {
    const found = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return found?.[1] !== undefined && ((BigInt(`0x${found[1]}`) >> 12n) & 1n) === 1n;
  } catch {
    return false;
  }
}
