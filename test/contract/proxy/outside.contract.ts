import assert from 'node:assert/strict';
import { aService, anEndpoints } from '../../support/builders.ts';
import { backendIps, clientIp, counts, heldOff, inKernel, vip, type ProxyBed } from './bed.ts';

const external = '198.51.100.7';
const ingress = '198.51.100.9';

/** Those outside, the addresses and ports that they use, and traffic policies. */
export function outsideContract(bed: ProxyBed): void {
  const senders = (greetings: readonly string[]): string[] => [
    ...new Set(greetings.map((text) => text.split(' ')[1] ?? '')),
  ];

  it('serves a node port and an external address to those outside', async () => {
    await bed.to({ spec: { type: 'NodePort', externalIPs: [external] }, nodePort: 30_080 });
    const { nodeIp } = bed.network;
    assert.deepEqual(counts(await bed.connections(6, bed.outside, nodeIp, 30_080)), { b1: 2, b2: 2, b3: 2 });
    assert.deepEqual(counts(await bed.connections(3, bed.outside, external)), { b1: 1, b2: 1, b3: 1 });
    assert.deepEqual(counts(await bed.connections(3, bed.client, nodeIp, 30_080)), { b1: 1, b2: 1, b3: 1 });
    assert.deepEqual(counts(await bed.connections(3, bed.onNode, nodeIp, 30_080)), { b1: 1, b2: 1, b3: 1 });
    assert.deepEqual(counts(await bed.connections(3, bed.onNode, external)), { b1: 1, b2: 1, b3: 1 });
    // What comes from 127.0.0.1 has no way back from elsewhere: the kernel is not asked to bend that; a process listens there, too.
    const [atLoopback] = await bed.connections(1, bed.onNode, '127.0.0.1', 30_080);
    assert.equal(inKernel(bed.under) ? atLoopback : atLoopback?.[0], inKernel(bed.under) ? 'ECONNREFUSED' : 'b');
  });

  it('serves a pod at an external address as at the virtual one', async () => {
    await bed.to({ spec: { externalIPs: [external] } });
    const greetings = await bed.connections(3, bed.client, external);
    assert.deepEqual(counts(greetings), { b1: 1, b2: 1, b3: 1 });
    if (bed.under.keepsSource) assert.deepEqual(senders(greetings), [clientIp]);
  });

  it('keeps to endpoints of the node, and the sender in sight, where the external policy is Local', async () => {
    const spec = { type: 'NodePort', externalIPs: [external], externalTrafficPolicy: 'Local' } as const;
    const elsewhere = [backendIps[0], backendIps[1]];
    await bed.to({ spec, nodePort: 30_080, elsewhere });
    const { nodeIp, outsideIp } = bed.network;
    const greetings = await bed.connections(4, bed.outside, nodeIp, 30_080);
    assert.deepEqual(counts(greetings), { b3: 4 });
    if (bed.under.keepsSource) assert.deepEqual(senders(greetings), [outsideIp]);
    assert.deepEqual(counts(await bed.connections(2, bed.outside, external)), { b3: 2 });
    assert.deepEqual(counts(await bed.connections(3)), { b1: 1, b2: 1, b3: 1 });
  });

  it('refuses those outside where the external policy is Local and the node has no endpoint', async () => {
    const spec = { type: 'NodePort', externalIPs: [external], externalTrafficPolicy: 'Local' } as const;
    await bed.to({ spec, nodePort: 30_080, elsewhere: backendIps });
    assert.deepEqual(await bed.connections(1, bed.outside, bed.network.nodeIp, 30_080), ['ECONNREFUSED']);
    assert.deepEqual(await bed.connections(1, bed.outside, external), [heldOff(bed.under)]);
    // A pod has no need to come in from outside.
    assert.deepEqual(counts(await bed.connections(3, bed.client, external)), { b1: 1, b2: 1, b3: 1 });
  });

  it('keeps to endpoints of the node where the internal policy is Local, and refuses without', async () => {
    const spec = { internalTrafficPolicy: 'Local' } as const;
    await bed.to({ spec, elsewhere: [backendIps[0], backendIps[1]] });
    assert.deepEqual(counts(await bed.connections(4)), { b3: 4 });
    assert.deepEqual(counts(await bed.connections(2, bed.onNode)), { b3: 2 });
    await bed.to({ spec, elsewhere: backendIps });
    assert.deepEqual(await bed.connections(1), ['ECONNREFUSED']);
  });

  it('serves the address that a load balancer gave to the senders that the service names, and refuses others at once', async () => {
    const { outsideIp } = bed.network;
    const balanced = (...loadBalancerSourceRanges: readonly string[]) =>
      bed.to({ spec: { type: 'LoadBalancer', loadBalancerSourceRanges }, ingress });
    await balanced();
    assert.deepEqual(counts(await bed.connections(3, bed.outside, ingress)), { b1: 1, b2: 1, b3: 1 });
    await balanced('203.0.113.0/24', `${outsideIp}/32`);
    assert.deepEqual(counts(await bed.connections(3, bed.outside, ingress)), { b1: 1, b2: 1, b3: 1 });
    await bed.outside.ask('hold', { id: 'ranged', ip: ingress, port: 80 });
    await balanced('203.0.113.0/24', '203.0.114.0/24');
    const off = heldOff(bed.under);
    assert.deepEqual(await bed.connections(2, bed.outside, ingress), [off, off]);
    assert.equal(await bed.ended('ranged', bed.outside), 'ECONNRESET');
    assert.deepEqual(counts(await bed.connections(3, bed.client, ingress)), { b1: 1, b2: 1, b3: 1 });
    assert.deepEqual(await bed.differences(), []);
    await balanced('192.0.2.0/24');
    assert.deepEqual(counts(await bed.connections(3, bed.outside, ingress)), { b1: 1, b2: 1, b3: 1 });
    assert.deepEqual(await bed.differences(), []);
  });

  it('serves datagrams at an address that a load balancer gave', async () => {
    await bed.to({ protocol: 'UDP', spec: { type: 'LoadBalancer' }, ingress });
    const answers: string[] = [];
    for (const id of ['lb1', 'lb2', 'lb3'])
      answers.push(...(await bed.outside.ask<string[]>('datagrams', { id, ip: ingress, port: 80 })));
    assert.deepEqual(counts(answers), { b1: 1, b2: 1, b3: 1 });
  });

  it('serves several ports, each by its name, and endpoints that are not ready where they are to be published', async () => {
    const ports = [
      { name: 'web', port: 80, targetPort: 'http' },
      { name: 'stats', port: 9_090, targetPort: 'metrics' },
      { name: 'old', port: 81, targetPort: 'gone' },
    ];
    const service = aService({ clusterIP: vip, ports, spec: { publishNotReadyAddresses: true } });
    const [first, second, third] = backendIps;
    const at = (...ips: readonly string[]) => ips.map((ip) => ({ ip, nodeName: 'n1' }));
    const named = (name: string) => ({ name, port: 8080, protocol: 'TCP' as const });
    const endpoints = anEndpoints({
      subsets: [
        { addresses: at(first), notReadyAddresses: at(second), ports: [named('web'), named('stats')] },
        { addresses: at(third), ports: [named('stats')] },
      ],
    });
    await bed.rules.ask('apply', { services: [service], endpoints: [endpoints] });
    assert.deepEqual(counts(await bed.connections(4)), { b1: 2, b2: 2 });
    assert.deepEqual(counts(await bed.connections(6, bed.client, vip, 9_090)), { b1: 2, b2: 2, b3: 2 });
    assert.deepEqual(await bed.connections(1, bed.client, vip, 81), ['ECONNREFUSED']);
  });
}
