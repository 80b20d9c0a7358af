import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { backendIps, clientIp, counts, vip, type ProxyBed } from './bed.ts';

/** Who gets which endpoint, and who is shown to it. */
export function balancingContract(bed: ProxyBed): void {
  it('spreads k times n connections n each', async () => {
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(30)), { b1: 10, b2: 10, b3: 10 });
  });

  it('goes on spreading evenly after an endpoint came and one went', async () => {
    await bed.to({ backends: backendIps.slice(0, 2) });
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(9)), { b1: 3, b2: 3, b3: 3 });
    await bed.to({ backends: backendIps.slice(1) });
    assert.deepEqual(counts(await bed.connections(8)), { b2: 4, b3: 4 });
  });

  it('serves the node itself', async () => {
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(6, bed.onNode)), { b1: 2, b2: 2, b3: 2 });
  });

  it('lets a pod reach itself through its own service', async () => {
    await bed.to({ backends: [backendIps[0]] });
    const [self] = bed.backends;
    assert(self !== undefined);
    assert.deepEqual(counts(await bed.connections(3, self)), { b1: 3 });
  });

  it(bed.under.keepsSource ? 'shows the backend who connects' : 'shows the backend the node', async () => {
    await bed.to({});
    const [greeting] = await bed.connections(1);
    assert.equal(greeting?.split(' ')[1] === clientIp, bed.under.keepsSource);
  });

  it('refuses connections when there are no endpoints, rather than not answering', async () => {
    await bed.to({ backends: [] });
    assert.deepEqual(await bed.connections(2), ['ECONNREFUSED', 'ECONNREFUSED']);
    assert.deepEqual(await bed.connections(1, bed.onNode), ['ECONNREFUSED']);
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(3)), { b1: 1, b2: 1, b3: 1 });
  });

  it('refuses a port of a virtual address that no service has', async () => {
    await bed.to({});
    assert.deepEqual(await bed.connections(1, bed.client, vip, 81), ['ECONNREFUSED']);
  });

  it('keeps a client at its backend while affinity lasts, and moves it when the backend goes', async () => {
    const spec = {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    } as const;
    await bed.to({ spec });
    const [first = ''] = Object.keys(counts(await bed.connections(1)));
    assert.deepEqual(counts(await bed.connections(9)), { [first]: 9 });
    const gone = backendIps[Number(first.slice(1)) - 1];
    const others = backendIps.filter((ip) => ip !== gone);
    await bed.to({ spec, backends: others });
    const moved = counts(await bed.connections(9));
    assert.equal(Object.keys(moved).length, 1);
    assert(!(first in moved));
  });

  it('keeps affinity through an unrelated change of the same service', async () => {
    const spec = {
      sessionAffinity: 'ClientIP',
      sessionAffinityConfig: { clientIP: { timeoutSeconds: 60 } },
    } as const;
    await bed.to({ spec, backends: backendIps.slice(0, 2) });
    const [first = ''] = Object.keys(counts(await bed.connections(1)));
    await bed.to({ spec });
    assert.deepEqual(counts(await bed.connections(6)), { [first]: 6 });
  });

  it('forgets affinity after its time', async () => {
    const spec = { sessionAffinity: 'ClientIP', sessionAffinityConfig: { clientIP: { timeoutSeconds: 1 } } } as const;
    await bed.to({ spec });
    await until(
      async () => {
        const [before] = await bed.connections(1);
        await new Promise((resolve) => setTimeout(resolve, 1_100)); // the time-out itself is what is tested
        const [after] = await bed.connections(1);
        return before !== after;
      },
      { what: 'a client gets another backend after its affinity ran out', timeoutMs: 40_000 },
    );
  });

  it('stops serving a service that was deleted', async () => {
    await bed.to({}, { name: 'other', clusterIP: '10.96.0.21' });
    await bed.to({ name: 'other', clusterIP: '10.96.0.21' });
    assert.deepEqual(counts(await bed.connections(3, bed.client, '10.96.0.21')), { b1: 1, b2: 1, b3: 1 });
    assert.notEqual((await bed.connections(1))[0]?.[0], 'b');
    assert.deepEqual(await bed.rules.ask('differences'), []);
  });

  it('carries half-closed connections and large answers whole', async () => {
    await bed.to({});
    assert.equal(await bed.client.ask('halfClose', { ip: vip, port: 80, bytes: 5_000_000 }), 5_000_000);
  });

  it('carries datagrams: a client stays at its backend, new clients go round', async () => {
    await bed.to({ protocol: 'UDP' });
    const answers: string[] = [];
    for (const id of ['u1', 'u2', 'u3']) {
      const got = await bed.client.ask<string[]>('datagrams', { id: `${bed.kind}-${id}`, ip: vip, port: 80, count: 3 });
      assert.equal(new Set(got).size, 1);
      answers.push(got[0] ?? '');
    }
    assert.deepEqual(counts(answers), { b1: 1, b2: 1, b3: 1 });
  });
}
