import assert from 'node:assert/strict';
import { Shell } from '../../../services/proxy/kernel/shell.ts';

describe('proxy/shell', () => {
  const shell = new Shell();
  after(() => shell.close());

  it('tells what a program says and how it ends, one after the other', async () => {
    const [first, second, third] = await Promise.all([
      shell.run('printf', ['%s|', "it's", 'two words', '$HOME', '']),
      shell.run('sh', ['-c', 'echo out; echo wrong >&2; exit 3']),
      shell.run('no-such-program', []),
    ]);
    assert.deepEqual([first.code, first.stdout], [0, "it's|two words|$HOME||"]);
    assert.deepEqual([second.code, second.stdout], [3, 'out\nwrong\n']);
    assert.equal(third.code, 127);
  });

  it('gives a program its input, and an end of input where there is none', async () => {
    assert.equal((await shell.run('cat', [], { input: 'one\ntwo' })).stdout, 'one\ntwo\n');
    assert.equal((await shell.run('cat', [])).stdout, '');
  });

  it('ends a program that takes too long, and starts anew for the next', async () => {
    await assert.rejects(shell.run('sleep', ['30'], { timeoutMs: 50 }), /longer than 50 ms/);
    assert.equal((await shell.run('echo', ['again'])).stdout, 'again\n');
  });

  it('carries answers of any size', async () => {
    const { stdout } = await shell.run('head', ['-c', '3000000', '/dev/zero']);
    assert.equal(stdout.length, 3_000_000);
  });
});
