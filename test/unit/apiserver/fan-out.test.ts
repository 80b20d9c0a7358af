import assert from 'node:assert/strict';
import { setMaxListeners } from 'node:events';
import fc from 'fast-check';
import { hasReason } from '../../../lib/base/errors.ts';
import { newFanOut, portions, type Topic } from '../../../services/apiserver/door/fan-out.ts';
import type { Registry, WatchBatch } from '../../../services/apiserver/registry/registry.ts';
import { until } from '../../support/until.ts';

type Change = WatchBatch['changes'][number];
const change = (revision: number, bytes = 10): Change => ({
  type: 'MODIFIED',
  served: { json: Buffer.alloc(bytes, 48), revision },
});
const batch = (...revisions: number[]): WatchBatch => ({
  revision: revisions.at(-1) ?? 0,
  changes: revisions.map((revision) => change(revision)),
});

/** A registry whose watch tells what a test pushes; a watch starts with the pushed batches after its revision. */
class PushedWatch {
  readonly #past: WatchBatch[] = [];
  readonly #wakes = new Set<() => void>();
  open = 0;
  failure: Error | undefined;

  push(...batches: WatchBatch[]): void {
    this.#past.push(...batches);
    for (const wake of this.#wakes) wake();
  }

  fail(error: Error): void {
    this.failure = error;
    for (const wake of this.#wakes) wake();
  }

  readonly registry = {
    watch: (_resource: string, _selection: object, from: number, signal: AbortSignal) => this.#watch(from, signal),
  } as unknown as Registry;

  async *#watch(from: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    this.open++;
    try {
      for (let next = 0; !signal.aborted;) {
        const found = this.#past[next];
        if (found !== undefined) {
          next++;
          const changes = found.changes.filter(({ served }) => served.revision > from);
          if (found.revision > from) yield { revision: found.revision, changes };
          continue;
        }
        if (this.failure !== undefined) throw this.failure;
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            this.#wakes.delete(wake);
            signal.removeEventListener('abort', wake);
            resolve();
          };
          this.#wakes.add(wake);
          signal.addEventListener('abort', wake);
        });
      }
    } finally {
      this.open--;
    }
  }
}

let encodings = 0;
const topic: Topic = {
  resource: 'pods',
  selection: {},
  form: 'test',
  encode(found) {
    encodings++;
    return Buffer.from(JSON.stringify([found.revision, found.changes.map(({ served }) => served.revision)]));
  },
};
type Told = [through: number, revisions: number[]];
const told = (bytes: Buffer): Told => JSON.parse(bytes.toString()) as Told;

describe('apiserver: fan-out of watches', () => {
  let source: PushedWatch;
  let aborting: AbortController;
  beforeEach(() => {
    source = new PushedWatch();
    aborting = new AbortController();
    setMaxListeners(0, aborting.signal);
    encodings = 0;
  });
  afterEach(() => {
    aborting.abort();
  });

  const read = (fanOut: ReturnType<typeof newFanOut>, from: number, into: Told[]): Promise<void> =>
    (async () => {
      for await (const bytes of fanOut.read(topic, from, aborting.signal)) into.push(told(bytes));
    })();

  it('encodes once for all readers, and lets go with the last', async () => {
    const fanOut = newFanOut(source.registry);
    const readers: Told[][] = Array.from({ length: 50 }, () => []);
    const work = readers.map((into) => read(fanOut, 0, into));
    source.push(batch(1, 2), batch(3));
    await until(() => readers.every((into) => into.at(-1)?.[0] === 3), { what: 'all readers are told' });
    assert.equal(encodings, 2);
    assert.equal(fanOut.topics, 1);
    aborting.abort();
    await Promise.all(work);
    assert.equal(fanOut.topics, 0);
    await until(() => source.open === 0, { what: 'the watch is released' });
  });

  it('tells every reader each change after its start exactly once, wherever it starts', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 12 }),
        fc.array(fc.nat(30), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(200, 600, 100_000),
        async (sizes, starts, maxBytes) => {
          const pushed = new PushedWatch();
          const stop = new AbortController();
          setMaxListeners(0, stop.signal);
          const fanOut = newFanOut(pushed.registry, { maxBytes });
          let revision = 0;
          const batches = sizes.map((size) => batch(...Array.from({ length: size }, () => ++revision)));
          const runs = starts.map((start, index) => {
            const run = { start, seen: [] as number[], failure: undefined as unknown, work: Promise.resolve() };
            run.work = (async () => {
              for await (const bytes of fanOut.read(topic, start, stop.signal)) run.seen.push(...told(bytes)[1]);
            })().catch((error: unknown) => {
              run.failure = error;
            });
            pushed.push(...batches.splice(0, index + 1));
            return run;
          });
          pushed.push(...batches);
          const isOver = (run: (typeof runs)[number]): boolean =>
            run.failure !== undefined || run.start >= revision || run.seen.at(-1) === revision;
          await until(() => runs.every(isOver), { what: 'all readers are told' });
          stop.abort();
          await Promise.all(runs.map((run) => run.work));
          for (const { start, seen, failure } of runs) {
            const wanted = Array.from({ length: Math.max(0, revision - start) }, (_, index) => start + index + 1);
            assert.deepEqual(seen, failure === undefined ? wanted : wanted.slice(0, seen.length));
            assert.ok(
              failure === undefined || (hasReason(failure, 'Expired') && maxBytes < 1_000),
              (failure as Error)?.stack,
            );
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('does not take a reader of a long history for a slow one', async () => {
    const fanOut = newFanOut(source.registry, { maxBytes: 2_000 });
    source.push(...Array.from({ length: 500 }, (_, index) => batch(index + 1)));
    const seen: Told[] = [];
    void read(fanOut, 0, seen);
    await until(() => seen.at(-1)?.[0] === 500, { what: 'the whole history' });
    assert.equal(seen.length, 500);
  });

  it('ends a reader that falls behind the bound, and no other', async () => {
    const fanOut = newFanOut(source.registry, { maxBytes: 1_000 });
    const slow = fanOut.read(topic, 0, aborting.signal);
    source.push(batch(1));
    await slow.next();
    const quick: Told[] = [];
    void read(fanOut, 1, quick);
    for (let revision = 2; revision < 40; revision++) {
      source.push(batch(revision));
      await until(() => quick.at(-1)?.[0] === revision, { what: `revision ${revision}` });
    }
    await assert.rejects(slow.next(), (error) => hasReason(error, 'Expired'));
  });

  it('loses nothing of a commit that is larger than a message', async () => {
    const fanOut = newFanOut(source.registry);
    const seen: Told[] = [];
    void read(fanOut, 5, seen);
    const big = Array.from({ length: 30 }, () => change(6, 100_000));
    source.push({ revision: 6, changes: big }, batch(7));
    await until(() => seen.at(-1)?.[0] === 7, { what: 'the next commit' });
    assert.equal(seen.flatMap(([, revisions]) => revisions).filter((revision) => revision === 6).length, 30);
    const through = seen.map(([revision]) => revision);
    assert.deepEqual(through, [5, 5, 6, 7]);
  });

  it('cuts batches so that the revision told is never ahead of the changes told', () => {
    const sized = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 1, max: 900_000 })), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(sized, (steps) => {
        let revision = 1;
        const changes = steps.map(([step, bytes]) => change((revision += step), bytes));
        const parts = [...portions({ revision: revision + 1, changes })];
        assert.deepEqual(
          parts.flatMap((part) => part.changes),
          changes,
        );
        assert.equal(parts.at(-1)?.revision, revision + 1);
        parts.forEach((part, index) => {
          const later = parts.slice(index + 1).flatMap((next) => next.changes);
          assert.ok(later.every(({ served }) => served.revision > part.revision));
        });
      }),
      { numRuns: 50 },
    );
  });

  it('passes the end of the watch on to all readers', async () => {
    const fanOut = newFanOut(source.registry);
    const work = [read(fanOut, 0, []), read(fanOut, 0, [])];
    source.fail(new Error('the disk is gone'));
    for (const each of work) await assert.rejects(each, (error) => hasReason(error, 'InternalError'));
    assert.equal(fanOut.topics, 0);
  });
});
