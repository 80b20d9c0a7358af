import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../../../lib/base/clock.ts';
import { watchForHang, type HangLimits } from '../../../cli/cluster/hang-watch.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { until } from '../../support/until.ts';

describe('cli/cluster/hang-watch', () => {
  const limits: HangLimits = { answerMs: 1_000, silences: 2, pauseMs: 1_000 };
  const cases: readonly { it: string; answers: readonly ('answered' | 'silent')[]; hangs: boolean }[] = [
    { it: 'leaves one that answers', answers: ['answered', 'answered', 'answered', 'answered'], hangs: false },
    { it: 'forgives a silence', answers: ['answered', 'silent', 'answered', 'silent', 'answered'], hangs: false },
    { it: 'tells of silence after silence', answers: ['answered', 'silent', 'silent'], hangs: true },
  ];
  for (const { it: name, answers, hangs } of cases)
    it(name, async () => {
      const clock = new FakeClock();
      const stop = new AbortController();
      let hung = 0;
      let asked = 0;
      const ask = async (): Promise<'answered' | 'silent'> => {
        const answer = answers[asked++];
        if (answer === undefined) stop.abort();
        return answer ?? 'answered';
      };
      const watching = watchForHang({
        address: '',
        limits,
        clock,
        signal: stop.signal,
        onHang: () => void hung++,
        ask,
      });
      while (!stop.signal.aborted && hung === 0) await clock.advance(1_000);
      stop.abort();
      await watching;
      assert.equal(hung, hangs ? 1 : 0);
    });

  it('takes a door that opens and says nothing for a hang, and a closed one for none', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const stop = new AbortController();
    const quick = { answerMs: 50, silences: 2, pauseMs: 10 };
    const shared = { limits: quick, clock: systemClock, signal: stop.signal };
    let hung = 0;
    let closedHung = 0;
    void watchForHang({ ...shared, address, onHang: () => void hung++ });
    void watchForHang({ ...shared, address: '127.0.0.1:1', onHang: () => void closedHung++ });
    await until(() => hung === 1, { what: 'the hang' });
    assert.equal(closedHung, 0);
    stop.abort();
    server.close();
  });
});
