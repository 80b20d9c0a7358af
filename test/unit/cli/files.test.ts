import assert from 'node:assert/strict';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import tar from 'tar-stream';
import { pack } from '../../../cli/files/pack.ts';
import { parsePlace } from '../../../cli/files/place.ts';
import { sizeText } from '../../../cli/files/progress.ts';
import { placeOf, unpack } from '../../../cli/files/unpack.ts';

type Content =
  string | { readonly link: string } | { readonly hard: string } | { readonly type: 'directory' | 'character-device' };
type Entry = readonly [name: string, content: Content];
const aFolder = { type: 'directory' } as const;

function archive(entries: readonly Entry[]): AsyncIterable<Uint8Array> {
  const packed = tar.pack();
  for (const [name, content] of entries) {
    if (typeof content === 'string') packed.entry({ name, mode: 0o4755 }, content);
    else if ('link' in content) packed.entry({ name, type: 'symlink', linkname: content.link });
    else if ('hard' in content) packed.entry({ name, type: 'link', linkname: content.hard });
    else packed.entry({ name, type: content.type });
  }
  packed.finalize();
  return Readable.from(packed);
}

describe('cli/files', () => {
  let folder: string;
  let target: string;
  let outside: string;
  let skipped: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-files-'));
    target = join(folder, 'target');
    outside = join(folder, 'outside');
    mkdirSync(outside);
    writeFileSync(join(outside, 'secret'), 'untouched');
    skipped = [];
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const open = (entries: readonly Entry[], root = 'd'): Promise<number> =>
    unpack(archive(entries), {
      ...{ root, target, preserve: true, onBytes: () => undefined },
      onSkipped: (what) => skipped.push(what),
    });

  describe('unpacking', () => {
    it('writes files, folders and links, without set-user-id', async () => {
      const count = await open([
        ['d/', aFolder],
        ['d/a', 'content'],
        ['d/sub/b', 'deep'],
        ['d/link', { link: 'sub/b' }],
        ['d/again', { hard: 'd/a' }],
        ['d/null', { type: 'character-device' }],
      ]);
      assert.equal(count, 4);
      assert.equal(readFileSync(join(target, 'link'), 'utf8'), 'deep');
      assert.equal(readFileSync(join(target, 'again'), 'utf8'), 'content');
      assert.equal(lstatSync(join(target, 'a')).mode & 0o7777, 0o755);
      assert.deepEqual(skipped, ['d/null: character-device is neither a file, a folder nor a link']);
    });

    it('gives one file the name that was wished for, in the place of what had it', async () => {
      symlinkSync(join(outside, 'secret'), target);
      assert.equal(await open([['d', 'new']]), 1);
      assert.equal(readFileSync(target, 'utf8'), 'new');
      assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'untouched');
    });

    for (const name of [
      '../outside/secret',
      'd/../../outside/secret',
      '/etc/x',
      'e/secret',
      'd/../e',
      'd/a/../../../outside/secret',
    ]) {
      it(`refuses the name ${name}`, async () => {
        await assert.rejects(open([[name, 'evil']]), /does not belong into d/);
        assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'untouched');
      });
    }

    it('makes no link that leads out, and writes through none', async () => {
      await open([
        ['d/', aFolder],
        ['d/up', { link: '../outside' }],
        ['d/etc', { link: '/etc' }],
        ['d/here', { link: '.' }],
        ['d/seems', { link: 'here/../outside' }],
        ['d/sub/', aFolder],
        ['d/sub/back', { link: '../fine' }],
        ['d/fine', { link: './inner' }],
      ]);
      assert.deepEqual(skipped.length, 3, skipped.join());
      assert.equal(existsSync(join(target, 'seems')), false);
      assert.equal(readlinkSync(join(target, 'sub/back')), '../fine');
      assert.equal(existsSync(join(target, 'up')), false);
      assert.equal(readlinkSync(join(target, 'fine')), './inner');
      await assert.rejects(
        open([
          ['d/x', { link: 'fine' }],
          ['d/x/file', 'through'],
        ]),
        /is no folder|EEXIST|ENOTEMPTY|folder of that name/,
      );
    });

    it('writes through no link that lies there already', async () => {
      mkdirSync(target);
      symlinkSync(outside, join(target, 'way'));
      symlinkSync(join(outside, 'secret'), join(target, 'file'));
      await assert.rejects(open([['d/way/secret', 'evil']]), /way: it is there already and is no folder/);
      await assert.rejects(open([['d/copy', { hard: 'd/way/secret' }]]), /way: it is there already and is no folder/);
      await open([['d/file', 'own']]);
      assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'untouched');
      assert.equal(readFileSync(join(target, 'file'), 'utf8'), 'own');
    });

    it('never leads out, whatever the name', () => {
      const part = fc.constantFrom('..', '.', '', 'd', 'a', 'b c', '\0', '~', '*');
      fc.assert(
        fc.property(fc.array(part, { maxLength: 8 }), fc.constantFrom('d', '/', '.', 'd/a', '/d'), (parts, root) => {
          let place: string;
          try {
            place = placeOf(parts.join('/'), { root, target: '/safe/place' });
          } catch {
            return;
          }
          assert.ok(place === '/safe/place' || place.startsWith('/safe/place/'), place);
          assert.ok(!place.split('/').includes('..'));
        }),
      );
    });
  });

  it('packs what it unpacks, with the owner of the place it goes to', async () => {
    const from = join(folder, 'from');
    mkdirSync(join(from, 'sub'), { recursive: true });
    writeFileSync(join(from, 'sub/a'), 'x'.repeat(100_000));
    writeFileSync(join(from, 'empty'), '');
    symlinkSync('sub/a', join(from, 'link'));
    let bytes = 0;
    const options = {
      ...{ name: 'd', owner: { uid: 7, gid: 8 }, preserve: true, onSkipped: () => undefined },
      onBytes: (count: number) => (bytes += count),
    };
    assert.equal(
      await unpack(pack(from, options), {
        root: 'd',
        target,
        preserve: true,
        onBytes: () => undefined,
        onSkipped: () => undefined,
      }),
      3,
    );
    assert.equal(readFileSync(join(target, 'link'), 'utf8').length, 100_000);
    assert.equal(bytes, 100_000);
    const extract = tar.extract();
    Readable.from(pack(from, options)).pipe(extract);
    for await (const entry of extract) {
      assert.deepEqual([entry.header.uid, entry.header.gid], [7, 8]);
      entry.resume();
    }
    await assert.rejects(async () => {
      for await (const _ of pack(join(folder, 'none'), options)) void _;
    }, /there is no such file or folder/);
  });

  const places = [
    ['web-1:/var/log', { namespace: 'here', pod: 'web-1', path: '/var/log' }],
    ['shop/web-1:/x', { namespace: 'shop', pod: 'web-1', path: '/x' }],
    ['pod/web-1:x', { namespace: 'here', pod: 'web-1', path: '/x' }],
    ['web-1:a:b', { namespace: 'here', pod: 'web-1', path: '/a:b' }],
    ['./a:b', { path: './a:b' }],
    ['/a:b', { path: '/a:b' }],
    ['file', { path: 'file' }],
  ] as const;
  for (const [text, want] of places) {
    it(`reads the place ${text}`, () => {
      assert.deepEqual(parsePlace(text, 'here'), want);
    });
  }
  for (const text of ['', 'web-1:', 'A B:/x', 'a/b/c:/x', ':/x']) {
    it(`refuses the place "${text}"`, () => {
      assert.throws(() => parsePlace(text, 'here'), { name: 'UsageError' });
    });
  }

  it('writes sizes as people read them', () => {
    assert.deepEqual([0, 1023, 1536, 150 << 20, 2 ** 40].map(sizeText), [
      '0 B',
      '1023 B',
      '1.5 KiB',
      '150 MiB',
      '1.0 TiB',
    ]);
  });
});
