import { readFileSync } from 'node:fs';
import { run } from './command.ts';

/** Makes virtual addresses ones that this machine answers for, so that a socket can be bound to them. */
export interface LocalAddresses {
  /** After it the address can be bound to. Twice is harmless. */
  add(ip: string): Promise<void>;
  /** Takes away what `add` made, and nothing else. */
  remove(ip: string): Promise<void>;
}

/** Puts `/32` addresses on the loopback interface. Needs root. */
export class LoopbackAddresses implements LocalAddresses {
  async add(ip: string): Promise<void> {
    await this.#ip('replace', ip);
  }

  async remove(ip: string): Promise<void> {
    const { code, stderr } = await run('ip', ['address', 'del', `${ip}/32`, 'dev', 'lo'], { timeoutMs: 10_000 });
    if (code !== 0 && !stderr.includes('Cannot assign')) throw new Error(`ip address del ${ip}/32: ${stderr.trim()}`);
  }

  async #ip(verb: string, ip: string): Promise<void> {
    const { code, stderr } = await run('ip', ['address', verb, `${ip}/32`, 'dev', 'lo'], { timeoutMs: 10_000 });
    if (code !== 0) throw new Error(`ip address ${verb} ${ip}/32 dev lo: ${stderr.trim()}`);
  }
}

/** Without root: only addresses that are local already, such as 127.0.0.0/8, can be served. */
export const givenAddresses: LocalAddresses = {
  async add() {},
  async remove() {},
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
