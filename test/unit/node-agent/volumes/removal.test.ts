import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountsAt, parseMountInfo } from '../../../../node-agent/volumes/mounts.ts';
import { removeOwnFiles, removeTree } from '../../../../node-agent/volumes/removal.ts';

describe('node-agent/volumes/mounts', () => {
  it('reads the table of mounts, with names as they are', () => {
    const text = [
      '22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard',
      String.raw`96 22 0:52 / /data/a\040b rw shared:3 master:1 - tmpfs tmpfs rw,size=8192k`,
      '97 22 0:53 / /data/n rw - nfs4 files:/export/of\\040all rw,vers=4.2',
      '',
    ].join('\n');
    assert.deepEqual(parseMountInfo(text), [
      { path: '/', type: 'ext4', source: '/dev/vda', shared: false },
      { path: '/data/a b', type: 'tmpfs', source: 'tmpfs', shared: true },
      { path: '/data/n', type: 'nfs4', source: 'files:/export/of all', shared: false },
    ]);
  });
});

const why = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'it takes root on Linux';
describe(`node-agent/volumes/removal${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let base: string;
  let precious: string;
  let folder: string;
  beforeEach(function () {
    if (why !== undefined) this.skip();
    base = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-removal-')));
    precious = join(base, 'precious');
    folder = join(base, 'pod');
    mkdirSync(precious);
    mkdirSync(join(folder, 'volumes/v/sub'), { recursive: true });
    writeFileSync(join(precious, 'letter'), 'dear');
  });
  afterEach(() => {
    if (why !== undefined) return;
    for (let round = 0; round < 5; round++) {
      try {
        execFileSync('sh', ['-c', `grep -o '${base}[^ ]*' /proc/self/mounts | tac | xargs -r -n1 umount -l`]);
      } catch {
        // none left
      }
    }
    rmSync(base, { recursive: true, force: true });
  });
  const isUntouched = (): void => assert.equal(readFileSync(join(precious, 'letter'), 'utf8'), 'dear');
  const bind = (source: string, target: string): void => {
    mkdirSync(target, { recursive: true });
    execFileSync('mount', ['--bind', source, target]);
  };

  for (const [name, remove] of [
    ['removeTree', removeTree],
    ['removeOwnFiles', removeOwnFiles],
  ] as const) {
    it(`${name} unmounts what is mounted below, on top of each other too, and deletes nothing of it`, async () => {
      bind(precious, join(folder, 'volumes/v/sub'));
      bind(precious, join(folder, 'volumes/v'));
      bind(precious, join(folder, 'volumes/v'));
      bind(precious, join(folder, 'volumes/w with blank'));
      execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(folder, 'volumes/w with blank')]);
      await remove(folder);
      isUntouched();
      assert.equal(existsSync(folder), false);
      assert.deepEqual(mountsAt(base), []);
    });

    it(`${name} removes links without following them, and may be asked again`, async () => {
      symlinkSync(precious, join(folder, 'volumes/v/out'));
      symlinkSync('/', join(folder, 'volumes/v/sub/root'));
      await remove(folder);
      await remove(folder);
      isUntouched();
      assert.equal(existsSync(folder), false);
    });
  }

  it('takes away a mount that is in use', async () => {
    bind(precious, join(folder, 'volumes/v'));
    const before = process.cwd();
    process.chdir(join(folder, 'volumes/v'));
    try {
      await removeTree(folder);
    } finally {
      process.chdir(before);
    }
    isUntouched();
    assert.deepEqual(mountsAt(base), []);
  });

  it('deletes nothing where a mount stays', async () => {
    // A mount point that hides under another name in the table cannot be unmounted by it: stand in for any failure to unmount.
    bind(precious, join(folder, 'volumes/v'));
    const path = process.env['PATH'];
    process.env['PATH'] = join(base, 'bin');
    mkdirSync(join(base, 'bin'));
    writeFileSync(join(base, 'bin/umount'), '#!/bin/sh\nexit 32\n', { mode: 0o755 });
    try {
      await assert.rejects(removeTree(folder), /cannot be unmounted/);
    } finally {
      process.env['PATH'] = path;
    }
    isUntouched();
    assert.equal(existsSync(join(folder, 'volumes/v/letter')), true);
  });
});
