import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import { parsePortPair, podPort } from '../../../cli/streams/ports.ts';
import type { ContainerState, Pod } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { PodStreams } from '../../../lib/client/pod-streams.ts';
import { aContainer, aPod, anRc, aService } from '../../support/builders.ts';
import { until } from '../../support/until.ts';
import { FakeClient, start, troupe, withFiles } from './run.ts';

interface Asked {
  readonly pod: string;
  readonly container?: string;
  readonly command?: readonly string[];
  readonly stdin: boolean;
  readonly tty?: boolean;
}

describe('cli: hands inside', () => {
  let client: FakeClient;
  let asked: Asked[];
  let typed: string;
  let sizes: object[];
  let exitCode: number | undefined;
  let streams: PodStreams;
  beforeEach(() => {
    client = new FakeClient();
    asked = [];
    typed = '';
    sizes = [];
    exitCode = 0;
    client.put('pods', aPod({ name: 'web-1', labels: { app: 'web' }, nodeName: 'n1' }));
    const process: PodStreams['exec'] = ({ pod, container }, wish) => {
      asked.push({ pod, ...(container === undefined ? {} : { container }), ...wish });
      return {
        output: (async function* () {
          if (wish.stdin) await until(() => typed.endsWith('.'), { what: 'the input' });
          yield { channel: 'stdout', data: Buffer.from('out\n') } as const;
          yield { channel: 'stderr', data: Buffer.from('err\n') } as const;
        })(),
        get exitCode() {
          return exitCode;
        },
        write: async (data) => void (typed += Buffer.from(data).toString()),
        endInput: () => void (typed += '.'),
        resize: (size) => sizes.push(size),
      };
    };
    const none = (): never => assert.fail('not asked for');
    streams = {
      ...{ logs: none, connect: none, readFiles: none, writeFiles: none, close: () => undefined },
      exec: process,
      attach: (target, wish, signal) => process(target, { ...wish, command: [], tty: false }, signal),
    };
  });

  let release: () => void;
  /** The same process, which begins to print when it is let go. */
  function held(exec: PodStreams['exec']): PodStreams['exec'] {
    const gate = new Promise<void>((resolve) => (release = resolve));
    return (...parts) => {
      const process = exec(...parts);
      const output = (async function* () {
        await gate;
        yield* process.output;
      })();
      return { ...process, output, exitCode: 0 };
    };
  }

  it('runs a command, shows its output and ends with its exit code', async () => {
    exitCode = 7;
    const said = await troupe(client, 'exec web-1 -c main -- ls -l --all', { streams });
    assert.deepEqual(said, { code: 7, out: 'out\n', err: 'err\n' });
    assert.deepEqual(asked, [
      { pod: 'web-1', container: 'main', command: ['ls', '-l', '--all'], stdin: false, tty: false },
    ]);
  });

  it('gives it input and a terminal', async () => {
    const resized = new Set<() => void>();
    let columns = 80;
    const size = () => ({ columns, rows: 24 });
    streams = { ...streams, exec: held(streams.exec.bind(streams)) };
    const running = start(client, 'exec -it web-1 -- sh', { streams, stdin: 'typed', isTerminal: true, size, resized });
    await until(() => resized.size === 1, { what: 'the terminal is watched' });
    columns = 100;
    for (const tell of resized) tell();
    release();
    assert.equal((await running.said).code, 0);
    assert.deepEqual([typed, asked[0]?.tty, resized.size], ['typed.', true, 0]);
    assert.deepEqual(sizes, [
      { columns: 80, rows: 24 },
      { columns: 100, rows: 24 },
    ]);
  });

  it('gives no terminal where there is none', async () => {
    const said = await troupe(client, 'exec -it web-1 -- sh', { streams, stdin: 'typed' });
    assert.match(said.err, /warning: -t: standard input is not a terminal/);
    assert.equal(asked[0]?.tty, false);
  });

  it('takes the best pod behind a controller or Service', async () => {
    client.put('pods', aPod({ name: 'web-0', labels: { app: 'web' } })); // has no node yet
    client.put('pods', aPod({ name: 'web-2', labels: { app: 'web' }, nodeName: 'n1', ready: false }));
    client.put('replicationcontrollers', anRc({ name: 'web' }));
    client.put('services', aService({ name: 'web' }));
    await troupe(client, 'exec rc/web -- true', { streams });
    await troupe(client, 'exec svc/web -- true', { streams });
    assert.deepEqual(
      asked.map(({ pod }) => pod),
      ['web-1', 'web-1'],
    );
  });

  it('takes the container of the annotation, or says which it takes', async () => {
    const containers = [aContainer({ name: 'main' }), aContainer({ name: 'side' })];
    client.put('pods', aPod({ name: 'two', nodeName: 'n1', spec: { containers } }));
    const annotations = { 'kubectl.kubernetes.io/default-container': 'side' };
    client.put('pods', aPod({ name: 'named', nodeName: 'n1', annotations, spec: { containers } }));
    const first = await troupe(client, 'exec two -- true', { streams });
    assert.match(first.err, /two has the containers main, side; taking main \(-c takes another\)/);
    assert.equal((await troupe(client, 'exec named -- true', { streams })).err, 'err\n');
    assert.deepEqual(
      asked.map(({ container }) => container),
      ['main', 'side'],
    );
    assert.match(
      (await troupe(client, 'exec two -c odd -- true', { streams })).err,
      /has no container "odd"; it has main, side/,
    );
  });

  it('attaches, and lets go without an exit code where the container runs on', async () => {
    exitCode = undefined;
    const said = await troupe(client, 'attach -t web-1', { streams });
    assert.equal(said.code, 0);
    assert.match(said.err, /warning: -t: container main has no terminal/);
    assert.deepEqual(asked[0]?.stdin, false);
  });

  describe('debug', () => {
    /** Says of the container that was added last what its node would say. */
    function tell(state: ContainerState): void {
      const pod = client.peek('pods', 'default/web-1');
      const name = pod?.spec.ephemeralContainers?.at(-1)?.name;
      assert.ok(pod !== undefined && name !== undefined);
      const status = { name, state, ready: false, restartCount: 0, image: 'box:1', imageID: 'x' };
      client.put('pods', { ...pod, status: { ...pod.status, ephemeralContainerStatuses: [status] } });
    }
    const added = (): unknown => client.peek('pods', 'default/web-1')?.spec.ephemeralContainers;
    const isAdded = (): Promise<unknown> => until(() => added() !== undefined, { what: 'the container is added' });

    it('adds a container to a pod, and says where its output is', async () => {
      const said = await troupe(client, 'debug web-1 --image box:1 -c look --target main -- ls -l', { streams });
      assert.deepEqual([said.code, said.out], [0, 'container look added to pod/web-1\n']);
      assert.match(said.err, /troupe logs web-1 -n default -c look -f/);
      assert.deepEqual(added(), [
        {
          ...{ name: 'look', image: 'box:1', command: ['ls', '-l'], targetContainerName: 'main' },
          ...{ stdin: false, tty: false },
        },
      ]);
      const [write] = client.writes;
      assert.deepEqual((write?.options as { subresource?: string }).subresource, 'ephemeralcontainers');
      const again = await troupe(client, 'debug web-1 --image box:1 -c look', { streams });
      assert.equal(again.code, 1);
      assert.match(again.err, /pod\/web-1 has a container "look" already/);
    });

    it('keeps what others add at the same time', async () => {
      let others = 2;
      client.beforeWrite = () => {
        const pod = client.peek('pods', 'default/web-1');
        if (pod === undefined || others-- <= 0) return;
        const ephemeralContainers = [...(pod.spec.ephemeralContainers ?? []), aContainer({ name: `other-${others}` })];
        client.put('pods', { ...pod, spec: { ...pod.spec, ephemeralContainers } });
      };
      assert.equal((await troupe(client, 'debug web-1 --image box:1 -c look', { streams })).code, 0);
      const names = (added() as readonly { name: string }[]).map(({ name }) => name);
      assert.deepEqual(names, ['other-1', 'other-0', 'look']);
    });

    it('waits for it, saying what for, and talks with it until it ends', async () => {
      exitCode = 5;
      const running = start(client, 'debug -it web-1 --image box:1 -- sh', {
        streams,
        stdin: 'typed',
        isTerminal: true,
      });
      await isAdded();
      tell({ waiting: { reason: 'ErrImagePull', message: 'no such image' } });
      tell({ running: { startedAt: '2026-01-01T00:00:00Z' } });
      const { code, out, err } = await running.said;
      assert.deepEqual([code, out, typed], [5, 'out\n', 'typed.']);
      assert.match(err, /has not started yet \(ErrImagePull: no such image\); waiting/);
      assert.match(asked[0]?.container ?? '', /^debugger-[a-z0-9]{5}$/);
    });

    it('shows what it has written where it ended before we could talk with it', async () => {
      streams = {
        ...streams,
        async *logs() {
          yield Buffer.from('all of it\n');
        },
      };
      const running = start(client, 'debug -i web-1 --image box:1 -- true', { streams, stdin: '' });
      await isAdded();
      tell({ terminated: { exitCode: 3 } });
      const { code, out } = await running.said;
      assert.deepEqual([code, out], [3, 'all of it\n']);
    });

    it('ends where the pod goes before it starts', async () => {
      const running = start(client, 'debug -i web-1 --image box:1', { streams, stdin: '' });
      await isAdded();
      client.remove('pods', 'default/web-1');
      const { code, err } = await running.said;
      assert.deepEqual([code, /pods "web-1" not found/.test(err)], [1, true], err);
    });
  });

  for (const line of [
    'exec',
    'debug web-1',
    'exec web-1',
    'exec web-1 --',
    'attach',
    'port-forward web-1',
    'port-forward web-1 x:80',
    'cp a',
    'cp a b',
    'cp p:/a q:/b',
  ]) {
    it(`refuses "${line}"`, async () => {
      assert.equal((await troupe(client, line, { streams })).code, 2);
    });
  }

  it('leads connections to the pod, one stream each, and goes on after one has failed', async () => {
    const echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    let fail = true;
    const seen: (readonly [string, number])[] = [];
    streams = {
      ...streams,
      connect(target, port) {
        seen.push([target.pod, port]);
        const socket = connect({ port: (echo.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
        const broken = fail;
        return {
          data: (async function* () {
            if (broken) throw new Error('the node is away');
            yield* socket as AsyncIterable<Uint8Array>;
          })(),
          write: async (data) => void socket.write(data),
          end: () => socket.end(),
        };
      },
    };
    const running = start(client, 'port-forward web-1 :8080', { streams });
    await until(() => running.out().includes('-> 8080'), { what: 'it listens' });
    const local = Number(/127\.0\.0\.1:(\d+) -> 8080/.exec(running.out())?.[1]);
    const ask = (text: string): Promise<string> =>
      new Promise((resolve) => {
        let got = '';
        const socket = connect({ port: local, host: '127.0.0.1', allowHalfOpen: true });
        socket.on('data', (data) => (got += data.toString()));
        socket.on('error', () => undefined);
        socket.once('close', () => {
          resolve(got);
        });
        socket.end(text);
      });
    assert.equal(await ask('lost'), '');
    assert.match(running.err(), /warning: a connection to port 8080 failed: the node is away/);
    fail = false;
    assert.equal(await ask('hello'), 'hello');
    assert.deepEqual(seen.at(-1), ['web-1', 8080]);
    running.interrupt();
    assert.equal((await running.said).code, 0);
    echo.close();
  });

  describe('cp', () => {
    /** A container with one folder, `/data`, that belongs to 7:8; and what has been written. */
    function withData(written: { folder: string; names: string[]; owner: string }[]): PodStreams {
      const archive = (name: string): AsyncIterable<Uint8Array> => {
        const pack = tar.pack();
        pack.entry({ name: `${name}/`, type: 'directory', uid: 7, gid: 8 });
        pack.entry({ name: `${name}/a` }, 'content of a');
        pack.finalize();
        return Readable.from(pack);
      };
      return {
        ...streams,
        readFiles: async (_target, path) => {
          if (path !== '/data') throw new ApiError('NotFound', `${path}: there is no such file or folder`);
          return { name: 'data', sizeBytes: 0, isFolder: true, tar: archive('data') };
        },
        writeFiles: async (_target, folder, source) => {
          const extract = tar.extract();
          Readable.from(source).pipe(extract);
          const names: string[] = [];
          let owner = '';
          for await (const entry of extract) {
            names.push(entry.header.name);
            owner = `${entry.header.uid}:${entry.header.gid}`;
            entry.resume();
          }
          written.push({ folder, names, owner });
        },
      };
    }

    it('copies out: into a folder that is there, under a new name, or the contents alone', () =>
      withFiles({ 'here/keep': '' }, async (folder) => {
        const copy = async (from: string, to: string): Promise<string> =>
          (await troupe(client, `cp ${from} ${join(folder, to)}`, { streams: withData([]) })).err;
        assert.equal(await copy('web-1:/data', 'here'), '');
        assert.equal(readFileSync(join(folder, 'here/data/a'), 'utf8'), 'content of a');
        assert.equal(await copy('web-1:/data', 'new'), '');
        assert.equal(readFileSync(join(folder, 'new/a'), 'utf8'), 'content of a');
        assert.equal(await copy('web-1:/data/.', 'here'), '');
        assert.equal(readFileSync(join(folder, 'here/a'), 'utf8'), 'content of a');
        assert.match(await copy('web-1:/data', 'none/new'), /none: there is no such folder here/);
        assert.match(await copy('web-1:/none', 'here'), /\/none: there is no such file or folder/);
        assert.match(await copy('web-9:/data', 'here'), /pods "web-9" not found in namespace "default"/);
      }));

    it('copies in: into a folder that is there or under a new name, with the owner of the folder', () =>
      withFiles({ 'tree/x': 'x', page: 'y' }, async (folder) => {
        const written: { folder: string; names: string[]; owner: string }[] = [];
        const copy = async (from: string, to: string): Promise<string> =>
          (await troupe(client, `cp ${join(folder, from)} ${to}`, { streams: withData(written) })).err;
        assert.equal(await copy('tree', 'web-1:/data'), '');
        assert.equal(await copy('page', 'web-1:/data/index.html'), '');
        assert.deepEqual(written, [
          { folder: '/data', names: ['tree/', 'tree/x'], owner: '7:8' },
          { folder: '/data', names: ['index.html'], owner: '7:8' },
        ]);
        assert.match(await copy('page', 'web-1:/none/x'), /\/none: there is no such folder in the container/);
        assert.match(await copy('none', 'web-1:/data'), /there is no such file or folder here/);
      }));
  });

  describe('ports', () => {
    const pairs = [
      ['80', { local: 80, remote: 80 }],
      ['8080:80', { local: 8080, remote: 80 }],
      [':80', { local: 0, remote: 80 }],
      [':http', { local: 0, remote: 'http' }],
      ['8080:web-ui', { local: 8080, remote: 'web-ui' }],
    ] as const;
    for (const [text, want] of pairs) it(`reads ${text}`, () => assert.deepEqual(parsePortPair(text), want));
    for (const text of ['', '0', '70000', 'http', 'a:80', '1:2:3', '80:', '8080:-'])
      it(`refuses "${text}"`, () => assert.throws(() => parsePortPair(text), { name: 'UsageError' }));

    const pod: Pod = aPod({ name: 'p', ports: [{ name: 'http', containerPort: 8000, protocol: 'TCP' }] });
    it('finds the port of a pod by name, and that of a Service by either', () => {
      assert.equal(podPort('http', pod, undefined), 8000);
      assert.equal(podPort(9, pod, undefined), 9);
      const service = aService({
        name: 's',
        ports: [
          { port: 80, name: 'front', targetPort: 'http' },
          { port: 81, targetPort: 7 },
        ],
      });
      assert.deepEqual(
        [podPort(80, pod, service), podPort('front', pod, service), podPort(81, pod, service)],
        [8000, 8000, 7],
      );
      assert.throws(() => podPort(82, pod, service), /service\/s has no port 82; it has 80 \(front\), 81/);
      assert.throws(() => podPort('odd', pod, undefined), /pod\/p has no port named "odd"/);
    });
  });
});
