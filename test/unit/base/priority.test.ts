import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { getPriority } from 'node:os';
import { raisePriority } from '../../../lib/base/priority.ts';

describe('lib/base/priority', () => {
  const sessionNice = (pid: number): string | undefined => {
    try {
      return /nice (-?\d+)/.exec(readFileSync(`/proc/${pid}/autogroup`, 'utf8'))?.[1];
    } catch {
      return undefined; // a kernel without
    }
  };
  /** May this process be preferred at all? */
  const mayRaise = (child: ChildProcess): boolean => getPriority(child.pid ?? 0) < 0;

  for (const detached of [true, false])
    it(`raises a process, and ${detached ? 'the session that it leads' : 'not the session that another leads'}`, async function () {
      if (process.platform !== 'linux') return this.skip();
      const child = spawn('sleep', ['100'], { detached, stdio: 'ignore' });
      try {
        await new Promise((resolve) => child.once('spawn', resolve));
        const pid = child.pid ?? 0;
        const before = sessionNice(pid);
        raisePriority(pid);
        const want = detached && mayRaise(child) && before !== undefined ? '-10' : before;
        assert.equal(sessionNice(pid), want);
        assert.equal(getPriority(pid), mayRaise(child) ? -10 : getPriority());
      } finally {
        child.kill('SIGKILL');
      }
    });

  it('leaves a process that is not there alone', () => {
    raisePriority(2 ** 30);
  });
});
