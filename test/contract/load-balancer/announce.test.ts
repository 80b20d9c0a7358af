import assert from 'node:assert/strict';
import { devicesFor } from '../../../services/load-balancer-controller/announce.ts';
import { canMakeNetworks, makeNetwork } from '../../support/netns.ts';
import { Peer } from '../../support/netns-peer.ts';
import { until } from '../../support/until.ts';

describe('load-balancer: addresses and their neighbours', function () {
  this.timeout(60_000);

  it('tells those on whose network an address is, and nobody else', () => {
    const at = (cidr: string, internal = false) => ({
      ...{ address: cidr.split('/')[0] ?? '', netmask: '', family: 'IPv4' as const, internal, cidr },
      mac: internal ? '00:00:00:00:00:00' : '02:00:00:00:00:01',
    });
    const interfaces = {
      lo: [at('127.0.0.1/8', true), at('192.0.2.50/32', true)],
      eth0: [at('192.0.2.7/24')],
      eth1: [at('198.51.100.7/24'), at('192.0.2.50/32')],
    };
    const told = (ip: string): string[] => devicesFor(ip, interfaces).map(({ name }) => name);
    assert.deepEqual([told('192.0.2.50'), told('198.51.100.9'), told('10.0.0.1')], [['eth0'], ['eth1'], []]);
  });

  it('corrects a neighbour who knows another machine for an address that comes here', async function () {
    if (!canMakeNetworks()) {
      console.warn('skipped: namespaces need root on Linux');
      return this.skip();
    }
    const network = await makeNetwork('announce');
    try {
      const { node, outside } = network;
      const address = '192.0.2.50';
      const former = '02:00:00:00:00:99';
      await outside.run('ip', 'neigh', 'replace', address, 'lladdr', former, 'dev', 'eth0', 'nud', 'stale');
      const known = (): Promise<string> => outside.run('ip', 'neigh', 'show', address);
      assert.match(await known(), new RegExp(former));
      const [{ address: mac = '' } = {}] = JSON.parse(await node.run('ip', '-j', 'link', 'show', 'out')) as {
        address?: string;
      }[];
      const peer = await Peer.start(node, new URL('./addresses-host.ts', import.meta.url));
      await peer.ask('add', { ip: '10.9.9.9' }); // no neighbour's: nobody to tell
      await peer.ask('add', { ip: address });
      await until(async () => (await known()).includes(mac), { what: 'the neighbour knows who has it now' });
    } finally {
      await network.close();
    }
  });
});
