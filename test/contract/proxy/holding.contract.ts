import assert from 'node:assert/strict';
import { until } from '../../support/until.ts';
import { backendIps, heldOff, inKernel, type ProxyBed, type Shape } from './bed.ts';

const longSeconds = 60;

/** Services that let their clients wait for an endpoint. */
export function holdingContract(bed: ProxyBed): void {
  const told = (kind: 'wanted' | 'in vain'): Promise<readonly string[]> => bed.rules.ask('told', { kind });
  const held: Shape = { backends: [], holdSeconds: longSeconds };

  it('holds connections while there is no endpoint, says so, and lets them go on to the first', async () => {
    await bed.rules.ask('forget');
    await bed.to(held);
    assert.deepEqual(await bed.rules.ask('differences'), []);
    const answers = Promise.all([bed.connections(1), bed.connections(1, bed.onNode), bed.connections(1, bed.outside)]);
    await until(async () => (await bed.rules.ask<number>('active', { service: 'default/web' })) === 3, {
      what: 'three connections wait',
      timeoutMs: 20_000,
    });
    assert.deepEqual(new Set(await told('wanted')), new Set(['default/web']));
    await bed.to({ ...held, backends: [backendIps[1]] });
    for (const [answer] of await answers) assert.match(answer ?? '', /^b2 /);
    assert.deepEqual(await bed.rules.ask('differences'), []);
    assert.match((await bed.connections(1))[0] ?? '', /^b2 /);
    // And again, when it has left.
    await bed.to(held);
    const next = bed.connections(1);
    await until(async () => (await bed.rules.ask<number>('active', { service: 'default/web' })) === 1, {
      what: 'a connection waits again',
      timeoutMs: 20_000,
    });
    await bed.to({ ...held, backends: [backendIps[2]] });
    assert.match((await next)[0] ?? '', /^b3 /);
    assert.deepEqual(await told('in vain'), []);
  });

  it('ends a connection whose time is over, and says why', async () => {
    await bed.rules.ask('forget');
    await bed.to({ backends: [], holdSeconds: 1 });
    assert.deepEqual(await bed.connections(1), ['ECONNRESET']);
    const [why] = await told('in vain');
    assert.match(why ?? '', /default\/web\/tcp\/80.* waited for 1 s/);
  });

  it('holds nobody whom the Service does not admit, or whose endpoints may be elsewhere', async () => {
    const access = { clients: ['10.244.0.99'] };
    await bed.to({ ...held, access });
    assert.deepEqual(await bed.connections(1), [heldOff(bed.under)]);
    await bed.to({ ...held, spec: { internalTrafficPolicy: 'Local' } });
    assert.deepEqual(await bed.connections(1), ['ECONNREFUSED']);
  });

  if (inKernel(bed.under) && bed.under.staged !== true)
    it('refuses at once what lets nobody wait, and whatever lost that', async () => {
      await bed.to(held);
      await bed.to({ backends: [] });
      assert.deepEqual(await bed.connections(1), ['ECONNREFUSED']);
      assert.deepEqual(await bed.rules.ask('differences'), []);
    });
}
