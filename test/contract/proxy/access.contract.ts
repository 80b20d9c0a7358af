import assert from 'node:assert/strict';
import { backendIps, clientIp, counts, heldOff, type ProxyBed, type Shape } from './bed.ts';

const refused = ['ECONNREFUSED', 'ECONNREFUSED'];
const all = { b1: 1, b2: 1, b3: 1 };
const [first] = backendIps;

/** Who may connect, where a service says so. */
export function accessContract(bed: ProxyBed): void {
  const only = (...clients: readonly string[]): Shape => ({ access: { clients } });
  const atPods = bed.under.holdsOff === 'at pods too';
  const off = (): readonly string[] => [heldOff(bed.under), heldOff(bed.under)];
  const other = () => {
    const peer = bed.backends[2];
    assert(peer !== undefined);
    return peer;
  };

  it('lets in the clients of a service, and refuses others at once', async () => {
    await bed.to(only(clientIp));
    assert.deepEqual(counts(await bed.connections(3)), all);
    for (const from of [other(), bed.onNode, bed.outside]) assert.deepEqual(await bed.connections(2, from), off());
    await bed.to(only(clientIp, backendIps[2]));
    assert.deepEqual(counts(await bed.connections(3, other())), all);
    assert.deepEqual(await bed.differences(), []);
  });

  it('refuses everybody where nobody is let in, and nobody where nothing is said any more', async () => {
    await bed.to(only());
    assert.deepEqual(await bed.connections(2), refused);
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(3)), all);
    assert.deepEqual(counts(await bed.connections(3, bed.onNode)), all);
  });

  it('holds those off who come by a node port or an external address', async () => {
    const spec = { type: 'NodePort', externalIPs: ['198.51.100.7'] } as const;
    await bed.to({ ...only(clientIp), spec, nodePort: 30_080 });
    const { nodeIp } = bed.network;
    assert.deepEqual(await bed.connections(2, bed.outside, nodeIp, 30_080), off());
    assert.deepEqual(await bed.connections(2, bed.outside, '198.51.100.7'), off());
    assert.deepEqual(await bed.connections(2, other(), '198.51.100.7'), off());
    assert.deepEqual(counts(await bed.connections(3, bed.client, '198.51.100.7')), all);
    assert.deepEqual(counts(await bed.connections(3, bed.client, nodeIp, 30_080)), all);
  });

  it('refuses datagrams, and serves a client that gets the right', async () => {
    const send = (id: string, waitMs?: number): Promise<string[]> =>
      bed.client.ask('datagrams', { id, ip: '10.96.0.23', port: 80, waitMs });
    const shape = { clusterIP: '10.96.0.23', protocol: 'UDP' } as const;
    await bed.to({ ...shape, ...only() });
    if (atPods) assert.deepEqual(await send(`${bed.kind}-refused`), ['ECONNREFUSED']);
    else assert.equal((await send(`${bed.kind}-refused`, 500))[0]?.startsWith('b'), false);
    await bed.to({ ...shape, ...only(clientIp) });
    assert.match((await send(`${bed.kind}-admitted`))[0] ?? '', /^b/);
  });

  it('ends the connections of a client that lost the right, and no others', async () => {
    await bed.to(only(clientIp, backendIps[2]));
    await bed.client.ask('hold', { id: 'losing', ip: '10.96.0.20', port: 80 });
    await other().ask('hold', { id: 'keeping', ip: '10.96.0.20', port: 80 });
    await bed.to(only(backendIps[2]));
    assert.equal(await bed.ended('losing'), 'ECONNRESET');
    await bed.echoes('keeping', 'still here', other());
  });

  // A process that carries traffic is not in the way of those who go to a pod's own address.
  if (!atPods) return;

  it('guards the pods themselves: others are refused at their own addresses, too, and the node is not', async () => {
    await bed.to(only(clientIp));
    assert.deepEqual(await bed.connections(2, other(), first, 8080), refused);
    assert.deepEqual(counts(await bed.connections(2, bed.client, first, 8080)), { b1: 2 });
    assert.deepEqual(counts(await bed.connections(2, bed.onNode, first, 8080)), { b1: 2 });
    await bed.client.ask('hold', { id: 'direct', ip: first, port: 8080 });
    await bed.to(only(backendIps[2]));
    assert.equal(await bed.ended('direct'), 'ECONNRESET');
    assert.deepEqual(counts(await bed.connections(2, other(), first, 8080)), { b1: 2 });
    assert.deepEqual(await bed.differences(), []);
    await bed.to({});
    assert.deepEqual(counts(await bed.connections(2, bed.client, first, 8080)), { b1: 2 });
  });

  it('leaves a pod open that an open service leads to as well, and adds up the clients of several', async () => {
    const second = { name: 'second', clusterIP: '10.96.0.24' };
    await bed.to(only(clientIp), { ...second, ...only(backendIps[2]) });
    assert.deepEqual(counts(await bed.connections(1, bed.client, first, 8080)), { b1: 1 });
    assert.deepEqual(counts(await bed.connections(1, other(), first, 8080)), { b1: 1 });
    assert.deepEqual(await bed.connections(2, other()), refused);
    await bed.to(only(), second);
    assert.deepEqual(await bed.connections(2), refused);
    assert.deepEqual(counts(await bed.connections(1, bed.client, first, 8080)), { b1: 1 });
    assert.deepEqual(await bed.differences(), []);
  });
}
