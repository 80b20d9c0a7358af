import assert from 'node:assert/strict';
import fc from 'fast-check';
import { hasReason } from '../../lib/base/errors.ts';
import { StoreConflict, type Store, type StoreChange, type StoreOp } from '../../services/apiserver/store/store.ts';

export interface StoreUnderTest {
  readonly store: Store;
  /** Closes and opens the same medium again; undefined where nothing outlives the process. */
  readonly reopen?: () => Promise<Store>;
  /** Closes and removes everything. */
  readonly dispose: () => Promise<void>;
}

const bytes = (text: string): Buffer => Buffer.from(text);
const textOf = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : Buffer.from(value).toString();
const put = (key: string, text: string, ifRevision?: number): StoreOp =>
  ifRevision === undefined ? { key, value: bytes(text) } : { key, value: bytes(text), ifRevision };
const remove = (key: string, ifRevision?: number): StoreOp =>
  ifRevision === undefined ? { key, value: undefined } : { key, value: undefined, ifRevision };

const rejectsWith = (work: Promise<unknown>, reason: 'BadRequest' | 'Expired' | 'ServiceUnavailable'): Promise<void> =>
  assert.rejects(work, (error) => hasReason(error, reason) || assert.fail(`not ${reason}: ${String(error)}`));
const conflicts = (work: Promise<unknown>, index: number, currentRevision: number | undefined): Promise<void> =>
  assert.rejects(work, (error) => {
    assert.ok(error instanceof StoreConflict, String(error));
    assert.equal(error.index, index);
    assert.equal(error.current?.revision, currentRevision);
    return true;
  });

/** The next `count` changes, then the watch is ended. */
async function take(store: Store, prefix: string, after: number, count: number): Promise<StoreChange[]> {
  const abort = new AbortController();
  const seen: StoreChange[] = [];
  for await (const batch of store.watch(prefix, after, abort.signal)) {
    seen.push(...batch);
    if (seen.length >= count) abort.abort();
  }
  return seen;
}
const told = (changes: readonly StoreChange[]): unknown[] =>
  changes.map(({ key, revision, value, previous }) => [revision, key, textOf(value), textOf(previous)]);

/** Every sentence of the Store interface, on one implementation. */
export function storeContract(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`store contract: ${name}`, () => {
    let subject: StoreUnderTest;
    let store: Store;
    beforeEach(async () => {
      subject = await make();
      store = subject.store;
    });
    afterEach(() => subject.dispose());

    describe('commit', () => {
      it('numbers commits from 1, each key in one commit alike', async () => {
        assert.equal(await store.revision(), 0);
        assert.equal(await store.commit([put('a/1', 'x'), put('a/2', 'y')]), 1);
        assert.equal(await store.commit([put('a/1', 'z')]), 2);
        const list = await store.list('a/');
        assert.deepEqual(
          list.entries.map((entry) => [entry.key, textOf(entry.value), entry.revision]),
          [
            ['a/1', 'z', 2],
            ['a/2', 'y', 1],
          ],
        );
        assert.equal(await store.revision(), 2);
      });

      it('applies all operations or none', async () => {
        await store.commit([put('a/1', 'x')]);
        await conflicts(store.commit([put('a/2', 'new', 0), put('a/1', 'y', 0), put('a/3', 'new', 0)]), 1, 1);
        assert.deepEqual(
          (await store.list('')).entries.map((entry) => entry.key),
          ['a/1'],
        );
        assert.equal(await store.revision(), 1, 'a refused commit takes no revision');
      });

      it('holds each expectation: a revision, absence, or anything', async () => {
        await store.commit([put('k', 'one', 0)]);
        await conflicts(store.commit([put('k', 'two', 0)]), 0, 1);
        await conflicts(store.commit([put('k', 'two', 7)]), 0, 1);
        await conflicts(store.commit([put('absent', 'two', 1)]), 0, undefined);
        await store.commit([put('k', 'two', 1)]);
        await conflicts(store.commit([remove('k', 1)]), 0, 2);
        await conflicts(store.commit([remove('absent', 3)]), 0, undefined);
        await conflicts(store.commit([remove('absent', 0)]), 0, undefined);
        await store.commit([remove('k', 2)]);
        await store.commit([put('k', 'three', 0)]);
        await store.commit([put('k', 'four')]);
        assert.equal(textOf((await store.get('k'))?.value), 'four');
      });

      it('makes no revision of deletions that delete nothing', async () => {
        await store.commit([put('k', 'v')]);
        assert.equal(await store.commit([remove('absent')]), 1);
        assert.equal(await store.commit([remove('absent'), put('k', 'w')]), 2);
        assert.deepEqual(told(await take(store, '', 0, 2)), [
          [1, 'k', 'v', undefined],
          [2, 'k', 'w', 'v'],
        ]);
      });

      it('lets one of many win who expect the same revision', async () => {
        await store.commit([put('k', 'start')]);
        const tries = Array.from({ length: 20 }, (_, i) => store.commit([put('k', `try ${i}`, 1)]));
        const results = await Promise.allSettled(tries);
        assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
        assert.equal(await store.revision(), 2);
      });

      it('refuses what can never be committed', async () => {
        await rejectsWith(store.commit([]), 'BadRequest');
        await rejectsWith(store.commit([put('', 'v')]), 'BadRequest');
        await rejectsWith(store.commit([put('k'.repeat(701), 'v')]), 'BadRequest');
        await rejectsWith(store.commit([put('ü'.repeat(351), 'v')]), 'BadRequest');
        await rejectsWith(store.commit([put('k', 'v'), remove('k')]), 'BadRequest');
        const many = Array.from({ length: 1001 }, (_, i) => put(`k/${i}`, 'v'));
        await rejectsWith(store.commit(many), 'BadRequest');
        assert.equal(await store.commit(many.slice(1)), 1);
        assert.equal(await store.commit([put('ü'.repeat(350), 'v')]), 2);
      });

      it('keeps values of any size byte for byte', async () => {
        for (const size of [0, 1, 4095, 4096, 70_000, 1_572_864]) {
          const value = Buffer.alloc(size, `${size} ümlaut "`);
          await store.commit([{ key: `size/${size}`, value }]);
          assert.ok(Buffer.from((await store.get(`size/${size}`))?.value ?? []).equals(value), `${size} bytes`);
        }
        assert.equal((await store.list('size/')).entries.length, 6);
      });
    });

    describe('get and list', () => {
      it('answers absence with undefined', async () => {
        assert.equal(await store.get('absent'), undefined);
        assert.deepEqual(await store.list('absent/'), { entries: [], revision: 0, more: false });
      });

      it('see every resolved commit at once', async () => {
        for (let i = 1; i <= 50; i++) {
          await store.commit([put('k', String(i))]);
          assert.equal(textOf((await store.get('k'))?.value), String(i));
          assert.equal(textOf((await store.list('')).entries[0]?.value), String(i));
        }
      });

      it('list what is under the prefix alone, in key order', async () => {
        const keys = ['b/2', 'a/1', 'b/10', 'ba/1', 'b/1', 'b/1/x', 'c/1'];
        for (const key of keys) await store.commit([put(key, key)]);
        const listed = async (prefix: string): Promise<string[]> =>
          (await store.list(prefix)).entries.map((entry) => entry.key);
        assert.deepEqual(await listed('b/'), ['b/1', 'b/1/x', 'b/10', 'b/2']);
        assert.deepEqual(await listed(''), [...keys].sort());
      });

      it('page through by limit and afterKey', async () => {
        await store.commit(Array.from({ length: 7 }, (_, i) => put(`p/${i}`, 'v')));
        await store.commit([put('q/1', 'v')]);
        const first = await store.list('p/', { limit: 3 });
        assert.deepEqual([first.entries.map((e) => e.key), first.more], [['p/0', 'p/1', 'p/2'], true]);
        const second = await store.list('p/', { limit: 4, afterKey: 'p/2' });
        assert.deepEqual([second.entries.map((e) => e.key), second.more], [['p/3', 'p/4', 'p/5', 'p/6'], false]);
      });

      it('list the state as it was at a revision', async () => {
        await store.commit([put('a/1', 'one'), put('a/2', 'two')]); // 1
        await store.commit([put('a/1', 'uno')]); // 2
        await store.commit([remove('a/2')]); // 3
        await store.commit([put('a/3', 'three')]); // 4
        await store.commit([put('a/2', 'again')]); // 5
        const at = async (atRevision: number): Promise<unknown[]> => {
          const list = await store.list('a/', { atRevision });
          assert.equal(list.revision, atRevision);
          return list.entries.map((entry) => [entry.key, textOf(entry.value), entry.revision]);
        };
        assert.deepEqual(await at(1), [
          ['a/1', 'one', 1],
          ['a/2', 'two', 1],
        ]);
        assert.deepEqual(await at(3), [['a/1', 'uno', 2]]);
        assert.deepEqual(await at(5), [
          ['a/1', 'uno', 2],
          ['a/2', 'again', 5],
          ['a/3', 'three', 4],
        ]);
        const page = await store.list('a/', { atRevision: 1, limit: 1 });
        assert.deepEqual([page.entries.length, page.more], [1, true]);
        await rejectsWith(store.list('a/', { atRevision: 6 }), 'BadRequest');
      });
    });

    describe('watch', () => {
      it('tells every change after the revision, in order, with what it replaced', async () => {
        await store.commit([put('a/1', 'one')]);
        await store.commit([put('a/1', 'two'), put('b/1', 'x')]);
        await store.commit([remove('a/1')]);
        assert.deepEqual(told(await take(store, '', 1, 3)), [
          [2, 'a/1', 'two', 'one'],
          [2, 'b/1', 'x', undefined],
          [3, 'a/1', undefined, 'two'],
        ]);
        assert.deepEqual(told(await take(store, 'a/', 0, 3)), [
          [1, 'a/1', 'one', undefined],
          [2, 'a/1', 'two', 'one'],
          [3, 'a/1', undefined, 'two'],
        ]);
      });

      it('goes from history over to live without a gap or a repetition', async () => {
        const total = 300;
        for (let i = 0; i < 100; i++) await store.commit([put(`k/${i}`, 'v')]);
        const [seen] = await Promise.all([
          take(store, 'k/', 0, total),
          (async () => {
            for (let i = 100; i < total; i++) await store.commit([put(`k/${i}`, 'v')]);
          })(),
        ]);
        assert.deepEqual(
          seen.map((change) => change.revision),
          Array.from({ length: total }, (_, i) => i + 1),
        );
      });

      it('never splits a commit over two batches', async () => {
        for (let c = 0; c < 5; c++) await store.commit(Array.from({ length: 400 }, (_, i) => put(`c${c}/${i}`, 'v')));
        const abort = new AbortController();
        const revisions: number[] = [];
        for await (const batch of store.watch('', 0, abort.signal)) {
          const inBatch = [...new Set(batch.map((change) => change.revision))];
          revisions.push(...inBatch);
          if (revisions.at(-1) === 5) abort.abort();
        }
        assert.deepEqual(revisions, [1, 2, 3, 4, 5]);
      });

      it('stamps each change with the time of its commit', async () => {
        const before = Date.now();
        await store.commit([put('k', 'v')]);
        const [change] = await take(store, '', 0, 1);
        assert.ok(change !== undefined && change.timeMs >= before && change.timeMs <= Date.now());
      });

      it('ends when aborted, also while waiting and when aborted before it began', async () => {
        const abort = new AbortController();
        const waiting = (async () => {
          for await (const _ of store.watch('', 0, abort.signal)) assert.fail('nothing has changed');
        })();
        setImmediate(() => {
          abort.abort();
        });
        await waiting;
        for await (const _ of store.watch('', 0, AbortSignal.abort())) assert.fail('aborted');
      });

      it('rejects with Expired before what is compacted, BadRequest after what is', async () => {
        for (let i = 1; i <= 5; i++) await store.commit([put('k', String(i))]);
        await store.compact(3);
        await rejectsWith(take(store, '', 2, 1), 'Expired');
        assert.deepEqual(told(await take(store, '', 3, 2)), [
          [4, 'k', '4', '3'],
          [5, 'k', '5', '4'],
        ]);
        await rejectsWith(take(store, '', 9, 1), 'BadRequest');
      });

      it('ends a reader with Expired that finds its history gone', async () => {
        await store.commit([put('k', '1')]);
        const reader = store.watch('', 0, new AbortController().signal)[Symbol.asyncIterator]();
        assert.equal((await reader.next()).value?.length, 1);
        for (let i = 2; i <= 5; i++) await store.commit([put('k', String(i))]);
        await store.compact(4);
        await rejectsWith(reader.next(), 'Expired');
      });
    });

    describe('compact', () => {
      it('forgets superseded values and deletions, keeps current ones', async () => {
        await store.commit([put('kept', 'x'), put('gone', 'x'), put('changed', 'x'.repeat(5000))]); // 1
        await store.commit([remove('gone'), put('changed', 'y')]); // 2
        await store.commit([put('changed', 'z')]); // 3
        const before = await store.history();
        assert.equal(before.compactedRevision, 0);
        assert.ok(before.bytes >= 5000, `${before.bytes} bytes of history`);
        await store.compact(2);
        const after = await store.history();
        assert.equal(after.compactedRevision, 2);
        assert.ok(after.bytes < 1000, `${after.bytes} bytes of history`);
        assert.deepEqual(
          (await store.list('')).entries.map((entry) => [entry.key, textOf(entry.value), entry.revision]),
          [
            ['changed', 'z', 3],
            ['kept', 'x', 1],
          ],
        );
        await rejectsWith(store.list('', { atRevision: 1 }), 'Expired');
        assert.deepEqual(
          (await store.list('', { atRevision: 2 })).entries.map((entry) => textOf(entry.value)),
          ['y', 'x'],
        );
      });

      it('may go up to the latest revision, twice, and never backwards; the sequence goes on', async () => {
        await store.commit([put('k', 'v')]);
        await store.commit([remove('k')]);
        await store.compact(2);
        await store.compact(2);
        await store.compact(1);
        assert.equal((await store.history()).compactedRevision, 2);
        await rejectsWith(store.compact(3), 'BadRequest');
        assert.equal(await store.revision(), 2);
        assert.equal(await store.commit([put('k', 'back', 0)]), 3);
      });
    });

    describe('close', () => {
      it('finishes the commits under way, ends watches and rejects later calls', async () => {
        const underWay = store.commit([put('k', 'v')]);
        const watching = rejectsWith(take(store, '', 0, 2), 'ServiceUnavailable');
        await underWay;
        await store.close();
        await store.close();
        await watching;
        await rejectsWith(store.commit([put('k', 'w')]), 'ServiceUnavailable');
        await rejectsWith(store.get('k'), 'ServiceUnavailable');
        await rejectsWith(store.list(''), 'ServiceUnavailable');
        await rejectsWith(store.revision(), 'ServiceUnavailable');
        await rejectsWith(store.compact(1), 'ServiceUnavailable');
        await rejectsWith(store.history(), 'ServiceUnavailable');
      });
    });

    it('agrees with a model over random operations', async () => {
      const key = fc.constantFrom('a/1', 'a/2', 'a/3', 'b/1', 'b/2');
      const expectation = fc.constantFrom('any', 'right', 'absent', 'stale');
      const op = fc.record({ key, expectation, text: fc.option(fc.string({ maxLength: 8 }), { nil: undefined }) });
      const step = fc.oneof(
        { weight: 8, arbitrary: fc.uniqueArray(op, { selector: (o) => o.key, minLength: 1, maxLength: 3 }) },
        { weight: 1, arbitrary: fc.record({ compact: fc.nat(100) }) },
        { weight: 1, arbitrary: fc.constant('reopen' as const) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          const fresh = await make();
          try {
            await agreesWithModel(fresh, steps);
          } finally {
            await fresh.dispose();
          }
        }),
        { numRuns: 40 },
      );
    });
  });
}

interface ModelOp {
  readonly key: string;
  readonly expectation: 'any' | 'right' | 'absent' | 'stale';
  readonly text: string | undefined;
}
type ModelStep = readonly ModelOp[] | { readonly compact: number } | 'reopen';
type ModelState = ReadonlyMap<string, { readonly text: string; readonly revision: number }>;

async function agreesWithModel(subject: StoreUnderTest, steps: readonly ModelStep[]): Promise<void> {
  let { store } = subject;
  const states: ModelState[] = [new Map()];
  const changes: unknown[][] = [];
  let compacted = 0;
  for (const step of steps) {
    const now = states.at(-1) ?? new Map<string, never>();
    if (step === 'reopen') {
      if (subject.reopen !== undefined) store = await subject.reopen();
    } else if ('compact' in step) {
      const revision = step.compact % states.length;
      await store.compact(revision);
      compacted = Math.max(compacted, revision);
    } else {
      const next = new Map(now);
      const revision = states.length;
      const made: unknown[][] = [];
      let refused: number | undefined;
      const ops = step.map(({ key, expectation, text }, index): StoreOp => {
        const current = now.get(key)?.revision ?? 0;
        const ifRevision = { any: undefined, right: current, absent: 0, stale: current + 1 }[expectation];
        const holds = ifRevision === undefined || (ifRevision === current && !(text === undefined && current === 0));
        if (!holds) refused ??= index;
        if (text !== undefined) next.set(key, { text, revision });
        else next.delete(key);
        if (text !== undefined || current > 0) made.push([revision, key, text, now.get(key)?.text]);
        return text === undefined ? remove(key, ifRevision) : put(key, text, ifRevision);
      });
      if (refused !== undefined) {
        await conflicts(store.commit(ops), refused, now.get(step[refused]?.key ?? '')?.revision);
      } else if (made.length === 0) {
        assert.equal(await store.commit(ops), states.length - 1);
      } else {
        assert.equal(await store.commit(ops), revision);
        states.push(next);
        changes.push(...made);
      }
    }
  }
  assert.equal(await store.revision(), states.length - 1);
  for (let revision = compacted; revision < states.length; revision++) {
    const { entries } = await store.list('', { atRevision: revision });
    const want = [...(states[revision] ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    assert.deepEqual(
      entries.map((entry) => [entry.key, textOf(entry.value), entry.revision]),
      want.map(([key, { text, revision: r }]) => [key, text, r]),
      `state at ${revision}`,
    );
  }
  const expected = changes.filter(([revision]) => (revision as number) > compacted);
  if (expected.length > 0) assert.deepEqual(told(await take(store, '', compacted, expected.length)), expected);
}
