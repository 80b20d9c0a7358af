import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { backendIps, counts, inKernel, snapshot, vip, type ProxyBed, type Shape } from './bed.ts';

/** What becomes of connections when endpoints go. */
export function leavingContract(bed: ProxyBed): void {
  it('ends connections to an endpoint that left, and leaves the others alone', async () => {
    await bed.to({});
    const names = await Promise.all(
      ['x1', 'x2', 'x3'].map((id) => bed.client.ask<string>('hold', { id, ip: vip, port: 80 })),
    );
    const at = names.findIndex((name) => name.startsWith('b2'));
    await bed.to({ backends: [backendIps[0], backendIps[2]] });
    assert.equal(await bed.ended(`x${at + 1}`), 'ECONNRESET');
    for (const id of ['x1', 'x2', 'x3'].filter((_, i) => i !== at)) {
      await bed.client.ask('say', { id, text: '!' });
      await until(async () => (await bed.client.ask<{ text: string }>('state', { id })).text.includes('!'), {
        what: `${id} still echoes`,
        timeoutMs: 20_000,
      });
    }
  });

  it('ends connections when an endpoint leaves many services at once', async () => {
    const services = (backends: readonly string[]): Shape[] =>
      Array.from({ length: 25 }, (_, i) => ({
        ...{ name: `s${i}`, clusterIP: `10.96.1.${i + 1}`, backends },
        protocol: i === 24 ? ('UDP' as const) : ('TCP' as const),
      }));
    await bed.to(...services([backendIps[0]]));
    await bed.client.ask('hold', { id: 'one-of-many', ip: '10.96.1.7', port: 80 });
    const send = (): Promise<string[]> =>
      bed.client.ask('datagrams', { id: 'udp-of-many', ip: '10.96.1.25', port: 80, waitMs: 1_000 });
    assert.deepEqual(counts(await send()), { b1: 1 });
    await bed.to(...services([backendIps[1]]));
    assert.equal(await bed.ended('one-of-many'), 'ECONNRESET');
    await until(async () => (await send())[0]?.startsWith('b2'), {
      what: 'datagrams reach the new endpoint',
      timeoutMs: 20_000,
    });
  });

  it('lets requests under way end where an endpoint left in a planned way, and ends those of a dead address at once', async () => {
    await bed.draining(60_000, async () => {
      await bed.rules.ask('replaceAll', snapshot({}));
      const names = await Promise.all(
        ['d1', 'd2', 'd3'].map((id) => bed.client.ask<string>('hold', { id, ip: vip, port: 80 })),
      );
      const holds = (name: string): string => `d${names.findIndex((each) => each.startsWith(name)) + 1}`;
      await bed.to({ backends: [backendIps[2]] });
      await bed.rules.ask('cut', { ips: [backendIps[0]] });
      assert.equal(await bed.ended(holds('b1')), 'ECONNRESET');
      await bed.echoes(holds('b2'), 'last words');
      await bed.echoes(holds('b3'), 'I stay');
    });
  });

  it('tells a client that only waits that the time of its endpoint is over', async () => {
    await bed.to({ backends: [backendIps[0]] });
    await bed.client.ask('hold', { id: 'patient', ip: vip, port: 80 });
    await bed.to({ backends: [backendIps[1]] });
    assert.equal(await bed.endedUnasked('patient'), 'ECONNRESET');
  });

  it('resets a client that only waits when its endpoint is dead and cannot say so', async () => {
    const [gone] = bed.backendSpaces;
    await bed.to({ backends: [backendIps[0]] });
    await bed.client.ask('hold', { id: 'waiter', ip: vip, port: 80 });
    await gone?.run(
      'nft',
      'add table ip gone; add chain ip gone out { type filter hook output priority 0; policy drop; }',
    );
    try {
      await bed.to({ backends: [backendIps[1]] });
      await bed.rules.ask('cut', { ips: [backendIps[0]] });
      assert.equal(await bed.endedUnasked('waiter'), 'ECONNRESET');
    } finally {
      await gone?.run('nft', 'delete table ip gone');
    }
  });

  it('refuses nobody while endpoints come and go', async () => {
    const [one, two, three] = backendIps;
    const shape = (...backends: string[]): Shape => ({ backends, nodePort: 30_018, spec: { type: 'NodePort' } });
    let made = 0;
    const greetings: string[] = [];
    // Nobody's time is over before a busy backend has greeted.
    await bed.draining(60_000, async () => {
      await bed.to(shape(...backendIps));
      const clients = [bed.connections(150), bed.connections(150, bed.outside, bed.network.nodeIp, 30_018)].map(
        async (asked) => {
          greetings.push(...(await asked));
          made++;
        },
      );
      while (made < clients.length)
        for (const backends of [[one, two], [three], [two, three], backendIps]) await bed.to(shape(...backends));
      await Promise.all(clients);
    });
    const { b1 = 0, b2 = 0, b3 = 0, ...others } = counts(greetings);
    assert.deepEqual(others, {});
    assert.equal(b1 + b2 + b3, 300);
  });

  // Where this process opens the connections there is no such packet.
  const whileOpening = async (leave: (opening: () => Promise<readonly string[]>) => Promise<void>): Promise<void> => {
    const [deaf] = bed.backendSpaces;
    await deaf?.run('nft', 'add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }');
    await deaf?.run('nft', 'add rule ip deaf in tcp dport 8080 drop');
    try {
      await bed.to({ backends: [backendIps[0]] });
      const greeting = bed.client.ask<string>('hold', { id: 'opening', ip: vip, port: 80 });
      const opening = async (): Promise<readonly string[]> =>
        (await bed.network.node.run('conntrack', '-L', '-p', 'tcp', '--state', 'SYN_SENT'))
          .split('\n')
          .filter((line) => line.includes(`src=${backendIps[0]} `));
      await until(async () => (await opening()).length > 0, { what: 'the client begins to open a connection' });
      await leave(opening);
      assert.match(await greeting, /^b2 /);
    } finally {
      await deaf?.run('nft', 'delete table ip deaf');
    }
  };
  if (inKernel(bed.under) && bed.under.staged !== true) {
    it('has settled only when no packet that opens a connection is under way to an endpoint that left', () =>
      whileOpening(async (opening) => {
        await bed.to({ backends: [backendIps[1]] });
        assert.deepEqual(await opening(), []);
      }));
    it('does not wait for packets that open a connection to an endpoint that is dead, and sends the next try elsewhere', () =>
      whileOpening(async (opening) => {
        await bed.rules.ask('apply', { ...snapshot({ backends: [backendIps[1]] }), dead: [`${backendIps[0]}:8080`] });
        await until(async () => (await opening()).length === 0, { what: 'the kernel forgets it', timeoutMs: 20_000 });
      }));
  }

  it('has moved datagram clients once it has settled', async () => {
    await bed.to({ protocol: 'UDP', backends: [backendIps[0]] });
    const send = (): Promise<string[]> => bed.client.ask('datagrams', { id: 'settler', ip: vip, port: 80 });
    assert.deepEqual(counts(await send()), { b1: 1 });
    await bed.to({ protocol: 'UDP', backends: [backendIps[1]] });
    await bed.rules.ask('settled');
    assert.deepEqual(counts(await send()), { b2: 1 });
  });

  it('moves a datagram client at once when its endpoint leaves', async () => {
    await bed.to({ protocol: 'UDP', backends: [backendIps[0]] });
    const send = (): Promise<string[]> =>
      bed.client.ask('datagrams', { id: 'mover', ip: vip, port: 80, waitMs: 1_000 });
    assert.deepEqual(counts(await send()), { b1: 1 });
    await bed.to({ protocol: 'UDP', backends: [backendIps[1]] });
    await until(async () => (await send())[0]?.startsWith('b2'), {
      what: 'datagrams reach the new endpoint',
      timeoutMs: 20_000,
    });
  });

  it('serves a datagram client that was sending before the service existed', async () => {
    const send = (): Promise<string[]> =>
      bed.client.ask('datagrams', { id: 'early', ip: '10.96.0.30', port: 80, waitMs: 500 });
    await send();
    await bed.to({ protocol: 'UDP', clusterIP: '10.96.0.30' });
    await until(async () => (await send())[0]?.startsWith('b'), {
      what: 'the early client is served',
      timeoutMs: 20_000,
    });
  });
}
