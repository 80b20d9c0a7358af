import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { raisePriority } from '../../../lib/base/priority.ts';

/** Puts before each line when it came, in ms of the clock that `performance.now` counts by, too. */
const stamping = `"$@" | exec perl -MTime::HiRes=clock_gettime -ne '$| = 1; printf "%.3f %s", clock_gettime(1) * 1000, $_'`;

/**
 * Tells when an address comes into the rules of one machine's kernel and when it goes, as the kernel says it. Stamped beside the kernel, ahead of
 * others that want the processor: under load this process heard of it 30 ms later, which is not what is to be measured.
 */
export class RuleWatch {
  readonly #child: ChildProcess;
  readonly #seen: { readonly atMs: number; readonly verb: string; readonly text: string }[] = [];

  /** `enter` is put before the command, to look at another network than this one. */
  constructor(enter: readonly string[]) {
    const sinceMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();
    const command = [...enter, 'nft', 'monitor', 'elements'];
    this.#child = spawn('sh', ['-c', stamping, 'sh', ...command], {
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    });
    if (this.#child.pid !== undefined) raisePriority(this.#child.pid);
    createInterface({ input: this.#child.stdout ?? process.stdin }).on('line', (line) => {
      const [stamp = '', verb = ''] = line.split(' ', 2);
      this.#seen.push({ atMs: Number(stamp) - sinceMs, verb, text: line });
      if (this.#seen.length > 20_000) this.#seen.splice(0, 10_000);
    });
  }

  /** When the backend `ip` was first taken out (or put in) after `sinceMs`, by `performance.now()`; undefined while it was not. */
  when(verb: 'add' | 'delete', ip: string, sinceMs: number): number | undefined {
    const named = new RegExp(`[ :]${ip.replaceAll('.', '\\.')} \\. \\d`);
    return this.#seen.find((each) => each.atMs >= sinceMs && each.verb === verb && named.test(each.text))?.atMs;
  }

  close(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL'); // all of the pipe
    } catch {
      // it has ended
    }
  }
}
