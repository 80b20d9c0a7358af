import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ChainWriter } from '../../../services/proxy/iptables/chains.ts';
import { IptablesCounters } from '../../../services/proxy/iptables/counters.ts';
import { GrowingCounts } from '../../../services/proxy/kernel/growing-counts.ts';
import { readCounters } from '../../../services/proxy/nftables/nft-read.ts';

describe('proxy/counters', () => {
  it('reads what nft prints of elements', () => {
    const printed = `table ip t {
      map services {
        type ipv4_addr . inet_proto . inet_service : verdict
        elements = { 10.96.0.1 . tcp . 80 counter packets 7 bytes 420 : jump default/web/tcp/80,
                     10.96.0.2 . udp . 53 counter packets 0 bytes 0 : jump kube-system/dns/udp/53 }
      }
    }`;
    assert.deepEqual(
      [...readCounters(printed)],
      [
        ['10.96.0.1/TCP/80', 7],
        ['10.96.0.2/UDP/53', 0],
      ],
    );
    assert.deepEqual(
      [...readCounters('elements = { tcp . 30080 counter packets 3 bytes 1 : jump x }')],
      [['*/TCP/30080', 3]],
    );
    assert.deepEqual(
      [
        ...readCounters('elements = { 10.0.0.1 . tcp . 80 counter packets 3 bytes 1 : jump x }', {
          inside: true,
        }).keys(),
      ],
      ['10.0.0.1/TCP/80/inside'],
    );
    assert.equal(readCounters('').size, 0);
  });

  it('reads what iptables print of the rules that lead to service ports, and of no others', () => {
    const writer = new ChainWriter({ table: 'troupe_proxy', clusterCidr: '' });
    const counters = new IptablesCounters(writer);
    const [web, dns, port] = [
      { address: '10.96.0.1', port: 80, protocol: 'TCP', target: 'default/web/TCP/80' },
      { address: '10.96.0.2', port: 53, protocol: 'UDP', target: 'kube-system/dns/UDP/53' },
      { address: '*', port: 30_080, protocol: 'TCP', target: 'default/web/TCP/80' },
    ] as const;
    const chains = [writer.addressChain(web.address, [web]), writer.addressChain(dns.address, [dns])];
    const rules = [
      ...chains.flatMap(({ name, rules }) => rules.map((rule) => ({ chain: name, rule }))),
      ...writer.nodePortRules(port),
      writer.dispatchRule(web.address),
      { chain: 'DOCKER', rule: '-m comment --comment "default/web/TCP/80" -j OTHER' },
    ];
    const printed = (packets: number): string =>
      rules.map(({ chain, rule }) => `[${packets}:60] -A ${chain} ${rule}`).join('\n');
    const services = new Set(['default/web', 'default/none']);
    assert.deepEqual([...counters.read(services, printed(7))], [['default/web', 14]], 'its address and its node port');
    assert.deepEqual([...counters.read(services, printed(2))], [['default/web', 18]], 'written anew');
    assert.deepEqual([...counters.read(new Set(['kube-system/dns']), printed(7))], [['kube-system/dns', 7]]);
  });

  it('never falls, and grows by what was counted, whatever begins anew, comes or goes', () => {
    const step = fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.record({ grows: fc.nat(50), anew: fc.boolean() }));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
        const counts = new GrowingCounts();
        const now = new Map<string, number>();
        let wanted = 0;
        for (const changes of steps) {
          for (const name of [...now.keys()]) if (!(name in changes)) now.delete(name);
          for (const [name, { grows, anew }] of Object.entries(changes)) {
            const before = anew ? 0 : (now.get(name) ?? 0);
            // A counter that began anew and has passed where it was cannot be told from one that grew.
            const lost = anew && grows >= (now.get(name) ?? 0) ? (now.get(name) ?? 0) : 0;
            now.set(name, before + grows);
            wanted += grows - lost;
          }
          assert.equal(counts.read('default/web', new Map(now)), wanted);
        }
      }),
    );
  });
});
