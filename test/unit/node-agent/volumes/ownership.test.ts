import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { giveToGroup } from '../../../../node-agent/volumes/ownership.ts';

const why = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'it takes root on Linux';
describe(`node-agent/volumes/ownership${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let base: string;
  let volume: string;
  before(function () {
    if (why !== undefined) this.skip();
  });
  beforeEach(() => {
    base = mkdtempSync(join(tmpdir(), 'troupe-owner-'));
    volume = join(base, 'volume');
    mkdirSync(join(volume, 'dir/deep'), { recursive: true });
    writeFileSync(join(volume, 'dir/script'), '', { mode: 0o700 });
    writeFileSync(join(base, 'outside'), '', { mode: 0o600 });
    symlinkSync('../outside', join(volume, 'out'));
    symlinkSync(base, join(volume, 'dir/up'));
    execFileSync('mkfifo', [join(volume, 'fifo')]);
  });
  afterEach(() => {
    rmSync(base, { recursive: true, force: true });
  });
  const facts = (path: string): string => {
    const { uid, gid, mode } = statSync(path);
    return `${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
  };

  it('gives all of a volume to the group, and nothing beyond it', async () => {
    chownSync(join(volume, 'dir/script'), 1000, 1000);
    assert.equal(await giveToGroup(volume, 4242), 7);
    assert.equal(facts(volume), '0:4242 2775');
    assert.equal(facts(join(volume, 'dir/deep')), '0:4242 2775');
    assert.equal(facts(join(volume, 'dir/script')), '1000:4242 760');
    assert.equal(facts(join(base, 'outside')), '0:0 600');
    assert.match(facts(base), /^0:0 /);
  });

  it('looks at the root alone where that says enough (OnRootMismatch)', async () => {
    assert.equal(await giveToGroup(volume, 4242, 'OnRootMismatch'), 7);
    chownSync(join(volume, 'dir/script'), 0, 0);
    assert.equal(await giveToGroup(volume, 4242, 'OnRootMismatch'), 1);
    assert.match(facts(join(volume, 'dir/script')), /^0:0/);
    chmodSync(volume, 0o755);
    assert.equal(await giveToGroup(volume, 4242, 'OnRootMismatch'), 7);
    assert.match(facts(join(volume, 'dir/script')), /^0:4242/);
  });
});
