import assert from 'node:assert/strict';
import fc from 'fast-check';
import { AddressPool } from '../../../node-agent/network/address-pool.ts';
import { nodeRules } from '../../../node-agent/network/node-rules.ts';

describe('node-agent/network', () => {
  it('gives no address to two owners, and each owner one', () => {
    const steps = fc.array(fc.tuple(fc.constantFrom('take', 'release'), fc.nat(20)), { maxLength: 200 });
    fc.assert(
      fc.property(steps, (list) => {
        const pool = new AddressPool('10.1.2.0/27');
        const held = new Map<string, string>();
        for (const [what, number] of list) {
          const owner = `p${number}`;
          if (what === 'release') {
            pool.release(owner);
            held.delete(owner);
            continue;
          }
          const ip = pool.take(owner);
          assert.equal(held.get(owner) ?? ip, ip);
          assert.ok(![...held].some(([other, theirs]) => other !== owner && theirs === ip), `${ip} twice`);
          const last = Number(ip.split('.')[3]);
          assert.ok(ip.startsWith('10.1.2.') && last >= 2 && last <= 30);
          held.set(owner, ip);
        }
      }),
    );
  });
  it('says when all are in use, and goes on when one comes back', () => {
    const pool = new AddressPool('10.1.2.0/29');
    for (let i = 0; i < 5; i++) pool.take(`p${i}`);
    assert.throws(() => pool.take('more'), /all 5 pod addresses of 10\.1\.2\.0\/29 are in use/);
    pool.release('p3');
    assert.equal(pool.take('more'), '10.1.2.5');
  });
  it('does not give an address again at once', () => {
    const pool = new AddressPool('10.1.2.0/24');
    const first = pool.take('a');
    pool.release('a');
    assert.notEqual(pool.take('b'), first);
  });
  it('keeps what running pods have', () => {
    const pool = new AddressPool('10.1.2.0/24');
    pool.adopt('old', '10.1.2.9');
    assert.equal(pool.take('old'), '10.1.2.9');
    assert.equal(pool.take('new'), '10.1.2.10');
  });
  for (const cidr of ['nonsense', '10.0.0.0/31', 'fd00::/64']) {
    it(`refuses the range ${cidr}`, () => assert.throws(() => new AddressPool(cidr), /must be an IPv4 range/));
  }

  it('writes host ports of one address and of all into their maps', () => {
    const rules = nodeRules({
      ...{ table: 't', podCidr: '10.1.2.0/24', clusterCidr: '10.1.0.0/16', serviceCidr: '10.96.0.0/12' },
      hostPorts: new Map([
        [
          '10.1.2.9',
          [
            { ip: '0.0.0.0', port: 80, protocol: 'TCP', containerPort: 8080 },
            { ip: '192.0.2.1', port: 53, protocol: 'UDP', containerPort: 5353 },
          ],
        ],
      ]),
    });
    assert.match(rules, /elements = \{ tcp \. 80 : 10\.1\.2\.9 \. 8080 \}/);
    assert.match(rules, /elements = \{ 192\.0\.2\.1 \. udp \. 53 : 10\.1\.2\.9 \. 5353 \}/);
    assert.match(
      rules,
      /ip saddr 10\.1\.2\.0\/24 ip daddr != \{ 10\.1\.0\.0\/16, 10\.96\.0\.0\/12, 224\.0\.0\.0\/4 \} masquerade/,
    );
  });
});
