import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { systemClock } from '../../../lib/base/clock.ts';
import { silentLog } from '../../../lib/base/log.ts';
import { newExitWatch } from '../../../node-agent/withdrawal/exit-watch.ts';
import { until } from '../../support/until.ts';

describe('node-agent/withdrawal/exit-watch', () => {
  it('tells at once which processes have ended, each once, also those that had ended before', async function () {
    if (process.platform !== 'linux') return this.skip();
    const told: string[] = [];
    const stop = new AbortController();
    const shared = { clock: systemClock, log: silentLog, signal: stop.signal };
    const exits = newExitWatch({ ...shared, onExit: (id) => void told.push(id) });
    const sleepers = ['a', 'b', 'c'].map((name) => ({ name, child: spawn('sleep', ['100']) }));
    try {
      for (const { name, child } of sleepers) {
        exits.watch(name, child.pid ?? 0);
        exits.watch(name, child.pid ?? 0);
      }
      const gone = spawn('true');
      await new Promise((resolve) => gone.once('exit', resolve));
      exits.watch('gone', gone.pid ?? 0);
      await until(() => told.length === 1, { what: 'the one that had ended' });
      sleepers[1]?.child.kill('SIGKILL');
      await until(() => told.length === 2, { what: 'the one that was killed' });
      sleepers[0]?.child.kill('SIGKILL');
      await until(() => told.length === 3, { what: 'the next one' });
      assert.deepEqual(told, ['gone', 'b', 'a']);
    } finally {
      stop.abort();
      for (const { child } of sleepers) child.kill('SIGKILL');
    }
  });
});
