import assert from 'node:assert/strict';
import { isBusy, readActivity, readSocketTable, type Activity } from '../../../node-agent/network/connections.ts';

describe('node-agent/network/connections', () => {
  const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when';
  const line = (local: string, remote: string, state: string): string =>
    `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 1603 1 0 100 0 0 10 0`;
  const pod = '0B00F40A';
  const outside = '0200A8C0';

  const tables: readonly { it: string; lines: readonly string[]; want: number }[] = [
    { it: 'counts nothing where nobody is connected', lines: [line('00000000:1F90', '00000000:0000', '0A')], want: 0 },
    {
      it: 'counts what came in, on ports that are listened on',
      lines: [line('00000000:1F90', '00000000:0000', '0A'), line(`${pod}:1F90`, `${outside}:C000`, '01')],
      want: 1,
    },
    {
      it: 'leaves out what the pod itself has opened',
      lines: [line('00000000:1F90', '00000000:0000', '0A'), line(`${pod}:C001`, `${outside}:18EB`, '01')],
      want: 0,
    },
    {
      it: 'leaves out what ended, and what its containers have among themselves',
      lines: [
        line('00000000:1F90', '00000000:0000', '0A'),
        line(`${pod}:1F90`, `${outside}:C000`, '06'),
        line('0100007F:1F90', '0100007F:C000', '01'),
      ],
      want: 0,
    },
    {
      it: 'counts IPv4 clients of IPv6 sockets, and one that has said its last word',
      lines: [
        line(`${'0'.repeat(32)}:1F90`, `${'0'.repeat(32)}:0000`, '0A'),
        line(`0000000000000000FFFF0000${pod}:1F90`, `0000000000000000FFFF0000${outside}:C000`, '08'),
        line('0000000000000000FFFF00000100007F:1F90', '0000000000000000FFFF00000100007F:C001', '01'),
      ],
      want: 1,
    },
  ];
  for (const { it: name, lines, want } of tables)
    it(name, () => assert.equal(readSocketTable([header, ...lines].join('\n')).open, want));

  it('reads what ss tells, with figures of 0 left out', () => {
    const text = [
      'ESTAB      3      0      [::ffff:10.244.0.11]:8080  [::ffff:10.244.0.9]:55076',
      '\t cubic rto:204 bytes_received:4 segs_out:1 lastsnd:756 lastrcv:452 lastack:452 delivered:1',
      'ESTAB      0      0      10.244.0.11:8080  10.244.0.9:55086',
      '\t cubic rto:204 bytes_acked:1 segs_in:2',
    ].join('\n');
    assert.deepEqual(readActivity(text), [
      {
        ...{ port: 8080, peer: '[::ffff:10.244.0.9]', queued: 3, received: 4 },
        ...{ sinceSentMs: 756, sinceReceivedMs: 452, sinceConfirmedMs: 452 },
      },
      {
        ...{ port: 8080, peer: '10.244.0.9', queued: 0, received: 0 },
        ...{ sinceSentMs: 0, sinceReceivedMs: 0, sinceConfirmedMs: 0 },
      },
    ]);
  });

  const silent: Activity = {
    ...{ port: 80, peer: '10.244.0.9', queued: 0, received: 10 },
    ...{ sinceSentMs: 500, sinceReceivedMs: 504, sinceConfirmedMs: 460 },
  };
  const cases: readonly { it: string; given: Partial<Activity>; want: boolean }[] = [
    { it: 'rests after its answer', given: {}, want: false },
    { it: 'is busy while data flows', given: { sinceSentMs: 40 }, want: true },
    { it: 'is busy while a request waits to be read, or an answer to be confirmed', given: { queued: 1 }, want: true },
    {
      it: 'owes an answer, however long ago it was asked for',
      given: { sinceReceivedMs: 4_000, sinceSentMs: 9_000 },
      want: true,
    },
    {
      it: 'may be about to be used for the first time',
      given: { received: 0, sinceSentMs: 300, sinceReceivedMs: 300 },
      want: true,
    },
    {
      it: 'rests where it was opened and not used',
      given: { received: 0, sinceSentMs: 1_000, sinceReceivedMs: 1_000 },
      want: false,
    },
    {
      it: 'rests where question and answer were one tick of the clock and the answer was confirmed later',
      given: { sinceSentMs: 200, sinceReceivedMs: 200, sinceConfirmedMs: 160 },
      want: false,
    },
    {
      it: 'waits longer where it cannot be told who spoke last',
      given: { sinceSentMs: 200, sinceReceivedMs: 200, sinceConfirmedMs: 200 },
      want: true,
    },
    {
      it: 'rests in the end where it cannot be told who spoke last',
      given: { sinceSentMs: 1_000, sinceReceivedMs: 1_000, sinceConfirmedMs: 1_000 },
      want: false,
    },
  ];
  for (const each of cases) it(each.it, () => assert.equal(isBusy({ ...silent, ...each.given }), each.want));
});
