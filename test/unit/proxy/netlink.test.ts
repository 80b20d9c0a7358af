import assert from 'node:assert/strict';
import { address, batchOf, concat, errorIn, mark, port, protocol } from '../../../services/proxy/nftables/netlink.ts';

/** Types of the messages in a batch. The suite in test/contract tries what the kernel makes of them. */
function typesOf(batch: Buffer): number[] {
  const types: number[] = [];
  for (let at = 0; at < batch.length; at += (batch.readUInt32LE(at) + 3) & ~3) types.push(batch.readUInt16LE(at + 4));
  return types;
}

describe('proxy/netlink', () => {
  it('bounds a batch, asks for an answer to its last message alone, and fills messages up to 4 bytes', () => {
    const batch = batchOf('t', [
      { type: 'count', chain: 'svc/default/web/tcp/80', count: 3, first: 17 },
      { type: 'delete', set: 'backends', key: mark(20) },
      { type: 'add', set: 'backends', key: mark(19), data: concat(address('10.244.0.7'), port(8080)) },
    ]);
    assert.deepEqual(typesOf(batch), [16, 0xa08, 0xa06, 0xa0e, 0xa0c, 17]);
    const flags: number[] = [];
    for (let at = 0; at < batch.length; at += batch.readUInt32LE(at)) flags.push(batch.readUInt16LE(at + 6) & 4);
    assert.deepEqual(flags, [0, 0, 0, 0, 4, 0]);
  });

  it('leaves a chain of nothing empty', () => {
    assert.deepEqual(typesOf(batchOf('t', [{ type: 'count', chain: 'c', count: 0, first: 1 }])), [16, 0xa08, 17]);
  });

  it('fills each part of a concatenation up to 4 bytes', () => {
    const bytes = concat(address('10.0.0.1'), protocol('UDP'), port(53));
    assert.deepEqual([...bytes], [10, 0, 0, 1, 17, 0, 0, 0, 0, 53, 0, 0]);
  });

  it('finds the first error among the answers, and tells silence from success', () => {
    const reply = (error: number): Buffer => {
      const bytes = Buffer.alloc(36);
      bytes.writeUInt32LE(36, 0);
      bytes.writeUInt16LE(2, 4);
      bytes.writeInt32LE(-error, 16);
      return bytes;
    };
    assert.equal(errorIn(reply(0)), 0);
    assert.equal(errorIn(Buffer.concat([reply(0), reply(2), reply(17)])), 2);
    assert.equal(errorIn(Buffer.alloc(0)), undefined);
  });
});
