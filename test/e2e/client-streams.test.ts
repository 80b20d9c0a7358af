import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Docker from 'dockerode';
import type { Client } from '../../lib/client/client.ts';
import { TestCluster, type Said } from '../support/cluster.ts';
import { importBusybox, whyNoDocker } from '../support/docker-engine.ts';
import { clientPrograms, runClient } from '../support/kubectl.ts';
import { libraryCases } from '../support/client-library-cases.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();
const image = 'troupe-test/busybox:1';

/** What kubectl is made to speak: WebSockets as it does by itself, or SPDY as it did before. */
const spoken = [
  { name: 'WebSockets', env: {} },
  { name: 'SPDY', env: { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' } },
] as const;

describe(`e2e/client-streams: streams of real clients into pods${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let cluster: TestCluster;
  let client: Client;
  let program: string;
  const folder = mkdtempSync(join(tmpdir(), 'troupe-client-streams-'));
  const children = new Set<ChildProcess>();

  before(async function () {
    if (why !== undefined) this.skip();
    this.timeout(300_000);
    program = clientPrograms().kubectl;
    cluster = await TestCluster.start(218);
    client = cluster.client();
    await importBusybox(new Docker({ socketPath: cluster.dockerSocket }), image);
    // Each connection to 8080 gets back what it sends; 8081 is a page; what `attach` says is written down by the first process.
    const serving =
      'nc -ll -p 8080 -e cat & mkdir /www; echo page >/www/index.html; httpd -p 8081 -h /www; echo ready;';
    await client.create('pods', {
      metadata: { name: 'web', namespace: 'default', labels: { app: 'web' } },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'main', image, stdin: true, command: ['sh', '-c', `${serving} cat`] }],
      },
    });
    const runs = async () => (await client.get('pods', 'default/web'))?.status.phase === 'Running';
    await until(runs, { what: 'the pod runs', timeoutMs: 60_000 });
  });
  after(async () => {
    for (const child of children) child.kill('SIGKILL');
    client?.close();
    await cluster?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  describe('the official JavaScript library', () => {
    libraryCases(() => cluster.kubeconfig);
  });

  const user = {
    get kubeconfig() {
      return cluster.kubeconfig;
    },
    home: folder,
  };
  const outputs = new WeakMap<ChildProcess, string>();
  const output = (child: ChildProcess): string => outputs.get(child) ?? '';
  /** Starts kubectl and goes on. */
  function start(args: readonly string[], env: Readonly<Record<string, string>>): ChildProcess {
    const all = { ...process.env, KUBECONFIG: cluster.kubeconfig, HOME: folder, ...env };
    const child = spawn(program, args, { env: all, stdio: ['pipe', 'pipe', 'pipe'] });
    children.add(child);
    child.once('exit', () => children.delete(child));
    const collect = (part: Buffer): void => void outputs.set(child, output(child) + part.toString());
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.stdin.on('error', () => undefined); // it may end without reading
    return child;
  }
  const gone = (child: ChildProcess): Promise<unknown> =>
    until(() => child.exitCode !== null || child.signalCode !== null, {
      what: 'the end of kubectl',
      timeoutMs: 10_000,
    });
  const raw = (args: readonly string[], env: Readonly<Record<string, string>>, input?: string): Promise<Said> =>
    runClient(program, args, { ...user, env, ...(input === undefined ? {} : { input }) });

  it('shows logs as they are asked for', async () => {
    const container = (name: string, command: string) => ({ name, image, command: ['sh', '-c', command] });
    await client.create('pods', {
      metadata: { name: 'said', namespace: 'default', labels: { app: 'said' } },
      spec: {
        ...{ restartPolicy: 'Never', terminationGracePeriodSeconds: 0 },
        containers: [container('one', 'echo first; echo second'), container('two', 'sleep 1; echo other')],
      },
    });
    const lines = async (...args: readonly string[]): Promise<readonly string[]> => {
      const said = await raw(['logs', ...args], {});
      assert.equal(said.code, 0, said.stderr);
      return said.stdout.trim().split('\n').sort();
    };
    // Followed from before its end to its end.
    const started = async (): Promise<boolean> => {
      const { containerStatuses = [] } = (await client.get('pods', 'default/said'))?.status ?? {};
      return containerStatuses.length === 2 && containerStatuses.every(({ state }) => state?.waiting === undefined);
    };
    await until(started, { what: 'both containers to start', timeoutMs: 30_000 });
    assert.deepEqual(await lines('-f', 'said', '-c', 'two'), ['other']);
    assert.deepEqual(await lines('said', '--all-containers'), ['first', 'other', 'second']);
    assert.deepEqual(await lines('-l', 'app=said', '-c', 'one', '--tail=1'), ['second']);
    assert.deepEqual(await lines('said', '-c', 'one', '--limit-bytes=5'), ['first']);
    assert.deepEqual(await lines('said', '-c', 'one', '--since=1h'), ['first', 'second']);
    assert.deepEqual(await lines('said', '-c', 'one', '--since-time=2999-01-01T00:00:00Z'), ['']);
    const [stamped = ''] = await lines('said', '-c', 'one', '--timestamps', '--since-time=2020-01-01T00:00:00Z');
    assert.match(stamped, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z first$/);
    const refused = await raw(['logs', 'said', '-c', 'one', '--previous'], {});
    assert.match(refused.stderr, /there is no run of container "one" of pod "default\/said" before this one/);
    assert.match((await raw(['logs', 'said', '-c', 'three'], {})).stderr, /three/);
  });

  it('passes requests on to pods and Services', async () => {
    const path = '/api/v1/namespaces/default/pods/web:8081/proxy/index.html';
    assert.equal((await raw(['get', '--raw', path], {})).stdout, 'page\n');
    assert.match((await raw(['get', '--raw', path.replace('index', 'none')], {})).stderr, /not found|NotFound|404/i);
    const child = start(['proxy', '--port=0'], {});
    const port = await until(() => /:(\d+)\n/.exec(output(child))?.[1], { what: 'the port', timeoutMs: 20_000 });
    const reply = await fetch(`http://127.0.0.1:${port}${path}`);
    assert.equal(await reply.text(), 'page\n');
    child.kill();
    await gone(child);
  });

  for (const { name, env } of spoken) {
    it(`runs commands over ${name}: both outputs, input to its end, exit codes`, async () => {
      const failed = await raw(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'], env);
      assert.deepEqual([failed.code, failed.stdout], [7, 'out\n']);
      assert.match(failed.stderr, /^err\n/);
      const much = 'x'.repeat(3_000_000);
      const echoed = await raw(['exec', '-i', 'web', '--', 'cat'], env, much);
      assert.equal(echoed.stderr, '');
      assert.ok(echoed.stdout === much, `${echoed.stdout.length} bytes came back`);
      const absent = await raw(['exec', 'web', '-c', 'side', '--', 'true'], env);
      assert.match(absent.stderr, /has no container "side"; choose one of: main/);
    });

    it(`gives commands over ${name} a terminal of the right size`, async () => {
      // `script` has a terminal for kubectl, of the size that it is given there.
      const waits = 'until [ "$(stty size)" = "23 91" ]; do sleep 0.1; done; echo resized; exit 3';
      const inside = `stty rows 23 cols 91; exec ${program} exec -it web -- sh -c '${waits}'`;
      const said = await runClient('script', ['-qec', inside, '/dev/null'], { ...user, env, input: '' });
      assert.deepEqual([said.code, /resized/.test(said.stdout)], [3, true], said.stdout);
    });

    it(`attaches over ${name} to what runs`, async () => {
      const child = start(['attach', '-i', 'web'], env);
      child.stdin?.write(`hello by ${name}\n`);
      await until(() => output(child).includes(`hello by ${name}\n`), { what: 'the echo', timeoutMs: 20_000 });
      child.kill();
      await gone(child);
    });

    it(`copies files both ways over ${name}`, async () => {
      const [from, back] = [join(folder, 'from'), join(folder, `back-${name}`)];
      writeFileSync(from, randomBytes(2_000_000));
      const there = await raw(['cp', from, 'web:/tmp/there'], env);
      assert.equal(there.code, 0, there.stderr);
      const here = await raw(['cp', 'web:/tmp/there', back], env);
      assert.equal(here.code, 0, here.stderr);
      assert.ok(readFileSync(back).equals(readFileSync(from)));
    });

    it(`forwards ports over ${name}: many connections, each way ended by itself, and one that nobody takes`, async () => {
      const child = start(['port-forward', 'pod/web', ':8080', ':8081', ':9'], env);
      const ports = await until(() => portsIn(output(child), 3), { what: 'three ports', timeoutMs: 20_000 });
      const [echo = 0, page = 0, closed = 0] = ports;
      const data = randomBytes(1_000_000);
      const answers = await Promise.all(Array.from({ length: 8 }, () => talk(echo, data)));
      for (const answer of answers) assert.ok(answer.equals(data), `${answer.length} bytes came back`);
      // Whoever ends first, all others go on.
      for (const endsFirst of [true, false]) {
        const html = await talk(page, Buffer.from('GET / HTTP/1.0\r\n\r\n'), { endsFirst });
        assert.match(html.toString(), /^HTTP\/1\.[01] 200 OK[\s\S]*page\n$/);
      }
      assert.ok((await talk(echo, data)).equals(data), output(child));
      assert.equal((await talk(closed, Buffer.from('x'))).length, 0);
      await until(() => output(child).includes('nothing listens there'), {
        what: () => `what went wrong in: ${output(child)}`,
        timeoutMs: 10_000,
      });
      child.kill();
      await gone(child);
    });
  }
});

/** The ports on this machine that kubectl says it forwards, in its order. */
function portsIn(output: string, count: number): readonly number[] | undefined {
  const found = [...output.matchAll(/from 127\.0\.0\.1:(\d+) -> (\d+)/g)].map(([, local]) => Number(local));
  return found.length === count ? found : undefined;
}

/** Sends all, ends unless the other end is to end first, and resolves to what came back until the other end ended too. */
function talk(port: number, data: Buffer, { endsFirst = true } = {}): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: '127.0.0.1', allowHalfOpen: endsFirst });
    const parts: Buffer[] = [];
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.on('error', () => undefined); // told by what is missing
    socket.on('close', () => {
      resolve(Buffer.concat(parts));
    });
    if (endsFirst) socket.end(data);
    else socket.write(data);
  });
}
