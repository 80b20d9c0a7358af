import assert from 'node:assert/strict';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machineUpstreams, parseStubDomains, parseUpstream, readResolvConf } from '../../../services/dns/upstreams.ts';

describe('dns/upstreams', () => {
  it('reads the servers of a resolv.conf, without comments, other families and ourselves', () => {
    const text =
      '# nameserver 1.1.1.1\nnameserver 192.0.2.1\nsearch a.b\n nameserver 10.96.0.10\nnameserver ::1\nnameserver 192.0.2.2\n';
    assert.deepEqual(readResolvConf(text, [{ host: '10.96.0.10', port: 53 }]), [
      { host: '192.0.2.1', port: 53 },
      { host: '192.0.2.2', port: 53 },
    ]);
  });

  it('parses an address with or without a port, and says what is wrong with another', () => {
    assert.deepEqual(parseUpstream('192.0.2.1'), { host: '192.0.2.1', port: 53 });
    assert.deepEqual(parseUpstream('192.0.2.1:5353'), { host: '192.0.2.1', port: 5353 });
    assert.throws(() => parseUpstream('dns.example'), /"dns\.example" is not an IPv4 address/);
    assert.throws(() => parseUpstream('192.0.2.1:0'), /"0" is not a port/);
  });

  it('parses stub domains, and says what is wrong with them', () => {
    assert.deepEqual(parseStubDomains('Corp.Internal.=10.0.0.53, 10.0.0.54:54; lab=10.1.0.53'), [
      {
        domain: 'corp.internal',
        upstreams: [
          { host: '10.0.0.53', port: 53 },
          { host: '10.0.0.54', port: 54 },
        ],
      },
      { domain: 'lab', upstreams: [{ host: '10.1.0.53', port: 53 }] },
    ]);
    assert.deepEqual(parseStubDomains(''), []);
    assert.throws(() => parseStubDomains('corp.internal'), /"corp\.internal" is not domain=address/);
    assert.throws(() => parseStubDomains('a_b=10.0.0.1'), /"a_b" is not a domain/);
    assert.throws(() => parseStubDomains('a=dns.a'), /"dns\.a" is not an IPv4 address/);
    assert.throws(() => parseStubDomains('a=10.0.0.1;A=10.0.0.2'), /a is there twice/);
  });

  it('follows the file, and keeps what it said while it is away', () => {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-resolv-'));
    const file = join(folder, 'resolv.conf');
    let now = 0;
    try {
      writeFileSync(file, 'nameserver 192.0.2.1\n');
      const upstreams = machineUpstreams(file, [], () => now);
      assert.deepEqual(upstreams(), [{ host: '192.0.2.1', port: 53 }]);
      writeFileSync(`${file}.new`, 'nameserver 192.0.2.22\n');
      renameSync(`${file}.new`, file);
      now += 5_000;
      assert.deepEqual(upstreams(), [{ host: '192.0.2.22', port: 53 }]);
      rmSync(file);
      now += 5_000;
      assert.deepEqual(upstreams(), [{ host: '192.0.2.22', port: 53 }]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
