import assert from 'node:assert/strict';
import fc from 'fast-check';
import { until } from '../../support/until.ts';
import { backendIps, counts, inKernel, snapshot, vip, type ProxyBed, type Shape } from './bed.ts';

/** Changes cost what they change; what is there is what should be, over restarts and clean-ups. */
export function upkeepContract(bed: ProxyBed): void {
  it('touches nothing but the service that changed', async () => {
    const other = { name: 'other', clusterIP: '10.96.0.21', backends: [backendIps[0]] };
    await bed.to({}, other);
    await bed.client.ask('hold', { id: 'kept', ip: '10.96.0.21', port: 80 });
    assert.equal(await bed.to({ backends: backendIps.slice(0, 2) }, other), 2); // one target, one local address
    await bed.client.ask('say', { id: 'kept', text: 'still here' });
    await until(async () => (await bed.client.ask<{ text: string }>('state', { id: 'kept' })).text === 'still here', {
      what: 'a connection of another service goes on',
      timeoutMs: 20_000,
    });
    assert.deepEqual(await bed.rules.ask('differences'), []);
  });

  it('counts connections, through changes of endpoints and ports', async () => {
    const total = (): Promise<number | null> => bed.rules.ask('carried', { service: 'default/counted' });
    const counted = { name: 'counted', clusterIP: '10.96.0.77' };
    await bed.to(counted, {});
    await bed.connections(4, bed.client, '10.96.0.77');
    await bed.connections(3);
    const reaches = (wanted: number): Promise<unknown> =>
      until(async () => (await total()) === wanted, { what: `${wanted} connections are counted`, timeoutMs: 20_000 });
    await reaches(4);
    await bed.to({ ...counted, backends: backendIps.slice(1) }, {});
    await bed.connections(2, bed.client, '10.96.0.77');
    await reaches(6);
    await bed.to({ ...counted, nodePort: 30_077, spec: { type: 'NodePort' } }, {});
    await bed.connections(1, bed.client, '10.96.0.77');
    await bed.connections(1, bed.outside, bed.network.nodeIp, 30_077);
    await reaches(8);
    if (!inKernel(bed.under) || bed.under.staged === true) return; // a port that goes takes its counters along
    await bed.to(counted, {});
    await bed.connections(1, bed.client, '10.96.0.77');
    await reaches(9);
    await bed.rules.ask('replaceAll', snapshot(counted, {}));
    await bed.connections(1, bed.client, '10.96.0.77');
    await reaches(10);
  });

  const leavesOthersUntouched = async () => {
    const many = (changed: readonly string[]): Shape[] =>
      Array.from({ length: 30 }, (_, i) => ({
        ...{ name: `s${i}`, clusterIP: `10.96.2.${i + 1}` },
        ...(i === 7 ? { backends: changed } : {}),
      }));
    await bed.to(...many(backendIps));
    await bed.connections(2, bed.client, '10.96.2.1');
    const before = await bed.rulesByChain();
    await bed.to(...many(backendIps.slice(1)));
    const after = await bed.rulesByChain();
    const changed = [...after.keys()].filter((chain) => after.get(chain) !== before.get(chain));
    assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
    assert(changed.length <= 2, changed.join(' ')); // its own, and of iptables the one of pods of this node
    if (bed.under.outlivesProcess) assert(changed.length > 0);
    // The service that was counting goes on where it was.
    assert.deepEqual(counts(await bed.connections(3, bed.client, '10.96.2.1')), { b1: 1, b2: 1, b3: 1 });
  };
  // Without the kernel there are no rules.
  if (bed.kind !== 'userspace')
    it('leaves the rules of all other services untouched, handles and counters included', leavesOthersUntouched);

  it('has in effect what it was told, after any changes', async () => {
    const shape = fc.record({
      name: fc.constantFrom('a', 'b', 'c'),
      clusterIP: fc.constantFrom('10.96.0.41', '10.96.0.42', '10.96.0.43'),
      protocol: fc.constantFrom('TCP' as const, 'UDP' as const),
      nodePort: fc.constantFrom(undefined, 30_081, 30_082),
      backends: fc.subarray(Array.from({ length: 9 }, (_, i) => `10.244.0.${i + 50}`)),
      affinity: fc.constantFrom(0, 60, 90),
    });
    const step = fc.uniqueArray(shape, { selector: ({ name }) => name, maxLength: 3 });
    for (const shapes of fc.sample(step, { numRuns: 25, seed: 7 })) {
      await bed.to(
        ...shapes.map(({ nodePort, affinity, ...rest }) => ({
          ...rest,
          ...(nodePort === undefined ? {} : { nodePort }),
          spec: {
            ...(nodePort === undefined ? {} : { type: 'NodePort' as const }),
            ...(affinity === 0
              ? {}
              : {
                  sessionAffinity: 'ClientIP' as const,
                  sessionAffinityConfig: { clientIP: { timeoutSeconds: affinity } },
                }),
          },
        })),
      );
      assert.deepEqual(await bed.rules.ask('differences'), []);
    }
  });

  it('finds out that somebody else changed what it made, and mends it', async () => {
    await bed.to({});
    assert.deepEqual(await bed.rules.ask('differences'), []);
    if (bed.kind === 'nftables') {
      await bed.network.node.run('nft', 'flush', 'ruleset');
      assert.deepEqual(await bed.rules.ask('differences'), ['table ip troupe_test is gone']);
    }
    if (bed.kind === 'iptables') {
      const command = bed.under.command ?? 'iptables';
      await bed.network.node.run(command, '-t', 'nat', '-D', 'PREROUTING', '1');
      await bed.network.node.run(command, '-t', 'filter', '-F', 'FORWARD');
      assert.deepEqual(await bed.differences(), [
        'nat PREROUTING does not lead to our chains',
        'filter FORWARD does not lead to our chains',
      ]);
    }
    await bed.rules.ask('replaceAll', snapshot({}));
    assert.deepEqual(await bed.rules.ask('differences'), []);
    assert.deepEqual(counts(await bed.connections(3)), { b1: 1, b2: 1, b3: 1 });
  });

  it('serves on after it was killed and started again', async () => {
    const spec = {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    } as const;
    const sticky = { name: 'sticky', clusterIP: '10.96.0.22', spec };
    await bed.to({}, sticky);
    await bed.client.ask('hold', { id: 'long', ip: vip, port: 80 });
    const [first] = await bed.connections(1, bed.client, '10.96.0.22');
    await bed.rules.kill();
    if (bed.under.outlivesProcess) assert.deepEqual(counts(await bed.connections(3)), { b1: 1, b2: 1, b3: 1 });
    await bed.startRules();
    await bed.rules.ask('replaceAll', snapshot({}, sticky));
    assert.deepEqual(counts(await bed.connections(3)), { b1: 1, b2: 1, b3: 1 });
    if (!bed.under.outlivesProcess) return;
    await bed.client.ask('say', { id: 'long', text: 'and on' });
    await until(async () => (await bed.client.ask<{ text: string }>('state', { id: 'long' })).text === 'and on', {
      what: 'a connection from before goes on',
      timeoutMs: 20_000,
    });
    assert.deepEqual(await bed.connections(3, bed.client, '10.96.0.22'), [first, first, first]);
  });

  it('leaves nothing behind after a clean-up', async () => {
    await bed.to({}, { name: 'other', clusterIP: '10.96.0.21', protocol: 'UDP' });
    await bed.rules.ask('cleanup');
    assert.deepEqual(await bed.leftovers(), []);
    assert(!(await bed.network.node.run('ip', 'address', 'show', 'dev', 'lo')).includes('10.96.'));
  });
}
