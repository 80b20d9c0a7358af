import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasReason, messageOf } from '../../../../lib/base/errors.ts';
import { LmdbStore, type LmdbStoreOptions } from '../../../../services/apiserver/store/lmdb.ts';
import type { StoreChange } from '../../../../services/apiserver/store/store.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { until } from '../../../support/until.ts';

describe('apiserver/store LmdbStore', () => {
  let folder: string;
  const open: LmdbStore[] = [];
  const openStore = (options: Partial<LmdbStoreOptions> = {}): LmdbStore => {
    const store = new LmdbStore({ folder, ...options });
    open.push(store);
    return store;
  };
  const put = (key: string, text: string): { key: string; value: Buffer } => ({ key, value: Buffer.from(text) });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'troupe-lmdb-'));
  });
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
    await rm(folder, { recursive: true });
  });

  it('keeps everything over a restart: values, revision, history', async () => {
    const store = openStore();
    await store.commit([put('a/1', 'one'), put('a/2', 'two')]);
    await store.commit([{ key: 'a/1', value: undefined }]);
    await store.commit([put('a/2', 'zwei')]);
    await store.compact(1);
    await store.close();
    const again = openStore();
    assert.equal(await again.revision(), 3);
    assert.equal((await again.history()).compactedRevision, 1);
    assert.deepEqual(
      (await again.list('')).entries.map((entry) => [entry.key, Buffer.from(entry.value).toString(), entry.revision]),
      [['a/2', 'zwei', 3]],
    );
    assert.equal(Buffer.from((await again.list('a/', { atRevision: 2 })).entries[0]?.value ?? []).toString(), 'two');
    assert.equal(await again.commit([put('a/3', 'three')]), 4);
  });

  it('remembers the last revision even when history and all keys are gone', async () => {
    const store = openStore();
    await store.commit([put('k', 'v')]);
    await store.commit([{ key: 'k', value: undefined }]);
    await store.compact(2);
    await store.close();
    const again = openStore();
    assert.deepEqual(await again.list(''), { entries: [], revision: 2, more: false });
    assert.equal(await again.commit([put('k', 'v')]), 3);
  });

  it('refuses a folder that another process uses, naming the folder and the holder', async () => {
    const first = openStore();
    assert.throws(
      () => openStore(),
      (error) => {
        assert.ok(hasReason(error, 'Conflict'));
        assert.ok(
          messageOf(error).includes(`the data folder ${folder} is in use by another apiserver (pid ${process.pid})`),
        );
        return true;
      },
    );
    assert.equal(await first.commit([put('k', 'v')]), 1, 'and does not disturb it');
    await first.close();
    assert.equal(await openStore().revision(), 1, 'free again');
    assert.equal((await readFile(join(folder, 'lock'), 'utf8')).trim(), String(process.pid));
  });

  it('says which folder cannot be used', async () => {
    const inAFile = join(folder, 'file', 'data');
    await writeFile(join(folder, 'file'), '');
    assert.throws(
      () => new LmdbStore({ folder: inAFile }),
      (error) => messageOf(error).startsWith(`cannot use the data folder ${inAFile}: ENOTDIR`),
    );
  });

  it('lets commits of one moment share a transaction, each with its own revision', async () => {
    const store = openStore();
    const revisions = await Promise.all(Array.from({ length: 500 }, (_, i) => store.commit([put(`k/${i}`, 'v')])));
    assert.deepEqual(
      revisions,
      Array.from({ length: 500 }, (_, i) => i + 1),
    );
  });

  it('takes no more than its bound, and then still deletions', async () => {
    const store = openStore({ maxBytes: 100_000 });
    const fill = async (): Promise<never> => {
      for (let i = 0; ; i++) await store.commit([put(`k/${i}`, 'x'.repeat(10_000))]);
    };
    await assert.rejects(fill(), (error) => {
      assert.match(messageOf(error), /the store is full: it holds \d+ of at most 100000 bytes/);
      return hasReason(error, 'ServiceUnavailable');
    });
    await store.commit([{ key: 'k/0', value: undefined }]);
    await store.compact(await store.revision());
    await store.commit([put('k/new', 'x'.repeat(9_000))]);
  });

  it('keeps history within its age and size by itself', async () => {
    const clock = new FakeClock();
    const store = openStore({ clock, historyEveryMs: 100, history: { maxAgeMs: 10_000, maxBytes: 20_000 } });
    const rewrite = async (times: number): Promise<void> => {
      for (let i = 0; i < times; i++) await store.commit([put('k', 'x'.repeat(1_000))]);
    };
    await rewrite(100);
    await until(
      async () => {
        await clock.advance(100);
        return (await store.history()).bytes <= 20_000;
      },
      { what: 'history is within its size' },
    );
    assert.ok((await store.history()).bytes > 10_000, 'and not much less');
    await clock.advance(11_000);
    await until(async () => (await store.history()).bytes === 0, { what: 'all of it is too old' });
    assert.equal((await store.history()).compactedRevision, 100);
    assert.equal((await store.get('k'))?.revision, 100);
  });

  it('lets a reader that is far behind read from the disk, then live', async () => {
    const store = openStore();
    const value = 'x'.repeat(3_000);
    for (let i = 0; i < 20; i++) {
      await Promise.all(Array.from({ length: 1_000 }, (_, n) => store.commit([put(`k/${n}`, `${i} ${value}`)])));
    }
    const abort = new AbortController();
    const seen: number[] = [];
    let previous: StoreChange | undefined;
    for await (const batch of store.watch('', 0, abort.signal)) {
      for (const change of batch) {
        seen.push(change.revision);
        if (change.key === 'k/7') {
          assert.deepEqual(change.previous, previous?.value);
          previous = change;
        }
      }
      if (seen.length >= 15_000 && (await store.revision()) === 20_000) await store.commit([put('k/late', 'v')]);
      if (batch.at(-1)?.key === 'k/late') abort.abort();
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 20_001 }, (_, i) => i + 1),
    );
  }).timeout(60_000);

  it('compacts in slices, between which commits go on', async () => {
    const store = openStore();
    for (let i = 0; i < 10; i++) {
      await Promise.all(Array.from({ length: 1_000 }, () => store.commit([put('k', 'x'.repeat(100))])));
    }
    const order: string[] = [];
    const compaction = store.compact(10_000).then(() => order.push('compacted'));
    await store.commit([put('other', 'v')]).then(() => order.push('committed'));
    await compaction;
    assert.deepEqual(order, ['committed', 'compacted']);
    assert.equal((await store.history()).bytes, 0);
  }).timeout(30_000);
});
