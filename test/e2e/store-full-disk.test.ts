import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import { LmdbStore } from '../../services/apiserver/store/lmdb.ts';

/** A disk of its own that is soon full. */
async function withSmallDisk(work: (folder: string) => Promise<void>): Promise<void> {
  const mount = await mkdtemp(join(tmpdir(), 'troupe-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', mount]);
  try {
    await work(mount);
  } finally {
    execFileSync('umount', [mount]);
    await rm(mount, { recursive: true });
  }
}

const value = (): Buffer => randomBytes(50_000);

describe('store on a full disk', function () {
  this.timeout(60_000);

  it('refuses writes with a clear word, loses nothing, still deletes, and goes on when there is space', () =>
    withSmallDisk(async (folder) => {
      const open = (): LmdbStore => new LmdbStore({ folder: join(folder, 'data') });
      let store = open();
      const written = new Map<string, { readonly value: Buffer; readonly revision: number }>();
      let refusal: unknown;
      while (refusal === undefined) {
        const batch = Array.from({ length: 8 }, () => ({ key: `k/${randomBytes(6).toString('hex')}`, value: value() }));
        const results = await Promise.allSettled(batch.map((op) => store.commit([op])));
        results.forEach((result, i) => {
          const op = batch[i] ?? assert.fail();
          if (result.status === 'fulfilled') written.set(op.key, { value: op.value, revision: result.value });
          else refusal = result.reason;
        });
      }
      assert.ok(hasReason(refusal, 'ServiceUnavailable'), messageOf(refusal));
      assert.match(
        messageOf(refusal),
        /the disk of .* is full: \d+ bytes are free and a write needs \d+; nothing was written/,
      );
      assert.ok(written.size > 50, `${written.size} writes fitted`);

      const checkAll = async (): Promise<void> => {
        const { entries, revision } = await store.list('k/');
        assert.equal(entries.length, written.size);
        assert.equal(revision, Math.max(...[...written.values()].map((each) => each.revision)));
        for (const entry of entries) assert.ok(written.get(entry.key)?.value.equals(entry.value), entry.key);
      };
      await checkAll();
      await store.close();
      store = open();
      await checkAll();

      const [victim, ...others] = [...written.keys()];
      await store.commit([{ key: victim ?? '', value: undefined }]);
      assert.equal(await store.get(victim ?? ''), undefined);
      for (const key of others.slice(0, 40)) await store.commit([{ key, value: undefined }]);
      await store.compact(await store.revision());
      assert.equal((await store.list('k/')).entries.length, written.size - 41);
      await store.close();
      execFileSync('mount', ['-o', 'remount,size=64m', folder]);
      store = open();
      await store.commit([{ key: 'k/again', value: value() }]);
      await store.close();
    }));

  it('survives a disk on which another leaves not one byte: what fails has not happened', () =>
    withSmallDisk(async (folder) => {
      const store = new LmdbStore({ folder: join(folder, 'data') });
      for (let i = 0; i < 100; i++) await store.commit([{ key: `k/${i}`, value: value() }]);
      const before = await store.revision();
      await writeFile(join(folder, 'another'), Buffer.alloc(16_000_000)).catch(() => undefined);
      // Deletions are tried even now: those for which LMDB finds pages to reuse succeed, the others fail in the middle of the write.
      const ops = Array.from({ length: 100 }, (_, i) => ({ key: `k/${i}`, value: undefined }));
      const results = await Promise.allSettled(ops.map((op) => store.commit([op])));
      const deleted = results.filter(({ status }) => status === 'fulfilled').length;
      for (const result of results) {
        if (result.status === 'rejected')
          assert.ok(hasReason(result.reason, 'ServiceUnavailable'), messageOf(result.reason));
      }
      assert.equal((await store.list('k/')).entries.length, 100 - deleted);
      assert.equal(await store.revision(), before + deleted);
      await rm(join(folder, 'another'));
      assert.equal(await store.commit([{ key: 'k/after', value: value() }]), before + deleted + 1);
      await store.close();
    }));
});
