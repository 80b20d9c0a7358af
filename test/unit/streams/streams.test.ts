import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import type { PodTarget } from '../../../lib/client/pod-streams.ts';
import { RuntimeError } from '../../../node-agent/runtime/runtime.ts';
import { StreamFixture } from '../../support/stream-fixture.ts';
import { until } from '../../support/until.ts';

const never = new AbortController().signal;
const of = (pod: string, container?: string): PodTarget => ({
  namespace: 'default',
  pod,
  ...(container === undefined ? {} : { container }),
});

async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  let all = '';
  for await (const part of source) all += Buffer.from(part).toString();
  return all;
}

describe('streams into pods, from a gRPC client to the engine and back', () => {
  let fixture: StreamFixture;
  beforeEach(async () => {
    fixture = await StreamFixture.start();
  });
  afterEach(() => fixture.stop());

  it('runs a command with input and tells its exit code', async () => {
    await fixture.pod('web');
    fixture.runtime.onExec = (_c, command) => ({ exitCode: command.length, output: 'ready\n', timedOut: false });
    const process = fixture.streams.exec(of('web'), { command: ['cat', '-'], stdin: true, tty: false }, never);
    await process.write(Buffer.from('in'));
    process.endInput();
    assert.equal(await text(outputOf(process.output)), 'ready\nin');
    assert.equal(process.exitCode, 2);
  });

  it('tells a terminal its size', async () => {
    await fixture.pod('web');
    const process = fixture.streams.exec(of('web'), { command: ['sh'], stdin: true, tty: true }, never);
    process.resize({ columns: 120, rows: 40 });
    process.resize({ columns: -1, rows: 40 });
    process.endInput();
    assert.equal(await text(outputOf(process.output)), '40 120\n');
  });

  it('brings 8 MB each way, whatever the bus loses', async () => {
    await fixture.pod('web');
    fixture.bus.dropEvery(9);
    fixture.agentBus.dropEvery(11);
    const process = fixture.streams.exec(of('web'), { command: ['cat'], stdin: true, tty: false }, never);
    const data = Buffer.alloc(8 << 20, 'abcdefghijk');
    const sending = process.write(data).then(() => {
      process.endInput();
    });
    const parts: Uint8Array[] = [];
    for await (const part of process.output) parts.push(part.data);
    await sending;
    assert.ok(Buffer.concat(parts).equals(data));
  }).timeout(30_000);

  it('ends the command when its caller leaves', async () => {
    await fixture.pod('web');
    const leaving = new AbortController();
    const process = fixture.streams.exec(of('web'), { command: ['cat'], stdin: true, tty: false }, leaving.signal);
    await process.write(Buffer.from('x'));
    const reading = text(outputOf(process.output));
    reading.catch(() => undefined);
    await until(() => fixture.runtime.calls.get('startProcess') === 1, { what: 'it runs' });
    leaving.abort();
    await assert.rejects(reading, { reason: 'Timeout' });
    await fixture.pod('again'); // and others go on
    assert.equal(await text(fixture.streams.logs(of('again'), {}, never)), '');
  });

  it('attaches where input is read, and refuses where it is not', async () => {
    await fixture.pod('reads', { stdin: true });
    await fixture.pod('deaf');
    const process = fixture.streams.attach(of('reads'), { stdin: true }, never);
    await process.write(Buffer.from('hello'));
    let heard = '';
    for await (const { data } of process.output) {
      heard += Buffer.from(data).toString();
      if (heard === 'hello') fixture.runtime.crash(fixture.idOf('reads', 'main'), 4);
    }
    assert.equal(heard, 'hello');
    assert.equal(process.exitCode, 4);
    await assert.rejects(text(outputOf(fixture.streams.attach(of('deaf'), { stdin: true }, never).output)), {
      reason: 'BadRequest',
      message: /reads no input: its stdin is not set/,
    });
  });

  it('reads logs: all, limited, followed, of the life before', async () => {
    const pod = await fixture.pod('web');
    const first = fixture.idOf('web', 'main');
    fixture.runtime.say(first, 'one');
    fixture.runtime.say(first, 'two');
    assert.equal(await text(fixture.streams.logs(of('web'), {}, never)), 'one\ntwo\n');
    assert.equal(await text(fixture.streams.logs(of('web'), { tailLines: 1 }, never)), 'two\n');
    assert.equal(await text(fixture.streams.logs(of('web'), { limitBytes: 5 }, never)), 'one\nt');
    await assert.rejects(text(fixture.streams.logs(of('web'), { previous: true }, never)), {
      reason: 'BadRequest',
      message: /there is no run of container "main" of pod "default\/web" before this one/,
    });
    fixture.runtime.crash(first, 1);
    const second = await fixture.run(pod, 'main', 1);
    fixture.runtime.say(second, 'three');
    assert.equal(await text(fixture.streams.logs(of('web'), { previous: true }, never)), 'one\ntwo\n');
    const following = text(fixture.streams.logs(of('web'), { follow: true }, never));
    fixture.runtime.say(second, 'four');
    await until(() => (fixture.runtime.calls.get('logs') ?? 0) >= 5, { what: 'it follows' });
    fixture.runtime.crash(second, 0);
    assert.equal(await following, 'three\nfour\n');
  });

  it('follows on where it was cut off, over the lives of the container since', async () => {
    const pod = await fixture.pod('web');
    const first = fixture.idOf('web', 'main');
    fixture.runtime.say(first, 'one');
    let position = '';
    let bytes = 0;
    let heard = '';
    const onPosition = (told: string): void => void ([position, bytes] = [told, 0]);
    const following = (async () => {
      for await (const chunk of fixture.streams.logs(of('web'), { follow: true }, never, onPosition)) {
        heard += Buffer.from(chunk).toString();
        bytes += chunk.length;
      }
    })();
    following.catch(() => undefined);
    await until(() => heard === 'one\n', { what: 'the first line' });
    fixture.runtime.say(first, 'two');
    await until(() => heard === 'one\ntwo\n', { what: 'the second line' });
    fixture.stopAgent();
    await assert.rejects(following, { reason: 'ServiceUnavailable' });
    fixture.runtime.say(first, 'three');
    fixture.runtime.crash(first, 1);
    const second = await fixture.run(pod, 'main', 1);
    fixture.runtime.say(second, 'four');
    fixture.startAgent();
    const after = `${position}+${bytes}`;
    assert.equal(await text(fixture.streams.logs(of('web'), { after }, never)), 'three\nfour\n');
    await assert.rejects(text(fixture.streams.logs(of('web'), { after, tailLines: 1 }, never)), {
      reason: 'BadRequest',
    });
    await assert.rejects(text(fixture.streams.logs(of('web'), { after: 'there' }, never)), {
      reason: 'BadRequest',
      message: /after "there" is not a position/,
    });
  });

  it('connects to ports of pods on the host network, and says when nobody listens', async () => {
    await fixture.pod('host', { hostNetwork: true });
    const server: Server = createServer((socket) => {
      socket.write('welcome\n');
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const connection = fixture.streams.connect(of('host'), port, never);
    await connection.write(Buffer.from('echo'));
    connection.end();
    assert.equal(await text(connection.data), 'welcome\necho');
    await new Promise((resolve) => server.close(resolve));
    await assert.rejects(text(fixture.streams.connect(of('host'), port, never).data), {
      reason: 'BadRequest',
      message: `no connection to port ${port} of pod "default/host": nothing listens there`,
    });
  });

  it('writes files and reads them again, also of a container that has ended', async () => {
    await fixture.pod('web');
    fixture.runtime.crash(fixture.idOf('web', 'main'), 1);
    await fixture.look();
    const pack = tar.pack();
    pack.entry({ name: 'd/a.txt' }, 'content');
    pack.finalize();
    await fixture.streams.writeFiles(of('web'), '/', Readable.from(pack), never);
    const files = await fixture.streams.readFiles(of('web'), '/d/a.txt', never);
    assert.deepEqual([files.name, files.sizeBytes, files.isFolder], ['a.txt', 7, false]);
    assert.match(await text(files.tar), /content/);
    await assert.rejects(fixture.streams.readFiles(of('web'), '/none', never), { reason: 'NotFound' });
    await assert.rejects(fixture.streams.readFiles(of('web'), 'a.txt', never), { message: /must be absolute/ });
    const broken = (async function* () {
      yield Buffer.alloc(10);
      throw new Error('the disk is gone');
    })();
    await assert.rejects(fixture.streams.writeFiles(of('web'), '/', broken, never), { message: 'the disk is gone' });
  });

  it('finds the container that is meant', async () => {
    await fixture.pod('two', { containers: ['main', 'side'] });
    await fixture.pod('named', {
      containers: ['main', 'side'],
      annotations: { 'kubectl.kubernetes.io/default-container': 'side' },
    });
    fixture.runtime.say(fixture.idOf('named', 'side'), 'from the side');
    assert.equal(await text(fixture.streams.logs(of('named'), {}, never)), 'from the side\n');
    assert.equal(await text(fixture.streams.logs(of('two', 'side'), {}, never)), '');
    await assert.rejects(text(fixture.streams.logs(of('two'), {}, never)), {
      reason: 'BadRequest',
      message: 'pod "default/two" has several containers: name one; choose one of: main, side',
    });
    await assert.rejects(text(fixture.streams.logs(of('two', 'third'), {}, never)), {
      message: /no container "third"/,
    });
  });

  describe('refuses, and says why', () => {
    const exec = (pod: string, command = ['true']): Promise<string> =>
      text(outputOf(fixture.streams.exec(of(pod), { command, stdin: false, tty: false }, never).output));

    it('what is not there, has no node, or has ended', async () => {
      await assert.rejects(exec('none'), { reason: 'NotFound', message: 'pods "none" not found' });
      await fixture.pod('waits', { node: '' });
      await assert.rejects(exec('waits'), { reason: 'BadRequest', message: /has no node yet/ });
      const done = await fixture.pod('done');
      await fixture.client.updateStatus('pods', { ...done, status: { ...done.status, phase: 'Succeeded' } });
      await assert.rejects(exec('done'), {
        reason: 'BadRequest',
        message: 'cannot run a command in pod "default/done": it has ended (Succeeded)',
      });
      assert.equal(await text(fixture.streams.logs(of('done'), {}, never)), '', 'its logs are still there');
    });

    it('a container that does not run', async () => {
      await fixture.pod('web');
      fixture.runtime.crash(fixture.idOf('web', 'main'), 9);
      await fixture.look();
      await assert.rejects(exec('web'), { reason: 'BadRequest', message: /does not run: it ended with exit code 9/ });
    });

    it('a container that has not started, with the reason that the pod tells', async () => {
      const waiting = { reason: 'ImagePullBackOff', message: 'no such image' };
      const containerStatuses = [
        { name: 'main', ready: false, restartCount: 0, image: 'x', imageID: '', state: { waiting } },
      ];
      await fixture.pod('new', { started: false, status: { containerStatuses } });
      const message = 'container "main" of pod "default/new" has not started yet (ImagePullBackOff: no such image)';
      await assert.rejects(exec('new'), { reason: 'BadRequest', message });
      await assert.rejects(text(fixture.streams.logs(of('new'), {}, never)), { reason: 'BadRequest', message });
      await assert.rejects(fixture.streams.readFiles(of('new'), '/x', never), { reason: 'BadRequest', message });
    });

    for (const { it: what, terminated, message } of [
      {
        it: 'a container that could not be started, with the words of the engine',
        terminated: { exitCode: 127, reason: 'ContainerCannotRun', message: 'exec: "no-such": not found' },
        message:
          /^container "main" of pod "default\/new" could not be started \(ContainerCannotRun: exec: "no-such": not found\)$/,
      },
      {
        it: 'a container whose only run was cleared away',
        terminated: { exitCode: 0, reason: 'Completed', startedAt: '2026-01-01T00:00:00Z' },
        message: /^container "main" of pod "default\/new" has ended, and its last run was cleared away \(Completed\)$/,
      },
    ])
      it(what, async () => {
        const containerStatuses = [
          { name: 'main', ready: false, restartCount: 0, image: 'x', imageID: '', state: { terminated } },
        ];
        await fixture.pod('new', { started: false, status: { containerStatuses } });
        await assert.rejects(text(fixture.streams.logs(of('new'), {}, never)), { reason: 'BadRequest', message });
      });

    it('no command, and wishes for logs that cannot be', async () => {
      await fixture.pod('web');
      await assert.rejects(exec('web', []), { reason: 'BadRequest', message: /start.command is required/ });
      const logs = (wish: object): Promise<string> => text(fixture.streams.logs(of('web'), wish, never));
      await assert.rejects(logs({ sinceTime: 'noon' }), { reason: 'BadRequest', message: /must be a time such as/ });
      await assert.rejects(logs({ sinceTime: '2026-01-01T00:00:00Z', sinceSeconds: 3 }), { message: /say the same/ });
      await assert.rejects(logs({ tailLines: -1 }), { message: /tailLines -1 must be/ });
    });

    it('a node whose agent is silent, an engine that is away, an apiserver without bus', async () => {
      await fixture.pod('lost', { node: 'n2' });
      await assert.rejects(exec('lost'), {
        reason: 'ServiceUnavailable',
        message: /agent of node "n2" does not listen/,
      });
      await fixture.pod('web');
      fixture.runtime.startProcess = () =>
        Promise.reject(new RuntimeError('Unavailable', 'the engine does not answer'));
      await assert.rejects(exec('web'), { reason: 'ServiceUnavailable', message: 'the engine does not answer' });
    });

    it('streams that were open when the agent stops', async () => {
      await fixture.pod('web');
      const process = fixture.streams.exec(of('web'), { command: ['cat'], stdin: true, tty: false }, never);
      const reading = text(outputOf(process.output));
      reading.catch(() => undefined);
      await until(() => fixture.runtime.calls.get('startProcess') === 1, { what: 'it runs' });
      fixture.stopAgent();
      await assert.rejects(reading, { reason: 'ServiceUnavailable', message: 'the agent of node "n1" is stopping' });
    });
  });
});

async function* outputOf(output: AsyncIterable<{ readonly data: Uint8Array }>): AsyncIterable<Uint8Array> {
  for await (const { data } of output) yield data;
}
