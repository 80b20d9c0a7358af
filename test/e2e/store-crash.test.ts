import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import { LmdbStore } from '../../services/apiserver/store/lmdb.ts';
import type { StoreChange } from '../../services/apiserver/store/store.ts';

/** `TROUPE_CRASH_ROUNDS=1000` for the long form. */
const rounds = Number(process.env['TROUPE_CRASH_ROUNDS'] ?? 30);
const writers = 32;

/** The writer in one file, made once: a process that is killed 30 times should start quickly. */
const program = join(import.meta.dirname, `../../node_modules/.cache/troupe/store-writer-${process.pid}.mjs`);

const buildProgram = (): Promise<unknown> =>
  build({
    entryPoints: [join(import.meta.dirname, '../support/store-writer.ts')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['lmdb', '@opentelemetry/api'],
  });

interface Acknowledged {
  /** By writer: the last number that was acknowledged. */
  readonly numbers: Map<number, number>;
  revision: number;
}

/** Lets a process write and kills it at a random moment, in the middle of whatever it does. */
async function writeUntilKilled(folder: string, acknowledged: Acknowledged): Promise<number> {
  const child = spawn(process.execPath, [program, folder, String(writers)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let acks = 0;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [word, ...numbers] = line.split(' ');
      if (word === 'ready') setTimeout(() => child.kill('SIGKILL'), Math.random() * 120);
      const [revision, writer, n] = numbers.map(Number);
      if (word !== 'ack' || revision === undefined || writer === undefined || n === undefined) continue;
      acks++;
      acknowledged.revision = Math.max(acknowledged.revision, revision);
      acknowledged.numbers.set(writer, n);
    }
  } finally {
    child.kill('SIGKILL');
    await exited;
  }
  return acks;
}

/** What the store says of each writer must be what was acknowledged or later, and whole. */
async function check(folder: string, acknowledged: Acknowledged): Promise<void> {
  const store = new LmdbStore({ folder });
  try {
    const revision = await store.revision();
    assert.ok(
      revision >= acknowledged.revision,
      `revision ${revision} after ${acknowledged.revision} was acknowledged`,
    );
    const { entries } = await store.list('w/');
    const numberOf = (key: string): number | undefined => {
      const entry = entries.find((each) => each.key === key);
      return entry === undefined ? undefined : Number(Buffer.from(entry.value).toString().split(' ')[0]);
    };
    for (const [writer, n] of acknowledged.numbers) {
      const [a, b] = [numberOf(`w/${writer}/a`), numberOf(`w/${writer}/b`)];
      assert.ok(a !== undefined && a >= n, `writer ${writer}: ${a} is there, ${n} was acknowledged`);
      assert.equal(b, a % 7 === 0 ? undefined : a, `writer ${writer}: half a commit`);
    }
    await checkHistory(store, revision);
  } finally {
    await store.close();
  }
}

/** What history tells is whole: every revision, in order, each step following from the one before. */
async function checkHistory(store: LmdbStore, revision: number): Promise<void> {
  const { compactedRevision } = await store.history();
  if (compactedRevision === revision) return;
  const abort = new AbortController();
  const changes: StoreChange[] = [];
  for await (const batch of store.watch('', compactedRevision, abort.signal)) {
    changes.push(...batch);
    if (changes.at(-1)?.revision === revision) abort.abort();
  }
  const seen = [...new Set(changes.map((change) => change.revision))];
  assert.deepEqual(
    seen,
    Array.from({ length: revision - compactedRevision }, (_, i) => compactedRevision + 1 + i),
  );
  const last = new Map<string, Uint8Array | undefined>();
  for (const { key, value, previous } of changes) {
    if (last.has(key)) assert.deepEqual(previous, last.get(key), `${key}: what was replaced is what was told before`);
    last.set(key, value);
  }
  for (const [key, value] of last) assert.deepEqual((await store.get(key))?.value, value, key);
}

describe('store, killed in the middle of a write load', function () {
  this.timeout(rounds * 10_000);

  before(buildProgram);
  after(() => rm(program, { force: true }));

  it(`loses no acknowledged commit and leaves no half of one, ${rounds} times`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'troupe-crash-'));
    const acknowledged: Acknowledged = { numbers: new Map(), revision: 0 };
    let acks = 0;
    try {
      for (let round = 0; round < rounds; round++) {
        acks += await writeUntilKilled(folder, acknowledged);
        await check(folder, acknowledged);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
    assert.ok(acks > rounds, `only ${acks} commits were acknowledged before the kills`);
  });
});
