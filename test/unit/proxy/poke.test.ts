import assert from 'node:assert/strict';
import type { Flow } from '../../../services/proxy/kernel/flow.ts';
import { pokesFor } from '../../../services/proxy/kernel/poke.ts';

const flow: Flow = {
  protocol: 'tcp',
  client: { ip: '10.244.0.10', port: 40_001 },
  ...{ address: '10.96.0.20', port: 80, backend: '10.244.0.11:8080' },
  ...{ opening: false, answered: true, isOurs: true, tuple: Buffer.alloc(0) },
};
/** RFC 1071: with its checksum in place a header sums up to all ones. */
const sum = (bytes: Buffer): number => {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += bytes.readUInt16BE(i);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
};

describe('proxy/poke', () => {
  it('speaks to the client in the name of what it connected to, with checksums that hold', () => {
    const packet = pokesFor([flow]);
    assert.equal(packet.length, 40);
    assert.equal([...packet.subarray(12, 16)].join('.'), '10.96.0.20');
    assert.equal([...packet.subarray(16, 20)].join('.'), '10.244.0.10');
    assert.deepEqual([packet.readUInt16BE(20), packet.readUInt16BE(22)], [80, 40_001]);
    assert.equal(packet.readUInt8(33), 0x12);
    assert.equal(sum(packet.subarray(0, 20)), 0xffff);
    assert.equal(
      sum(Buffer.concat([packet.subarray(12, 20), Buffer.from([0, 6, 0, 20]), packet.subarray(20)])),
      0xffff,
    );
  });
  it('leaves alone what has no connections', () => {
    assert.equal(pokesFor([{ ...flow, protocol: 'udp' }]).length, 0);
  });
  it('speaks to those that are still opening one too, which try again', () => {
    assert.equal(pokesFor([{ ...flow, answered: false, opening: true }]).length, 40);
  });
});
