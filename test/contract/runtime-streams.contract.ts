import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import type { ContainerRuntime } from '../../node-agent/runtime/runtime.ts';
import type { RuntimeProcess } from '../../node-agent/runtime/streams.ts';
import { until } from '../support/until.ts';

export interface StreamsUnderTest {
  readonly runtime: ContainerRuntime;
  /** A container that runs; with `stdin`, one that gives back on stdout what it gets. */
  readonly container: (options?: { readonly stdin?: boolean }) => Promise<string>;
}

/** What may be relied on inside a running container; part of the runtime contract. */
export function streamCases(get: () => StreamsUnderTest): void {
  const never = new AbortController().signal;
  const shell = (script: string): readonly string[] => ['/bin/sh', '-c', script];

  it('gives a command its input and brings back its output and exit code', async () => {
    const { runtime, container } = get();
    const id = await container();
    const wish = { command: ['/bin/cat'], stdin: true, tty: false };
    const process = await runtime.startProcess(id, wish, never);
    await process.write(Buffer.from('one\n'));
    await process.write(Buffer.alloc(300_000, 'x'));
    process.endInput();
    assert.deepEqual(await read(process), { stdout: `one\n${'x'.repeat(300_000)}`, stderr: '' });
    assert.equal(await process.exitCode(), 0);
  });

  it('tells the exit code of a command without input', async () => {
    const { runtime, container } = get();
    const id = await container();
    const process = await runtime.startProcess(id, { command: shell('exit 7'), stdin: false, tty: false }, never);
    assert.deepEqual(await read(process), { stdout: '', stderr: '' });
    assert.equal(await process.exitCode(), 7);
  });

  it('tells a command with a terminal its size', async () => {
    const { runtime, container } = get();
    const id = await container();
    const script = 'stty -echo; echo ready; read x; stty size; exit 0';
    const process = await runtime.startProcess(id, { command: shell(script), stdin: true, tty: true }, never);
    assert.equal(process.tty, true);
    let text = '';
    const reading = (async () => {
      for await (const { data } of process.output) text += Buffer.from(data).toString();
    })();
    await process.resize(91, 37);
    await process.write(Buffer.from('go\n'));
    await until(() => text.includes('37 91'), { what: () => `the size in ${JSON.stringify(text)}`, timeoutMs: 10_000 });
    process.endInput();
    await reading;
  });

  it('ends a command whose caller has gone', async () => {
    const { runtime, container } = get();
    const id = await container();
    const leaving = new AbortController();
    const process = await runtime.startProcess(id, { command: ['/bin/cat'], stdin: true, tty: false }, leaving.signal);
    await process.write(Buffer.from('x'));
    const reading = read(process);
    leaving.abort();
    await reading;
  });

  it('attaches to what runs, and lets go of it without ending it', async () => {
    const { runtime, container } = get();
    const id = await container({ stdin: true });
    const leaving = new AbortController();
    const process = await runtime.attach(id, { stdin: true }, leaving.signal);
    let text = '';
    const reading = (async () => {
      for await (const { data } of process.output) text += Buffer.from(data).toString();
    })();
    await process.write(Buffer.from('hello\n'));
    await until(() => text === 'hello\n', { what: 'what was written comes back' });
    leaving.abort();
    await reading;
    assert.equal(await process.exitCode(), undefined);
    assert.equal((await runtime.inspect(id))?.state, 'running');
  });

  it('hears the answer to the last of its input, though the container reads on', async () => {
    const { runtime, container } = get();
    const id = await container({ stdin: true });
    const process = await runtime.attach(id, { stdin: true }, never);
    await process.write(Buffer.from('the last word\n'));
    process.endInput();
    assert.deepEqual(await read(process), { stdout: 'the last word\n', stderr: '' });
    assert.equal(await process.exitCode(), undefined);
    assert.equal((await runtime.inspect(id))?.state, 'running');
  });

  it('hears the end of what it is attached to', async () => {
    const { runtime, container } = get();
    const id = await container({ stdin: true });
    const process = await runtime.attach(id, { stdin: false }, never);
    const reading = read(process);
    await runtime.kill(id, 'SIGKILL');
    await reading;
    assert.equal(await process.exitCode(), 137);
  });

  it('says that a container does not run, or is not there', async () => {
    const { runtime, container } = get();
    const id = await container();
    const wish = { command: ['/bin/true'], stdin: false, tty: false };
    await runtime.kill(id, 'SIGKILL');
    await until(async () => (await runtime.inspect(id))?.state === 'exited', { what: 'it has ended' });
    await assert.rejects(runtime.startProcess(id, wish, never), { code: 'NotRunning' });
    await assert.rejects(runtime.attach(id, { stdin: false }, never), { code: 'NotRunning' });
    await assert.rejects(runtime.startProcess('f'.repeat(64), wish, never), { code: 'NotFound' });
    await assert.rejects(runtime.readFiles('f'.repeat(64), '/tmp', never), { code: 'NotFound' });
  });

  it('writes files and reads them again, a file and a folder', async () => {
    const { runtime, container } = get();
    const id = await container();
    const pack = tar.pack();
    pack.entry({ name: 'a.txt', mode: 0o640 }, 'first');
    pack.entry({ name: 'sub/b.txt' }, 'second');
    pack.finalize();
    await runtime.writeFiles(id, '/', Readable.from(pack), never);
    const file = await runtime.readFiles(id, '/a.txt', never);
    assert.deepEqual(
      { name: file.name, size: file.sizeBytes, folder: file.isFolder },
      { name: 'a.txt', size: 5, folder: false },
    );
    assert.deepEqual(await contents(file.tar), { 'a.txt': 'first' });
    const folder = await runtime.readFiles(id, '/sub', never);
    assert.equal(folder.isFolder, true);
    assert.deepEqual(await contents(folder.tar), { 'sub/b.txt': 'second' });
    await assert.rejects(runtime.readFiles(id, '/none', never), { code: 'NoSuchFile' });
  });
}

async function read(process: RuntimeProcess): Promise<{ stdout: string; stderr: string }> {
  const text = { stdout: '', stderr: '' };
  for await (const { channel, data } of process.output) text[channel] += Buffer.from(data).toString();
  return text;
}

async function contents(source: AsyncIterable<Uint8Array>): Promise<Record<string, string>> {
  const extract = tar.extract();
  Readable.from(source).pipe(extract);
  const found: Record<string, string> = {};
  for await (const entry of extract) {
    let text = '';
    for await (const part of entry) text += String(part);
    if (entry.header.type === 'file') found[entry.header.name] = text;
  }
  return found;
}
