import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { allowReceiveBuffer } from '../../services/dns/receive-buffer.ts';
import type { Netns } from '../support/netns.ts';
import { Peer } from '../support/netns-peer.ts';

/** With TROUPE_TEST_LONG=1 the names of the goal; otherwise a fifth of them. */
const lookups = (process.env['TROUPE_TEST_LONG'] ?? '') === '' ? 20_000 : 100_000;

/** A DNS server and whoever asks it, each in a process of its own, over loopback. */
describe('e2e: many questions at once', function () {
  this.timeout(90_000);
  const children: ChildProcess[] = [];
  const here: Pick<Netns, 'spawn'> = {
    spawn(command, args) {
      const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'inherit'] });
      children.push(child);
      return child;
    },
  };
  const peer = (name: string): Promise<Peer> =>
    Peer.start(here as Netns, new URL(`../../bench/traffic/${name}.ts`, import.meta.url));

  before(function () {
    const limit = allowReceiveBuffer();
    if (limit === undefined) return;
    process.stderr.write(
      `      SKIPPED: the machine allows receive buffers of ${limit} bytes only (net.core.rmem_max)\n`,
    );
    this.skip();
  });
  after(() => children.forEach((child) => child.kill('SIGKILL')));

  it(`are all answered: A and AAAA of ${lookups} names, sent without waiting for any answer`, async () => {
    const [server, load] = await Promise.all([peer('dns-host'), peer('dns-burst')]);
    const services = 5_000;
    const port = await server.ask<number>('serve', { services });
    const { lost, wrong, longest, tookMs } = await load.ask<Record<'lost' | 'wrong' | 'longest' | 'tookMs', number>>(
      'burst',
      {
        ...{ port, services, lookups, sockets: 1_000, patienceMs: 5_000 },
      },
    );
    process.stderr.write(
      `      ${lookups * 2} questions in ${tookMs.toFixed(0)} ms, the longest wait ${longest.toFixed(0)} ms\n`,
    );
    assert.deepEqual({ lost, wrong }, { lost: 0, wrong: 0 });
  });
});
