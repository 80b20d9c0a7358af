/**
 * A process that writes to a store as fast as it can until it is killed, and says on stdout what was acknowledged:
 * `ack <revision> <writer> <number>` a line. Each writer rewrites two keys of its own in one commit, so that half a
 * commit would show as two different numbers; now and then it deletes and compacts.
 */
import { LmdbStore } from '../../services/apiserver/store/lmdb.ts';

const [folder = '', writers = '32'] = process.argv.slice(2);
const store = new LmdbStore({ folder, historyEveryMs: 20, history: { maxAgeMs: 200, maxBytes: 2 ** 20 } });
const filler = 'x'.repeat(300);

async function write(writer: number): Promise<void> {
  const last = await store.get(`w/${writer}/a`);
  let n = last === undefined ? 0 : Number(Buffer.from(last.value).toString().split(' ')[0]);
  for (;;) {
    n++;
    const value = Buffer.from(`${n} ${filler}`);
    const revision = await store.commit([
      { key: `w/${writer}/a`, value },
      { key: `w/${writer}/b`, value: n % 7 === 0 ? undefined : value },
    ]);
    process.stdout.write(`ack ${revision} ${writer} ${n}\n`);
  }
}

process.stdout.write('ready\n');
for (let writer = 0; writer < Number(writers); writer++) void write(writer);
