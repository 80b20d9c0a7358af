import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { openBeneath } from '../../../../node-agent/volumes/sub-path.ts';

const why = process.platform === 'linux' ? undefined : 'it takes Linux';
describe(`node-agent/volumes/sub-path${why === undefined ? '' : ` (skipped: ${why})`}`, () => {
  let base: string;
  let root: string;
  before(function () {
    if (why !== undefined) this.skip();
  });
  beforeEach(() => {
    base = realpathSync(mkdtempSync(join(tmpdir(), 'troupe-subpath-')));
    root = join(base, 'volume');
    mkdirSync(join(root, 'dir/deep'), { recursive: true });
    writeFileSync(join(root, 'dir/file'), 'inside');
    mkdirSync(join(base, 'outside'));
    writeFileSync(join(base, 'outside/secret'), 'outside');
  });
  afterEach(() => {
    rmSync(base, { recursive: true, force: true });
  });

  const openFds = (): number => readdirSync('/proc/self/fd').length;
  const realOf = async (subPath: string, create = true): Promise<string> => {
    const held = await openBeneath(root, subPath, create);
    try {
      return realpathSync(held.path);
    } finally {
      await held.close();
    }
  };

  for (const [subPath, want] of [
    ['dir', 'dir'],
    ['dir/file', 'dir/file'],
    ['./dir//deep/', 'dir/deep'],
    ['dir/deep/../file', 'dir/file'],
    ['link/file', 'dir/file'],
    ['dir/up/file', 'dir/file'],
    ['new/made/here', 'new/made/here'],
  ] as const) {
    it(`finds ${subPath}`, async () => {
      symlinkSync('dir', join(root, 'link'));
      symlinkSync('../dir/.', join(root, 'dir/up'));
      const before = openFds();
      assert.equal(await realOf(subPath), join(root, want));
      assert.equal(openFds(), before, 'nothing is left open');
    });
  }

  for (const [subPath, want] of [
    ['..', /leads out of the volume/],
    ['dir/../../outside', /leads out of the volume/],
    ['absolute/secret', /out of the volume/],
    ['relative/secret', /leads out of the volume/],
    ['far', /leads out of the volume/],
    ['loop', /follows the link "loop"/],
    ['dir/file/x', /no folder/],
    ['linked-file/x', /no folder/],
  ] as const) {
    it(`refuses ${subPath}`, async () => {
      symlinkSync(join(base, 'outside'), join(root, 'absolute'));
      symlinkSync('../outside', join(root, 'relative'));
      symlinkSync('dir/deep/../../../outside', join(root, 'far'));
      symlinkSync('loop', join(root, 'loop'));
      symlinkSync('dir/file', join(root, 'linked-file'));
      const before = openFds();
      await assert.rejects(openBeneath(root, subPath), want);
      assert.equal(openFds(), before, 'nothing is left open');
      assert.deepEqual(readdirSync(join(base, 'outside')), ['secret']);
    });
  }

  it('makes folders as open as the one they lie in, or none', async () => {
    const { mode } = statSync(join(root, 'dir'));
    await assert.rejects(openBeneath(root, 'dir/none', false), /does not exist/);
    assert.equal(existsSync(join(root, 'dir/none')), false);
    await realOf('dir/none/below');
    assert.equal(statSync(join(root, 'dir/none/below')).mode, mode);
  });

  it('holds the place, whatever its name comes to mean', async () => {
    const held = await openBeneath(root, 'dir');
    renameSync(join(root, 'dir'), join(root, 'moved'));
    symlinkSync('/etc', join(root, 'dir'));
    assert.equal(readFileSync(join(held.path, 'file'), 'utf8'), 'inside');
    await held.close();
  });

  it('never leaves the volume, whatever links are in it', async function () {
    this.timeout(30_000);
    const part = fc.constantFrom('a', 'b', 'c', '..', '.');
    const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    const target = fc.oneof(
      path,
      path.map((relative) => `../${relative}`),
      fc.constantFrom('/', '/etc', '../..', '../outside'),
    );
    const links = fc.array(fc.tuple(fc.constantFrom('a', 'b', 'a/c', 'b/c'), target), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(links, path, async (made, subPath) => {
        const place = mkdtempSync(join(base, 'run-'));
        const volume = join(place, 'volume');
        mkdirSync(join(volume, 'c'), { recursive: true });
        for (const [at, to] of made) {
          try {
            mkdirSync(join(volume, at, '..'), { recursive: true });
            symlinkSync(to, join(volume, at));
          } catch {
            // something is there already, or the way to it leads nowhere
          }
        }
        const before = readdirSync(place);
        const held = await openBeneath(volume, subPath).catch(() => undefined);
        if (held !== undefined) {
          const real = realpathSync(held.path);
          assert.ok(real === volume || real.startsWith(`${volume}/`), `${subPath} led to ${real}`);
          await held.close();
        }
        assert.deepEqual(readdirSync(place), before);
      }),
      { numRuns: 300 },
    );
  });
});
