import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import tar from 'tar-stream';
import { fileFault, type ContainerRoot } from '../../../../node-agent/files/container-root.ts';
import { walkFrom } from '../../../../node-agent/files/held-walk.ts';
import { readPlace } from '../../../../node-agent/files/read-files.ts';
import { writeFiles } from '../../../../node-agent/files/write-files.ts';
import { RuntimeError } from '../../../../node-agent/runtime/runtime.ts';

type Header = Parameters<tar.Pack['entry']>[0];

const why = process.platform === 'linux' && process.getuid?.() === 0 ? undefined : 'it takes root on Linux';
describe(`node-agent/files${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let base: string;
  let rootDir: string;
  let root: ContainerRoot;
  let fds: number;
  const never = new AbortController().signal;
  const at = (path: string): string => join(rootDir, path);
  const openFds = (): number => readdirSync('/proc/self/fd').length;

  beforeEach(function () {
    if (why !== undefined) this.skip();
    base = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-files-')));
    rootDir = join(base, 'root');
    mkdirSync(join(rootDir, 'srv/deep'), { recursive: true });
    mkdirSync(join(base, 'outside'));
    writeFileSync(join(base, 'outside/secret'), 'outside');
    root = {
      async find(path) {
        const error = (what: string): RuntimeError => new RuntimeError('NoSuchFile', `${path}: ${what}`);
        try {
          return await walkFrom(rootDir, path, { outside: 'root', error });
        } catch (fault) {
          throw fileFault(fault, path);
        }
      },
      close: async () => undefined,
    };
    fds = openFds();
  });
  afterEach(() => {
    if (why !== undefined) return;
    rmSync(base, { recursive: true, force: true });
    assert.ok(openFds() <= fds, 'nothing is left open');
  });

  const read = async (path: string) => readPlace(await root.find(path), path, new AbortController().signal);
  async function entriesOf(source: AsyncIterable<Uint8Array>): Promise<Record<string, string>> {
    const extract = tar.extract();
    const input = Readable.from(source, { objectMode: false });
    input.once('error', (error) => extract.destroy(error));
    input.pipe(extract);
    const found: Record<string, string> = {};
    for await (const entry of extract) {
      let text = '';
      for await (const part of entry) text += String(part);
      const { name, type, linkname } = entry.header;
      found[name] = type === 'file' ? text : type === 'directory' ? 'folder' : `${type ?? ''} to ${linkname ?? ''}`;
    }
    return found;
  }
  const write = async (folder: string, entries: readonly (readonly [Header, string?])[]): Promise<void> => {
    const pack = tar.pack();
    for (const [header, text = ''] of entries) pack.entry(header, text);
    pack.finalize();
    await writeFiles(root, folder, pack as AsyncIterable<Uint8Array>, never);
  };

  it('reads a folder with all that is in it, and leaves nothing out that can be said in a tar', async () => {
    writeFileSync(at('srv/a'), 'first');
    linkSync(at('srv/a'), at('srv/again'));
    symlinkSync('/srv/a', at('srv/link'));
    writeFileSync(at('srv/deep/b'), 'second');
    execFileSync('mkfifo', [at('srv/pipe')]);
    const found = await read('/srv');
    assert.deepEqual([found.name, found.isFolder], ['srv', true]);
    assert.deepEqual(await entriesOf(found.tar), {
      'srv/': 'folder',
      'srv/a': 'first',
      'srv/again': 'link to srv/a',
      'srv/deep/': 'folder',
      'srv/deep/b': 'second',
      'srv/link': 'symlink to /srv/a',
      'srv/pipe': 'fifo to ',
    });
  });

  it('follows links as the container would, and never out of it', async () => {
    writeFileSync(at('srv/a'), 'inside');
    symlinkSync('/srv/a', at('absolute'));
    symlinkSync('../../../../../../srv/a', at('srv/deep/up'));
    symlinkSync(join(base, 'outside/secret'), at('away'));
    symlinkSync('round', at('round'));
    for (const path of ['/absolute', '/srv/deep/up', '/../srv/./deep/../a']) {
      const file = await read(path);
      assert.equal(file.sizeBytes, 6);
      assert.deepEqual(Object.values(await entriesOf(file.tar)), ['inside'], path);
    }
    await assert.rejects(read('/away'), { code: 'NoSuchFile', message: '/away: there is no such file or folder' });
    await assert.rejects(read('/round'), { code: 'NoSuchFile', message: '/round: goes through more than 40 links' });
    await assert.rejects(read('/srv/a/b'), { code: 'NoSuchFile' });
  });

  it('does not wait for a pipe, and says what it cannot read', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    await assert.rejects(read('/pipe'), { code: 'BadTar', message: '/pipe: it is neither a file nor a folder' });
  });

  it('lets go when nobody takes the rest, and fails when a file becomes shorter', async () => {
    writeFileSync(at('srv/big'), Buffer.alloc(8 << 20));
    for await (const _ of (await read('/srv')).tar) break;
    const { tar: shrinking } = await read('/srv/big');
    await assert.rejects(
      async () => {
        for await (const _ of shrinking) truncateSync(at('srv/big'), 0);
      },
      { code: 'BadTar', message: 'big: it became shorter while it was copied' },
    );
  });

  it('leaves out what the kernel makes up', async () => {
    execFileSync('mount', ['-t', 'proc', 'proc', at('srv/deep')]);
    try {
      assert.deepEqual(await entriesOf((await read('/srv')).tar), { 'srv/': 'folder', 'srv/deep/': 'folder' });
    } finally {
      execFileSync('umount', [at('srv/deep')]);
    }
  });

  it('writes files, folders and links with owners, rights and times', async () => {
    const mtime = new Date('2020-02-02T02:02:02Z');
    await write('/srv', [
      [{ name: 'new/', type: 'directory', mode: 0o750, uid: 7, gid: 8, mtime }],
      [{ name: 'new/tool', mode: 0o4755, uid: 7, gid: 8, mtime }, 'run'],
      [{ name: 'new/link', type: 'symlink', linkname: '/elsewhere', uid: 7, gid: 8, mtime }],
      [{ name: 'new/again', type: 'link', linkname: 'new/tool' }],
      [{ name: 'not/there/yet' }, 'made on the way'],
    ]);
    const tool = statSync(at('srv/new/tool'));
    assert.deepEqual([tool.mode & 0o7777, tool.uid, tool.gid, tool.mtime], [0o4755, 7, 8, mtime]);
    assert.equal(tool.nlink, 2);
    const folder = statSync(at('srv/new'));
    assert.deepEqual([folder.mode & 0o7777, folder.uid, folder.mtime], [0o750, 7, mtime]);
    assert.equal(readlinkSync(at('srv/new/link')), '/elsewhere');
    assert.equal(lstatSync(at('srv/new/link')).uid, 7);
    assert.equal(readFileSync(at('srv/not/there/yet'), 'utf8'), 'made on the way');
  });

  it('replaces a file, fills a folder, goes through links inside, and removes no folder', async () => {
    writeFileSync(at('srv/page'), 'old');
    const before = openSync(at('srv/page'), 'r');
    symlinkSync('/srv/deep', at('srv/led'));
    await write('/srv', [
      [{ name: 'page' }, 'new'],
      [{ name: 'led/', type: 'directory', mode: 0o700 }],
      [{ name: 'led/x' }, 'through'],
    ]);
    assert.equal(readFileSync(at('srv/page'), 'utf8'), 'new');
    assert.equal(readFileSync(before, 'utf8'), 'old', 'who reads the old one goes on with it');
    closeSync(before);
    assert.equal(readFileSync(at('srv/deep/x'), 'utf8'), 'through');
    assert.ok(lstatSync(at('srv/led')).isSymbolicLink());
    await assert.rejects(write('/srv', [[{ name: 'deep' }, 'a file']]), {
      code: 'BadTar',
      message: 'deep: there is a folder of that name already',
    });
    assert.ok(existsSync(at('srv/deep/x')));
  });

  it('never writes outside, whatever names and links say', async () => {
    symlinkSync(join(base, 'outside'), at('srv/away'));
    for (const name of ['../out', 'a/../../out', '..']) {
      await assert.rejects(write('/srv', [[{ name }, 'x']]), { code: 'BadTar' }, name);
    }
    await write('/srv', [[{ name: 'away/secret' }, 'x']]).catch(() => undefined);
    await write('/srv', [
      [{ name: 'trap', type: 'symlink', linkname: join(base, 'outside') }],
      [{ name: 'trap/secret' }, 'x'],
    ]).catch(() => undefined);
    assert.deepEqual(readdirSync(join(base, 'outside')), ['secret']);
    assert.equal(readFileSync(join(base, 'outside/secret'), 'utf8'), 'outside');
  });

  it('writes into a name that is itself a mount, and not where nothing may be written', async () => {
    writeFileSync(join(base, 'hosts'), 'old and long');
    writeFileSync(at('srv/hosts'), '');
    execFileSync('mount', ['--bind', join(base, 'hosts'), at('srv/hosts')]);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', at('srv/deep')]);
    try {
      await write('/srv', [[{ name: 'hosts' }, 'new']]);
      assert.equal(readFileSync(join(base, 'hosts'), 'utf8'), 'new');
      await assert.rejects(write('/srv/deep', [[{ name: 'x' }, 'y']]), {
        code: 'ReadOnly',
        message: '/srv/deep/x: it can only be read',
      });
    } finally {
      execFileSync('umount', [at('srv/hosts'), at('srv/deep')]);
    }
    await assert.rejects(write('/none', [[{ name: 'x' }, 'y']]), { code: 'NoSuchFile' });
  });

  it('says that what came is no tar, or not all of it', async () => {
    await assert.rejects(writeFiles(root, '/srv', Readable.from([Buffer.alloc(2048, 'x')]), never), { code: 'BadTar' });
    const pack = tar.pack();
    pack.entry({ name: 'half' }, 'x'.repeat(1000));
    pack.finalize();
    const whole = await buffer(pack as AsyncIterable<Uint8Array>);
    const cut = Readable.from([whole.subarray(0, 700)]);
    await assert.rejects(writeFiles(root, '/srv', cut, never), { code: 'BadTar' });
  });
});
