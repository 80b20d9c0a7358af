import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PreparedVolume } from '../../../../node-agent/volumes/driver.ts';
import { newHostPathDriver, parseHostPaths } from '../../../../node-agent/volumes/host-path.ts';
import { aPod } from '../../../support/builders.ts';

describe('node-agent/volumes/host-path', () => {
  it('reads the list of what pods may mount', () => {
    assert.deepEqual(parseHostPaths('/var/log:ro, /srv/,/'), [
      { path: '/var/log', readOnly: true },
      { path: '/srv', readOnly: false },
      { path: '/', readOnly: false },
    ]);
    assert.deepEqual(parseHostPaths(''), []);
    for (const wrong of ['srv', '/a/../b', '/a:rw', ':ro'])
      assert.throws(() => parseHostPaths(wrong), new RegExp(`host path "${wrong}" must be an absolute path`));
  });

  let base: string;
  beforeEach(() => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-hostpath-')));
    mkdirSync(join(base, 'open/below'), { recursive: true });
    mkdirSync(join(base, 'read'));
    mkdirSync(join(base, 'shut'));
    writeFileSync(join(base, 'open/file'), '');
    symlinkSync(join(base, 'shut'), join(base, 'open/out'));
    symlinkSync(join(base, 'open'), join(base, 'shut/in'));
    symlinkSync(join(base, 'open'), join(base, 'alias'));
  });
  afterEach(() => {
    rmSync(base, { recursive: true, force: true });
  });

  const prepare = (list: string, path: string, type = ''): Promise<PreparedVolume> => {
    const rules = parseHostPaths(
      list
        .split(',')
        .map((entry) => (entry === '' ? '' : join(base, entry)))
        .join(','),
    );
    const at = { podUid: 'u', name: 'v', folder: '/nowhere', pod: aPod(), signal: new AbortController().signal };
    const volume = { name: 'v', hostPath: { path: join(base, path), type } };
    return newHostPathDriver(rules).prepare({ ...at, volume, config: undefined as never });
  };

  for (const [list, path, want, readOnly] of [
    ['open', 'open', 'open', false],
    ['open', 'open/below', 'open/below', false],
    ['open', 'shut/in/below', 'open/below', false], // what counts is where it leads
    ['alias', 'open/below', 'open/below', false],
    ['open', 'alias/file', 'open/file', false],
    ['read:ro', 'read', 'read', true],
    ['read:ro', 'read/made', 'read/made', true],
    ['.,read:ro', 'read', 'read', false], // who may write above may write below
  ] as const) {
    it(`lets pods have ${path} where ${list} is open`, async () => {
      assert.deepEqual(await prepare(list, path), { path: join(base, want), readOnly });
    });
  }
  for (const [list, path] of [
    ['open', 'shut'],
    ['open', 'open/out'],
    ['open', 'open/out/new'],
    ['open', 'opener'],
    ['open/below', 'open'],
    ['', 'open'],
  ] as const) {
    it(`refuses ${path} where ${list === '' ? 'nothing' : list} is open, and makes nothing`, async () => {
      await assert.rejects(prepare(list, path), /is not allowed on this node, which lets pods mount .*--host-paths/);
      assert.equal(existsSync(join(base, 'shut/new')) || existsSync(join(base, 'opener')), false);
    });
  }
});
