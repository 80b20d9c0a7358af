import assert from 'node:assert/strict';
import fc from 'fast-check';
import * as net from '../../../lib/api/net.ts';

const cidr = (text: string): net.Cidr => net.parseCidr(text) ?? assert.fail(text);

describe('api/net', () => {
  it('reads and writes addresses', () => {
    assert.equal(net.parseIp('0.0.0.0'), 0);
    assert.equal(net.parseIp('255.255.255.255'), 2 ** 32 - 1);
    assert.equal(net.parseIp('10.96.0.10'), 174063626);
    for (const text of ['', '1.2.3', '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.4 ', '::1', '1.2.3.-4', 'a.b.c.d'])
      assert.equal(net.parseIp(text), undefined, text);
    fc.assert(fc.property(fc.nat(2 ** 32 - 1), (ip) => assert.equal(net.parseIp(net.formatIp(ip)), ip)));
  });

  it('reads and writes blocks', () => {
    assert.equal(net.formatCidr(cidr('10.96.5.7/12')), '10.96.0.0/12');
    assert.equal(net.formatCidr(cidr('0.0.0.0/0')), '0.0.0.0/0');
    assert.equal(net.sizeOf(cidr('1.2.3.4/32')), 1);
    for (const text of ['', '10.0.0.0', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/08', '10.0.0/8', '/8', '10.0.0.0/-1'])
      assert.equal(net.parseCidr(text), undefined, text);
  });

  it('knows what a block holds', () => {
    const block = cidr('10.244.0.0/16');
    assert.deepEqual(
      ['10.243.255.255', '10.244.0.0', '10.244.255.255', '10.245.0.0'].map((ip) =>
        net.contains(block, net.parseIp(ip) ?? 0),
      ),
      [false, true, true, false],
    );
    assert.equal(net.overlaps(block, cidr('10.0.0.0/8')), true);
    assert.equal(net.overlaps(block, cidr('10.245.0.0/16')), false);
    assert.equal(net.formatIp(net.nthAddress(block, 257)), '10.244.1.1');
    assert.throws(() => net.nthAddress(cidr('10.0.0.0/30'), 4), RangeError);
  });

  it('cuts a block into smaller ones', () => {
    const block = cidr('10.244.0.0/16');
    assert.equal(net.subnetCount(block, 24), 256);
    assert.equal(net.subnetCount(block, 8), 0);
    assert.equal(net.formatCidr(net.nthSubnet(block, 24, 3)), '10.244.3.0/24');
    assert.throws(() => net.nthSubnet(block, 24, 256), RangeError);
    assert.throws(() => net.nthSubnet(block, 33, 0), RangeError);
    assert.deepEqual([...net.subnets(cidr('10.0.0.0/30'), 32)].map(net.formatCidr), [
      '10.0.0.0/32',
      '10.0.0.1/32',
      '10.0.0.2/32',
      '10.0.0.3/32',
    ]);
    fc.assert(
      fc.property(fc.nat(2 ** 32 - 1), fc.integer({ min: 8, max: 30 }), fc.nat(2), fc.nat(63), (ip, bits, more, n) => {
        const whole = cidr(`${net.formatIp(ip)}/${bits}`);
        const count = net.subnetCount(whole, bits + more);
        const part = net.nthSubnet(whole, bits + more, n % count);
        assert.ok(net.contains(whole, part.base) && net.contains(whole, part.base + net.sizeOf(part) - 1));
        assert.equal(count * net.sizeOf(part), net.sizeOf(whole));
      }),
    );
  });

  it('names what cannot be an endpoint', () => {
    const why = (ip: string): string | undefined => net.unusableAsEndpoint(net.parseIp(ip) ?? 0);
    assert.match(why('127.0.0.1') ?? '', /loopback/);
    assert.match(why('169.254.1.1') ?? '', /link-local/);
    assert.match(why('224.0.0.1') ?? '', /multicast/);
    assert.match(why('0.0.0.0') ?? '', /unspecified/);
    assert.equal(why('10.0.0.1'), undefined);
  });

  it('writes reverse names', () =>
    assert.equal(net.reverseName(net.parseIp('10.96.0.1') ?? 0), '1.0.96.10.in-addr.arpa'));
});
