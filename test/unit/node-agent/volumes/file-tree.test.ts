import assert from 'node:assert/strict';
import * as nodeFs from 'node:fs/promises';
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { writeTree, type TreeFile, type TreeFs } from '../../../../node-agent/volumes/file-tree.ts';

const file = (path: string, text: string, mode = 0o644): TreeFile => ({ path, data: Buffer.from(text), mode });

/** What a reader sees by the visible names: path to content. */
function seen(folder: string): Record<string, string> {
  const all: Record<string, string> = {};
  const walk = (at: string, name: string): void => {
    for (const entry of readdirSync(at)) {
      if (name === '' && entry.startsWith('..')) continue;
      const path = join(at, entry);
      if (!existsSync(path)) continue; // a link that leads nowhere: nothing is there
      if (statSync(path).isDirectory()) walk(path, `${name}${entry}/`);
      else all[name + entry] = readFileSync(path, 'utf8');
    }
  };
  walk(folder, '');
  return all;
}
const shown = (files: readonly TreeFile[]): Record<string, string> =>
  Object.fromEntries(files.map(({ path, data }) => [path, data.toString('utf8')]));

describe('node-agent/volumes/file-tree', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-tree-'));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows files by links, changes them at one moment, and touches nothing that is right', async () => {
    assert.equal(await writeTree(folder, [file('a', '1'), file('deep/down/b', '2', 0o400)]), true);
    assert.deepEqual(seen(folder), { a: '1', 'deep/down/b': '2' });
    assert.equal(readlinkSync(join(folder, 'a')), '..data/a');
    assert.equal(statSync(join(folder, 'deep/down/b')).mode & 0o777, 0o400);
    const before = readlinkSync(join(folder, '..data'));
    assert.equal(await writeTree(folder, [file('deep/down/b', '2', 0o400), file('a', '1')]), false);
    assert.equal(readlinkSync(join(folder, '..data')), before);

    assert.equal(await writeTree(folder, [file('c', '3')]), true);
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.startsWith('..')),
      ['c'],
    );
    assert.equal(existsSync(join(folder, before)), false, 'the old files are gone');
    assert.equal(await writeTree(folder, []), true);
    assert.deepEqual(
      readdirSync(folder).filter((name) => !name.startsWith('..')),
      [],
    );
  });

  it('takes a changed mode for a change, and mends what another hand did', async () => {
    await writeTree(folder, [file('a', '1')]);
    assert.equal(await writeTree(folder, [file('a', '1', 0o600)]), true);
    assert.equal(statSync(join(folder, 'a')).mode & 0o777, 0o600);
    rmSync(join(folder, 'a'));
    writeFileSync(join(folder, 'a'), 'forged');
    writeFileSync(join(folder, 'stray'), '');
    assert.equal(await writeTree(folder, [file('a', '1', 0o600)]), false);
    assert.deepEqual(seen(folder), { a: '1' });
  });

  it('lets the group of fsGroup read', async function () {
    if (process.getuid?.() !== 0) this.skip(); // changing owners takes root
    await writeTree(folder, [file('deep/key', 's', 0o400)], { group: 4242 });
    const { gid, mode } = statSync(join(folder, 'deep/key'));
    assert.deepEqual([gid, mode & 0o777], [4242, 0o440]);
    assert.equal(await writeTree(folder, [file('deep/key', 's', 0o400)], { group: 4242 }), false);
  });

  it('refuses a path that is both a file and a folder, before anything is written', async () => {
    await assert.rejects(writeTree(folder, [file('a', '1'), file('a/b', '2')]), /"a" is wanted both/);
    assert.deepEqual(readdirSync(folder), []);
  });

  const names = fc.constantFrom('a', 'b', '.hidden', 'dir/a', 'dir/deep/b', 'other/c');
  const trees = fc.uniqueArray(fc.record({ path: names, text: fc.constantFrom('', 'x', 'y', 'long '.repeat(50)) }), {
    selector: ({ path }) => path,
    maxLength: 5,
  });

  it('shows the old or the new files whole when cut off at any step, and the next write ends well', async function () {
    this.timeout(60_000);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(trees, fc.nat(40)), { minLength: 1, maxLength: 4 }), async (writes) => {
        const place = mkdtempSync(join(folder, 'run-'));
        let before: readonly TreeFile[] = [];
        for (const [wish, steps] of writes) {
          const wanted = wish.map(({ path, text }) => file(path, text));
          const whole = await writeTree(place, wanted, { fs: failingAfter(steps) }).then(
            () => true,
            () => false,
          );
          if (existsSync(join(place, '..data'))) {
            const now = seen(join(place, readlinkSync(join(place, '..data'))));
            assert.ok(
              [before, wanted].some((files) => isEqual(now, shown(files))),
              `neither old nor new: ${JSON.stringify(now)}`,
            );
          }
          if (!whole) await writeTree(place, wanted);
          assert.deepEqual(seen(place), shown(wanted));
          assert.equal(
            readdirSync(place).filter((name) => name.startsWith('..')).length,
            2,
            'one revision and its link',
          );
          before = wanted;
        }
      }),
      { numRuns: 150 },
    );
  });

  it('never shows a reader files of two revisions', async function () {
    this.timeout(20_000);
    const write = (n: number): Promise<boolean> => writeTree(folder, [file('a', `${n}`), file('b', `${n}`)]);
    await write(0);
    let over = false;
    const writer = (async () => {
      for (let n = 1; n <= 150; n++) await write(n);
      over = true;
    })();
    while (!over) {
      const revision = await nodeFs.open(join(folder, '..data')).catch(() => undefined);
      if (revision === undefined) continue;
      const [a, b] = await Promise.all(
        ['a', 'b'].map((name) =>
          nodeFs.readFile(`/proc/self/fd/${revision.fd}/${name}`, 'utf8').catch(() => undefined),
        ),
      );
      await revision.close();
      if (a !== undefined && b !== undefined) assert.equal(a, b);
    }
    await writer;
  });
});

const isEqual = (a: Record<string, string>, b: Record<string, string>): boolean =>
  JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());

/** A file system that dies after so many changes, as by kill -9. */
function failingAfter(steps: number): TreeFs {
  let left = steps;
  const changes: ReadonlySet<string> = new Set([
    'chmod',
    'chown',
    'mkdir',
    'mkdtemp',
    'rename',
    'rm',
    'symlink',
    'writeFile',
  ]);
  return new Proxy(nodeFs, {
    get(target, name: keyof TreeFs) {
      if (!changes.has(name)) return target[name];
      return (...args: readonly unknown[]) => {
        if (left-- <= 0) return Promise.reject(new Error('killed'));
        return (target[name] as (...args: readonly unknown[]) => unknown)(...args);
      };
    },
  });
}
