import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials, loadPackageDefinition, type Client as GrpcClient, type ClientDuplexStream } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { Client } from '../../lib/client/client.ts';
import type { TestCluster } from '../support/cluster.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { ended, image, residentMiB, StreamCluster } from '../support/stream-cluster.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();

describe(`e2e/streams: hands inside${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(90_000);
  let hands: StreamCluster;
  let cluster: TestCluster;
  let client: Client;
  let folder: string;

  before(async function () {
    if (why !== undefined) this.skip();
    this.timeout(120_000);
    hands = await StreamCluster.start(150);
    ({ cluster, client, folder } = hands);
    // A web server that only the pod itself may connect to.
    const serve =
      'mkdir -p /www/sub; echo hello > /www/index.html; echo one; echo two >&2; echo three; exec httpd -f -p 127.0.0.1:80 -h /www';
    await pod('web', { command: ['sh', '-c', serve], ports: [{ name: 'http', containerPort: 80 }] }, { app: 'web' });
    await pod('cat', { command: ['cat'], stdin: true });
    await running('web');
    await running('cat');
  });
  after(() => hands?.stop());

  const pod: StreamCluster['pod'] = (...args) => hands.pod(...args);
  const running: StreamCluster['running'] = (name) => hands.running(name);
  const start: StreamCluster['start'] = (...args) => hands.start(...args);
  const troupe: StreamCluster['troupe'] = (...args) => hands.troupe(...args);
  const sha = (data: Buffer): string => createHash('sha256').update(data).digest('hex');

  describe('troupe exec', () => {
    it('passes on the exit code, and keeps stdout and stderr apart', async () => {
      const ran = await troupe(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 42']);
      assert.deepEqual([ran.code, ran.out.toString(), ran.err], [42, 'out\n', 'err\n']);
      const missing = await troupe(['exec', 'web', '--', 'no-such-program']);
      assert.ok(missing.code === 126 || missing.code === 127, String(missing.code));
      assert.match(missing.err, /^cannot run "no-such-program": .*not found/);
    });

    it('gives the command what is piped in, all of it', async () => {
      const data = randomBytes(5 << 20);
      const back = await troupe(['exec', '-i', 'web', '--', 'cat'], data);
      assert.equal(back.code, 0, back.err);
      assert.equal(sha(back.out), sha(data));
      const early = await troupe(['exec', '-i', 'web', '--', 'head', '-c', '5'], data); // which stops reading
      assert.deepEqual([early.code, early.out.length], [0, 5]);
    });

    it('gives it a terminal of the size of ours', async () => {
      const line = `stty cols 97 rows 31; exec ${process.execPath} bin/troupe.js exec -it web -- sh -c 'sleep 1; stty size; tty; exit 3'`;
      const ran = await ended(start(['-qec', line, '/dev/null'], ['script']));
      assert.match(ran.out.toString(), /31 97\r*\n\/dev\/pts\/\d+\r*\n/);
      assert.equal(ran.code, 3);
    });

    it('says what is wrong', async () => {
      assert.match((await troupe(['exec', 'nobody', '--', 'true'])).err, /pods "nobody" not found/);
      assert.match(
        (await troupe(['exec', 'web', '-c', 'side', '--', 'true'])).err,
        /has no container "side"; it has main/,
      );
      assert.equal((await troupe(['exec', 'web'])).code, 2);
    });
  });

  describe('a client made of the .proto files', () => {
    type Exec = ClientDuplexStream<object, { frame: string; stdout?: Buffer; exit?: { code: number } }>;
    let grpc: GrpcClient & { Exec(options?: object): Exec };
    before(() => {
      const definition = loadSync('troupe/v1/services.proto', { includeDirs: ['proto'], keepCase: true, oneofs: true });
      const { troupe: packages } = loadPackageDefinition(definition) as unknown as {
        troupe: { v1: { Pods: new (address: string, creds: object) => typeof grpc } };
      };
      grpc = new packages.v1.Pods(cluster.server, credentials.createInsecure());
    });
    after(() => {
      grpc?.close();
    });
    const target = { namespace: 'default', pod: 'web' };

    it('runs a shell with a terminal, resizes it, and hears its exit code', async () => {
      const call = grpc.Exec();
      let text = '';
      let code: number | undefined;
      call.on('data', (reply: { stdout?: Buffer | null; exit?: { code: number } | null }) => {
        text += reply.stdout?.toString() ?? '';
        code = reply.exit?.code ?? code;
      });
      const over = new Promise((resolve) => call.once('status', resolve));
      call.write({ start: { target, command: ['sh'], stdin: true, tty: true } });
      for (const [columns, rows] of [
        [81, 25],
        [132, 50],
      ]) {
        call.write({ resize: { columns, rows } });
        await until(
          () => {
            call.write({ stdin: Buffer.from('stty size\n') });
            return text.includes(`${rows} ${columns}`);
          },
          { what: () => `${rows} ${columns} in ${JSON.stringify(text)}`, timeoutMs: 10_000, everyMs: 200 },
        );
      }
      call.write({ stdin: Buffer.from('exit 9\n') });
      assert.deepEqual(((await over) as { code: number }).code, 0);
      assert.equal(code, 9);
    });

    it('ends what it began with its deadline', async () => {
      const call = grpc.Exec({ deadline: Date.now() + 1_000 });
      call.on('data', () => undefined);
      call.on('error', () => undefined);
      const over = new Promise((resolve) => call.once('status', resolve));
      call.write({ start: { target, command: ['sleep', '98765'] } });
      assert.equal(((await over) as { code: number }).code, 4);
      const sleeps = async (): Promise<boolean> =>
        (await troupe(['exec', 'web', '--', 'ps'])).out.toString().includes('sleep 98765');
      await until(async () => !(await sleeps()), { what: 'the command ends', timeoutMs: 15_000 });
    });
  });

  it('attaches to what reads input, and lets go of it', async () => {
    const child = start(['attach', '-i', 'cat']);
    let text = '';
    child.stdout?.on('data', (part: Buffer) => (text += part.toString()));
    child.stdin?.write('hello\n');
    await until(() => text === 'hello\n', { what: 'what was typed comes back', timeoutMs: 10_000 });
    child.kill('SIGINT');
    await until(() => child.exitCode !== null, { what: 'troupe ends' });
    const { status } = (await client.get('pods', 'default/cat')) ?? {};
    assert.equal(status?.containerStatuses?.[0]?.restartCount, 0, 'the container runs on');
    assert.match((await troupe(['attach', '-i', 'web'])).err, /reads no input: its stdin is not set/);
  });

  it('closes the input of a stdinOnce container with its first caller, and of no other', async () => {
    await pod('once', { command: ['cat'], stdin: true, stdinOnce: true });
    await running('once');
    const typed = await troupe(['attach', '-i', 'once'], Buffer.from('all there is\n'));
    assert.equal(typed.out.toString(), 'all there is\n');
    const over = async () => (await client.get('pods', 'default/once'))?.status.containerStatuses?.[0];
    await until(async () => (await over())?.state?.terminated ?? (await over())?.lastState?.terminated, {
      what: 'cat came to the end of its input',
      timeoutMs: 15_000,
    });

    const first = await troupe(['attach', '-i', 'cat'], Buffer.from('a part\n'));
    assert.equal(first.out.toString(), 'a part\n');
    const still = await client.get('pods', 'default/cat');
    assert.equal(still?.status.containerStatuses?.[0]?.restartCount, 0, 'it waits for the next caller');
    assert.ok(still.status.containerStatuses[0].state?.running);
  });

  it('leads ports here into the pod, also behind a Service whose pod is replaced', async () => {
    const serve = (what: string): object => ({
      command: ['sh', '-c', `mkdir /www; echo ${what} > /www/index.html; exec httpd -f -p 127.0.0.1:80 -h /www`],
      ports: [{ name: 'http', containerPort: 80 }],
    });
    await pod('front-1', serve('first'), { app: 'front' });
    await client.create('services', {
      metadata: { name: 'front', namespace: 'default' },
      spec: { selector: { app: 'front' }, ports: [{ name: 'main', port: 8080, targetPort: 'http' }] },
    });
    await running('front-1');
    const child = start(['port-forward', 'svc/front', ':8080', ':main']);
    let text = '';
    child.stdout?.on('data', (part: Buffer) => (text += part.toString()));
    child.stderr?.on('data', (part: Buffer) => (text += part.toString()));
    await until(() => (text.match(/-> 80$/gm) ?? []).length === 2, {
      what: () => `two ports: ${text}`,
      timeoutMs: 10_000,
    });
    const ports = [...text.matchAll(/127\.0\.0\.1:(\d+) -> 80/g)].map(([, port]) => port);
    const get = async (port: string | undefined): Promise<string> =>
      (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5_000) })).text();
    await until(async () => (await get(ports[0])) === 'first\n', { what: 'the pod serves' });
    assert.deepEqual(await Promise.all([...ports, ...ports, ...ports].map(get)), Array(6).fill('first\n'));
    await pod('front-2', serve('second'), { app: 'front' });
    await running('front-2');
    await client.delete('pods', 'default/front-1', { gracePeriodSeconds: 1 });
    await until(async () => (await get(ports[0]).catch(() => '')) === 'second\n', {
      what: () => `the other pod: ${text}`,
      timeoutMs: 20_000,
    });
    assert.match((await troupe(['port-forward', 'svc/front', '1:77'])).err, /has no port 77; it has 8080 \(main\)/);
    assert.match((await troupe(['port-forward', 'svc/front', `${ports[0]}:8080`])).err, /the port is taken/);
    cluster.kill('apiserver');
    await until(async () => (await get(ports[1]).catch(() => '')) === 'second\n', {
      what: () => `the apiserver to be back, and the way with it: ${text}`,
      timeoutMs: 30_000,
    });
    child.kill('SIGINT');
    await until(() => child.exitCode !== null, { what: 'troupe ends' });
    await until(() => client.get('pods', 'default/web').catch(() => undefined), { what: 'the API', timeoutMs: 30_000 });
  });

  describe('troupe logs', () => {
    const logs = async (...args: string[]): Promise<string> => (await troupe(['logs', ...args])).out.toString();

    it('shows all, the last, from a time on, so much, with times, of the run before', async () => {
      await pod('talker', { command: ['sh', '-c', 'echo one; sleep 1; echo two; echo three; exec sleep 10000'] });
      await running('talker');
      await until(async () => (await logs('talker')) === 'one\ntwo\nthree\n', {
        what: 'three lines',
        timeoutMs: 15_000,
      });
      assert.equal(await logs('talker', '--tail', '1'), 'three\n');
      assert.equal(await logs('talker', '--limit-bytes', '5'), 'one\nt');
      const timed = await logs('talker', '--timestamps');
      assert.match(timed, /^\d{4}-\d\d-\d\dT[\d:.]+Z one\n/);
      const second = timed.split('\n')[1]?.split(' ')[0] ?? '';
      assert.equal(await logs('talker', '--since-time', second), 'two\nthree\n');
      assert.equal(await logs('talker', '--since', '1h'), 'one\ntwo\nthree\n');
      const id = (await client.get('pods', 'default/talker'))?.status.containerStatuses?.[0]?.containerID ?? '';
      await hands.docker.getContainer(id.replace('docker://', '')).kill();
      await until(
        async () => (await client.get('pods', 'default/talker'))?.status.containerStatuses?.[0]?.restartCount === 1,
        {
          what: 'the restart',
          timeoutMs: 20_000,
        },
      );
      assert.equal(await logs('talker', '--previous'), 'one\ntwo\nthree\n');
    });

    it('follows, and names the pods of a selector on each line', async () => {
      await pod('a', { command: ['sh', '-c', 'echo from a; exec sleep 10000'] }, { of: 'many' });
      await pod('b', { command: ['sh', '-c', 'echo from b; exec sleep 10000'] }, { of: 'many' });
      await running('a');
      await running('b');
      await until(async () => (await logs('-l', 'of=many')) === '[a] from a\n[b] from b\n', { what: 'their lines' });
      const child = start(['logs', '-f', '-l', 'of=many']);
      let text = '';
      child.stdout?.on('data', (part: Buffer) => (text += part.toString()));
      await until(() => text.includes('from a') && text.includes('from b'), { what: 'both', timeoutMs: 10_000 });
      await pod('c', { command: ['sh', '-c', 'echo from c; exec sleep 10000'] }, { of: 'many' });
      await until(() => text.includes('[c] from c'), { what: () => `the third in ${text}`, timeoutMs: 30_000 });
      child.kill('SIGINT');
      await until(() => child.exitCode !== null, { what: 'troupe ends' });
      assert.equal(child.exitCode, 0);
    });
  });

  describe('when the agent is killed', () => {
    it('logs -f goes on, and also with the next life of the container, line by line', async () => {
      const count = 'i=0; while :; do echo line $i; i=$((i+1)); usleep 20000; done';
      await pod('counter', { command: ['sh', '-c', count] });
      await running('counter');
      const child = start(['logs', '-f', 'counter']);
      let text = '';
      let notes = '';
      child.stdout?.on('data', (part: Buffer) => (text += part.toString()));
      child.stderr?.on('data', (part: Buffer) => (notes += part.toString()));
      const lines = (): readonly string[] => text.split('\n').slice(0, -1);
      const more = async (count: number): Promise<unknown> => {
        const before = lines().length;
        return until(() => lines().length >= before + count, { what: () => `more lines: ${notes}`, timeoutMs: 30_000 });
      };
      await more(20);
      cluster.kill('node-agent');
      await until(() => notes.includes('broke off'), { what: 'the break is told', timeoutMs: 15_000 });
      await more(50);
      const id = (await client.get('pods', 'default/counter'))?.status.containerStatuses?.[0]?.containerID ?? '';
      await hands.docker.getContainer(id.replace('docker://', '')).kill();
      await until(() => lines().lastIndexOf('line 0') > 0, {
        what: () => `the next life: ${notes}`,
        timeoutMs: 30_000,
      });
      await more(20);
      child.kill('SIGINT');
      await until(() => child.exitCode !== null, { what: 'troupe ends' });
      const next = lines().lastIndexOf('line 0');
      const numbered = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `line ${at}`);
      assert.deepEqual(lines().slice(0, next), numbered(next), 'none lost, none doubled');
      assert.deepEqual(lines().slice(next), numbered(lines().length - next));
    });

    it('a command is ended, and its caller hears of it at once', async () => {
      const child = start(['exec', 'web', '--', 'sleep', '43210']);
      const ran = ended(child);
      const sleeps = async (): Promise<boolean> =>
        (await troupe(['exec', 'web', '--', 'ps'])).out.toString().includes('sleep 43210');
      await until(sleeps, { what: 'it runs', timeoutMs: 10_000 });
      cluster.kill('node-agent');
      const killedMs = performance.now();
      const { code, err } = await ran;
      const heardMs = performance.now() - killedMs;
      assert.ok(code !== 0 && heardMs < 15_000, `${heardMs} ms`);
      assert.match(err, /the agent of node "node-1" knows this stream no more; it may have been started anew/);
      await until(async () => !(await sleeps()), { what: 'the command is ended', timeoutMs: 20_000 });
      console.log(`      heard of after ${Math.round(heardMs)} ms, of which the agent took most to be back`);
    });
  });

  describe('troupe cp', () => {
    it('copies a folder there and back, with permissions, links and every byte', async () => {
      const from = join(folder, 'tree');
      mkdirSync(join(from, 'deep/er'), { recursive: true });
      const data = randomBytes(3 << 20);
      writeFileSync(join(from, 'deep/big'), data);
      writeFileSync(join(from, 'deep/er/tool'), '#!/bin/sh\necho it runs\n');
      chmodSync(join(from, 'deep/er/tool'), 0o755);
      writeFileSync(join(from, 'empty'), '');
      symlinkSync('deep/big', join(from, 'link'));
      const there = await troupe(['cp', from, 'web:/tmp']);
      assert.equal(there.code, 0, there.err);
      assert.equal((await troupe(['exec', 'web', '--', '/tmp/tree/deep/er/tool'])).out.toString(), 'it runs\n');
      const sum = await troupe(['exec', 'web', '--', 'sha256sum', '/tmp/tree/link']);
      assert.equal(sum.out.toString().split(' ')[0], sha(data));
      const back = join(folder, 'back');
      const again = await troupe(['cp', 'default/web:/tmp/tree', back]);
      assert.equal(again.code, 0, again.err);
      assert.ok(readFileSync(join(back, 'link')).equals(data));
      assert.equal(statSync(join(back, 'deep/er/tool')).mode & 0o777, 0o755);
      assert.equal(readFileSync(join(back, 'empty')).length, 0);
    });

    it('copies a file under another name, and out of a container that has ended', async () => {
      writeFileSync(join(folder, 'page'), 'new page\n');
      assert.equal((await troupe(['cp', join(folder, 'page'), 'web:/www/other.html'])).code, 0);
      assert.equal((await troupe(['exec', 'web', '--', 'cat', '/www/other.html'])).out.toString(), 'new page\n');
      await client.create('pods', {
        metadata: { name: 'done', namespace: 'default' },
        spec: {
          restartPolicy: 'Never',
          containers: [{ name: 'main', image, command: ['sh', '-c', 'echo result > /out'] }],
        },
      });
      await until(async () => (await client.get('pods', 'default/done'))?.status.phase === 'Succeeded', {
        what: 'the end of done',
        timeoutMs: 30_000,
      });
      const out = await troupe(['cp', 'done:/out', join(folder, 'result')]);
      assert.equal(out.code, 0, out.err);
      assert.equal(readFileSync(join(folder, 'result'), 'utf8'), 'result\n');
    });

    it('reaches into volumes, also where the rest can only be read', async () => {
      await client.create('pods', {
        metadata: { name: 'keeper', namespace: 'default' },
        spec: {
          terminationGracePeriodSeconds: 1,
          volumes: [
            { name: 'disk', emptyDir: {} },
            { name: 'memory', emptyDir: { medium: 'Memory' } },
          ],
          containers: [
            {
              ...{ name: 'main', image, command: ['sleep', '10000'] },
              securityContext: { readOnlyRootFilesystem: true },
              volumeMounts: [
                { name: 'disk', mountPath: '/disk' },
                { name: 'memory', mountPath: '/memory' },
              ],
            },
          ],
        },
      });
      await running('keeper');
      for (const place of ['disk', 'memory']) {
        const there = await troupe(['cp', join(folder, 'page'), `keeper:/${place}/page`]);
        assert.equal(there.code, 0, there.err);
        assert.equal((await troupe(['exec', 'keeper', '--', 'cat', `/${place}/page`])).out.toString(), 'new page\n');
        const back = await troupe(['cp', `keeper:/${place}/page`, join(folder, `from-${place}`)]);
        assert.equal(back.code, 0, back.err);
        assert.equal(readFileSync(join(folder, `from-${place}`), 'utf8'), 'new page\n');
      }
      assert.match(
        (await troupe(['cp', join(folder, 'page'), 'keeper:/etc/page'])).err,
        /\/etc\/page: it can only be read/,
      );
    });

    it('says what is not there', async () => {
      assert.match((await troupe(['cp', 'web:/none', folder])).err, /\/none: there is no such file or folder/);
      assert.match(
        (await troupe(['cp', join(folder, 'none'), 'web:/tmp'])).err,
        /there is no such file or folder here/,
      );
      assert.match(
        (await troupe(['cp', join(folder, 'page'), 'web:/none/at/all'])).err,
        /\/none\/at: there is no such folder/,
      );
      assert.equal((await troupe(['cp', 'web:/a', 'web:/b'])).code, 2);
    });
  });

  describe('much', function () {
    this.timeout(300_000);
    /** A GiB with TROUPE_TEST_LONG=1; otherwise enough to see what grows with it. */
    const size = (process.env['TROUPE_TEST_LONG'] ?? '') === '' ? 256 << 20 : 2 ** 30;
    const never = new AbortController().signal;
    const target = { namespace: 'default', pod: 'web' };
    const exec = (command: readonly string[], stdin = false) =>
      hands.streams.exec(target, { command, stdin, tty: false }, never);

    /** How fast the engine gives the same output to whoever asks it directly. */
    async function bare(bytes: number): Promise<number> {
      const id = (await client.get('pods', 'default/web'))?.status.containerStatuses?.[0]?.containerID ?? '';
      const container = hands.docker.getContainer(id.replace('docker://', ''));
      const made = await container.exec({ Cmd: ['head', '-c', String(bytes), '/dev/zero'], AttachStdout: true });
      const started = performance.now();
      let count = 0;
      for await (const part of (await made.start({})) as AsyncIterable<Buffer>) count += part.length;
      assert.ok(count >= bytes);
      return Math.round(bytes / 2 ** 20 / ((performance.now() - started) / 1000));
    }

    it('out of a container neither holds others up nor fills any memory', async () => {
      const told = await hands.watched(target, size, async () => {
        const process = exec(['head', '-c', String(size), '/dev/zero']);
        let count = 0;
        for await (const { data } of process.output) count += data.length;
        assert.equal(count, size);
        assert.equal(process.exitCode, 0);
      });
      console.log(`      out: ${told}; the engine alone, at another time: ${await bare(256 << 20)} MiB/s`);
    });

    it('into a container neither holds others up nor fills any memory', async () => {
      const told = await hands.watched(target, size, async () => {
        const process = exec(['wc', '-c'], true);
        const part = Buffer.alloc(1 << 20);
        const sending = (async () => {
          for (let sent = 0; sent < size; sent += part.length) await process.write(part);
          process.endInput();
        })();
        let text = '';
        for await (const { data } of process.output) text += Buffer.from(data).toString();
        await sending;
        assert.equal(text, `${size}\n`);
      });
      console.log(`      in: ${told}`);
    });

    const memory = (): number =>
      ['apiserver', 'node-agent'].reduce((sum, part) => sum + (residentMiB(cluster.part(part).pid) ?? 0), 0);

    it('is held back by a reader that takes nothing', async () => {
      const before = memory();
      const process = exec(['cat', '/dev/zero']);
      const reading = process.output[Symbol.asyncIterator]();
      await reading.next();
      let count = 0;
      await until(async () => ++count > 20, { what: 'two seconds', everyMs: 100, timeoutMs: 10_000 });
      assert.ok(memory() - before < 60);
      await reading.return?.();
    });
  });
});
