import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NftProcess } from '../../../services/proxy/nftables/nft-process.ts';

/** A program called nft, first in the path, that writes down what it is given. */
describe('proxy/nft-process', () => {
  let folder: string;
  let nft: NftProcess;
  const path = process.env['PATH'];
  const given = (): string[] => readFileSync(join(folder, 'given'), 'utf8').trim().split('\n');
  const program = (staying: string): void => {
    const file = join(folder, 'nft');
    writeFileSync(
      file,
      `#!/bin/sh\nif [ "$1" = -i ]; then ${staying}\nelse cat >> ${folder}/given; echo >> ${folder}/given; echo alone >> ${folder}/given; fi\n`,
    );
    chmodSync(file, 0o755);
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-nft-'));
    writeFileSync(join(folder, 'given'), '');
    process.env['PATH'] = `${folder}:${path}`;
    nft = new NftProcess({ timeoutMs: 5_000 });
  });
  afterEach(() => {
    nft.close();
    process.env['PATH'] = path;
    rmSync(folder, { recursive: true, force: true });
  });

  const answering = (before: string): string =>
    `while read -r line; do case "$line" in describe*) echo "payload expression, datatype ipv4_addr";; *) echo "$line" >> ${folder}/given; ${before};; esac; done`;

  it('gives one process that stays each script as a line, which is a transaction', async () => {
    program(answering(':'));
    await nft.execute('add table ip a\nadd table ip b');
    await nft.execute('delete table ip a');
    assert.deepEqual(given(), ['add table ip a; add table ip b', 'delete table ip a']);
  });

  it('gives a long script a process of its own', async () => {
    program(answering(':'));
    const script = `add table ip ${'x'.repeat(70_000)}`;
    await nft.execute(script);
    assert.deepEqual(given(), [script, 'alone']);
  });

  it("rejects with nft's own words, and goes on with the same process", async () => {
    program(answering('echo "Error: No such file or directory" >&2'));
    await assert.rejects(nft.execute('delete table ip nobody'), /Error: No such file or directory/);
    await assert.rejects(nft.execute('delete table ip nobody'), /Error: No such file or directory/);
    assert(!given().includes('alone'));
  });

  it('gives each script a process of its own where the one that stays does not work', async () => {
    program('read -r line; exit 3');
    await assert.rejects(nft.execute('add table ip a'), /nft ended with code 3/);
    await assert.rejects(nft.execute('add table ip a'), /nft ended with code 3/);
    await nft.execute('add table ip a');
    assert.deepEqual(given(), ['add table ip a', 'alone']);
  });

  it('gives up on one that does not answer', async () => {
    program('cat > /dev/null');
    const impatient = new NftProcess({ timeoutMs: 100 });
    await assert.rejects(impatient.execute('add table ip a'), /did not answer within 100 ms/);
    impatient.close();
  });
});
