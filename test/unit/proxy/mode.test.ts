import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { firstWay } from '../../../services/proxy/mode.ts';
import { canAdministerNetwork } from '../../../services/proxy/userspace/addresses.ts';

describe('proxy/mode', () => {
  const path = process.env['PATH'];
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-mode-'));
    process.env['PATH'] = folder;
  });
  afterEach(() => {
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true, force: true });
  });
  const program = (name: string, code: number, said = ''): void => {
    writeFileSync(join(folder, name), `#!/bin/sh\necho '${said}' >&2\nexit ${code}\n`);
    chmodSync(join(folder, name), 0o755);
  };

  it('takes userspace where it is asked for, whatever there is', async () => {
    program('nft', 0);
    assert.deepEqual(await firstWay('userspace'), { way: 'userspace', obstacles: [] });
  });

  if (!canAdministerNetwork()) {
    it('takes userspace where it may not change the network, and says so', async () => {
      const { way, obstacles } = await firstWay('auto');
      assert.equal(way, 'userspace');
      assert.match(obstacles.join('\n'), /^nftables: it needs root.*\niptables: it needs root/);
      await assert.rejects(firstWay('nftables'), /--mode nftables does not work here: it needs root/);
    });
    return;
  }

  it('takes nftables first', async () => {
    program('nft', 0);
    program('iptables-save', 0);
    assert.deepEqual(await firstWay('auto'), { way: 'nftables', obstacles: [] });
  });

  it('takes iptables where there is no nft, or a kernel without it', async () => {
    program('iptables-save', 0);
    const without = await firstWay('auto');
    assert.equal(without.way, 'iptables');
    assert.match(without.obstacles.join(), /^nftables: nft cannot be run .*ENOENT.*; the Debian package is nftables$/);
    program('nft', 1, 'Operation not supported');
    assert.deepEqual(await firstWay('auto'), {
      way: 'iptables',
      obstacles: ['nftables: nft list tables says: Operation not supported'],
    });
  });

  it('carries traffic itself where the kernel can do neither, and says why', async () => {
    program('iptables-save', 3, 'no such table');
    const { way, obstacles } = await firstWay('auto');
    assert.equal(way, 'userspace');
    assert.equal(obstacles.length, 2);
    assert.match(obstacles[1] ?? '', /^iptables: iptables-save -t nat says: no such table$/);
  });

  it('does not take another way than the one that was asked for', async () => {
    program('iptables-save', 0);
    await assert.rejects(firstWay('nftables'), /--mode nftables does not work here: nft cannot be run/);
    assert.deepEqual(await firstWay('iptables'), { way: 'iptables', obstacles: [] });
  });
});
