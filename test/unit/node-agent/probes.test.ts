import assert from 'node:assert/strict';
import { createServer as createHttp, type Server } from 'node:http';
import { createServer as createTcp, type AddressInfo } from 'node:net';
import { Server as GrpcServer, ServerCredentials, status as codes, type sendUnaryData } from '@grpc/grpc-js';
import type { Probe } from '../../../lib/api/objects.ts';
import { ContainerProbes } from '../../../node-agent/probes/container-probes.ts';
import { newChecker } from '../../../node-agent/probes/checks.ts';
import type { Outcome } from '../../../node-agent/probes/outcome.ts';
import { RuntimeError } from '../../../node-agent/runtime/runtime.ts';
import { aContainer } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const probe = (over: Partial<Probe> = {}): Probe => ({
  timeoutSeconds: 1,
  periodSeconds: 10,
  successThreshold: 1,
  failureThreshold: 3,
  ...over,
});

describe('node-agent/probes: when', () => {
  interface Seen {
    readonly clock: FakeClock;
    readonly tries: number[];
    readonly failures: string[];
    readonly probes: ContainerProbes;
    healthy: boolean;
    unknown: boolean;
  }
  function watch(
    probesOf: Partial<Record<'startupProbe' | 'readinessProbe' | 'livenessProbe', Probe>>,
    known = { started: false, ready: false },
    healthy = true,
  ): Seen {
    const clock = new FakeClock();
    const tries: number[] = [];
    const failures: string[] = [];
    const outcome = (): Outcome => ({ ok: seen.healthy, message: 'said so', unknown: seen.unknown });
    const seen: Seen = {
      ...{ clock, tries, failures, healthy, unknown: false },
      probes: undefined as never,
    };
    const probes = new ContainerProbes({
      target: { containerId: 'c', container: aContainer(probesOf), podIp: '127.0.0.1' },
      startedAtMs: clock.now(),
      known,
      check: async () => {
        tries.push(clock.monotonic());
        return outcome();
      },
      clock,
      onVerdict: () => undefined,
      onFailure: (kind) => failures.push(kind),
    });
    return Object.assign(seen, { probes });
  }

  it('keeps its verdict while the engine is away, and counts nothing of that time', async () => {
    const exec = probe({ periodSeconds: 1 });
    const seen = watch({ readinessProbe: exec, livenessProbe: exec });
    await seen.clock.advance(5_000);
    const before = seen.probes.verdict;
    assert.deepEqual(before, { started: true, ready: true, alive: true });
    Object.assign(seen, { healthy: false, unknown: true });
    await seen.clock.advance(60_000);
    assert.deepEqual(seen.probes.verdict, before);
    assert.deepEqual(seen.failures, []);
    seen.unknown = false;
    await seen.clock.advance(1_500);
    assert.deepEqual(seen.probes.verdict, before, 'what came before does not count');
    await seen.clock.advance(2_000);
    assert.deepEqual(seen.probes.verdict, { started: true, ready: false, alive: false });
  });

  it('says unknown of a command that the engine could not be asked for', async () => {
    const target = { containerId: 'c', container: aContainer({}), podIp: '127.0.0.1' };
    const outcomes = { Unavailable: true, NotFound: true, CannotStart: undefined } as const;
    for (const [code, unknown] of Object.entries(outcomes)) {
      const check = newChecker({ exec: () => Promise.reject(new RuntimeError(code as RuntimeError['code'], 'why')) });
      const outcome = await check({ exec: { command: ['true'] } }, target, 1_000);
      assert.deepEqual([outcome.ok, outcome.unknown], [false, unknown], code);
    }
  });

  it('is ready at the first success of the readiness probe, tried at once', async () => {
    const seen = watch({ readinessProbe: probe() });
    assert.deepEqual(seen.probes.verdict, { started: true, ready: false, alive: true });
    await seen.clock.advance(0);
    assert.deepEqual(seen.probes.verdict, { started: true, ready: true, alive: true });
    await seen.clock.advance(20_000);
    assert.deepEqual(seen.tries, [0, 10_000, 20_000]);
  });
  it('waits for initialDelaySeconds (F77)', async () => {
    const seen = watch({ livenessProbe: probe({ initialDelaySeconds: 30 }) });
    await seen.clock.advance(29_999);
    assert.deepEqual(seen.tries, []);
    await seen.clock.advance(2);
    assert.equal(seen.tries.length, 1);
  });
  it('tries a readiness probe ever less often, at least every 100 ms, until the first success, for one period', async () => {
    const seen = watch({ readinessProbe: probe({ periodSeconds: 1 }) }, undefined, false);
    await seen.clock.advance(3_500);
    assert.deepEqual(seen.tries.slice(0, 8), [0, 10, 20, 40, 80, 160, 260, 360]);
    assert.deepEqual(seen.tries.slice(-3), [1_060, 2_060, 3_060]);
    assert.equal(seen.failures.length, 3, 'what fails within the first period is no failure');
  });
  it('tries a command every 100 ms until then: it is the engine that pays', async () => {
    const seen = watch({ readinessProbe: probe({ periodSeconds: 1, exec: { command: ['true'] } }) }, undefined, false);
    await seen.clock.advance(350);
    assert.deepEqual(seen.tries, [0, 100, 200, 300]);
  });
  it('needs failureThreshold failures in a row to be unready, and successThreshold successes to be ready', async () => {
    const seen = watch({ readinessProbe: probe({ periodSeconds: 1, failureThreshold: 2, successThreshold: 2 }) });
    await seen.clock.advance(0);
    assert.equal(seen.probes.verdict.ready, false);
    await seen.clock.advance(1_000);
    assert.equal(seen.probes.verdict.ready, true);
    seen.healthy = false;
    await seen.clock.advance(1_000);
    assert.equal(seen.probes.verdict.ready, true);
    await seen.clock.advance(1_000);
    assert.equal(seen.probes.verdict.ready, false);
    assert.equal(seen.probes.verdict.alive, true, 'unready is not dead (F79)');
  });
  it('gives up a container after failureThreshold failures of its liveness probe, and stops asking', async () => {
    const seen = watch({ livenessProbe: probe({ periodSeconds: 2, initialDelaySeconds: 1 }) }, undefined, false);
    await seen.clock.advance(4_900);
    assert.equal(seen.probes.verdict.alive, true);
    await seen.clock.advance(200);
    assert.equal(seen.probes.verdict.alive, false);
    await seen.clock.advance(60_000);
    assert.equal(seen.tries.length, 3);
    assert.equal(seen.clock.pending, 0);
  });
  it('counts no failure of a liveness probe in the first second, and tells the first one only when it is not the last', async () => {
    const slow = watch({ livenessProbe: probe({ failureThreshold: 1 }) }, undefined, false);
    await slow.clock.advance(950);
    slow.healthy = true;
    await slow.clock.advance(60_000);
    assert.equal(slow.probes.verdict.alive, true);
    assert.deepEqual(slow.failures, [], 'it only took its time to listen');
    slow.probes.close();

    const never = watch({ livenessProbe: probe({ failureThreshold: 1 }) }, undefined, false);
    await never.clock.advance(1_200);
    assert.deepEqual([never.probes.verdict.alive, never.failures], [false, ['Liveness']]);

    const three = watch({ livenessProbe: probe({ periodSeconds: 10 }) }, undefined, false);
    await three.clock.advance(10_000);
    assert.deepEqual(three.failures, []);
    await three.clock.advance(1_200);
    assert.deepEqual(three.failures, ['Liveness'], 'it is told with the second failure');
    await three.clock.advance(10_000);
    assert.equal(three.probes.verdict.alive, false);

    const later = watch({ livenessProbe: probe({ periodSeconds: 10 }) });
    await later.clock.advance(1_000);
    later.healthy = false;
    await later.clock.advance(9_100);
    assert.deepEqual(later.failures, ['Liveness'], 'what was healthy once is told of at once');
    later.probes.close();
  });
  it('holds the others back until the startup probe has passed, and gives up when it never does', async () => {
    const seen = watch(
      {
        startupProbe: probe({ periodSeconds: 1, failureThreshold: 3 }),
        livenessProbe: probe({ periodSeconds: 1 }),
        readinessProbe: probe(),
      },
      undefined,
      false,
    );
    await seen.clock.advance(900);
    assert.deepEqual(seen.probes.verdict, { started: false, ready: false, alive: true });
    seen.healthy = true;
    await seen.clock.advance(200);
    assert.deepEqual(seen.probes.verdict, { started: true, ready: true, alive: true });
    seen.probes.close();

    const never = watch({ startupProbe: probe({ periodSeconds: 1, failureThreshold: 3 }) }, undefined, false);
    await never.clock.advance(6_000);
    assert.equal(never.probes.verdict.alive, false);
    assert.deepEqual(never.failures, ['Startup', 'Startup', 'Startup']);
  });
  it('goes on from what was known before', async () => {
    const seen = watch(
      { startupProbe: probe(), readinessProbe: probe({ periodSeconds: 1 }) },
      { started: true, ready: true },
      false,
    );
    assert.equal(seen.probes.verdict.ready, true);
    await seen.clock.advance(1_500);
    assert.equal(seen.probes.verdict.ready, true);
    await seen.clock.advance(1_000);
    assert.equal(seen.probes.verdict.ready, false);
  });
  it('leaves no timer behind', async () => {
    const seen = watch({ livenessProbe: probe(), readinessProbe: probe() });
    await seen.clock.advance(100);
    seen.probes.close();
    assert.equal(seen.clock.pending, 0);
  });
});

describe('node-agent/probes: what', () => {
  let server: Server;
  let port: number;
  let asked: { path: string | undefined; headers: NodeJS.Dict<string | string[]> }[];
  before(async () => {
    server = createHttp((request, response) => {
      asked.push({ path: request.url, headers: request.headers });
      const code = Number(/^\/(\d+)$/.exec(request.url ?? '')?.[1] ?? 200);
      if (request.url === '/hang') return;
      if (request.url === '/there') return void response.writeHead(302, { location: '/500' }).end();
      if (request.url === '/away') return void response.writeHead(302, { location: 'http://example.invalid/' }).end();
      if (request.url === '/endless') {
        response.writeHead(200);
        const feed = setInterval(() => response.write('x'.repeat(4096)), 5);
        return void response.once('close', () => {
          clearInterval(feed);
        });
      }
      if (request.url === '/loop') return void response.writeHead(302, { location: '/loop' }).end();
      if (code === 199) return void response.socket?.end('HTTP/1.1 600 odd\r\ncontent-length: 0\r\n\r\n');
      response.writeHead(code).end('a word about it');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    port = (server.address() as AddressInfo).port;
  });
  beforeEach(() => (asked = []));
  after(() => {
    server.closeAllConnections();
    server.close();
  });

  const check = newChecker({
    exec: async (_, command) => ({
      exitCode: command[0] === 'fail' ? 7 : 0,
      output: '',
      timedOut: command[0] === 'slow',
    }),
  });
  const target = (): Parameters<typeof check>[1] => ({
    containerId: 'c',
    container: aContainer({ ports: [{ name: 'http', containerPort: port, protocol: 'TCP' }] }),
    podIp: '127.0.0.1',
  });
  const amplyMs = 5_000;
  const get = (path: string, more: object = {}, timeoutMs = amplyMs) =>
    check({ httpGet: { path, port, scheme: 'HTTP', ...more } }, target(), timeoutMs);

  const statuses = [
    [200, true],
    [204, true],
    [302, true],
    [399, true],
    [400, false],
    [404, false],
    [500, false],
  ] as const;
  for (const [status, ok] of statuses) {
    it(`HTTP ${status} is ${ok ? 'healthy' : 'unhealthy'} (F74)`, async () => {
      const outcome = await get(`/${status}`);
      assert.equal(outcome.ok, ok);
      assert.match(outcome.message, new RegExp(String(status)));
    });
  }
  it('a server that does not answer in time is unhealthy, and the message says so', async () => {
    assert.match((await get('/hang', {}, 300)).message, /no answer from http:\/\/127\.0\.0\.1:\d+\/hang within 0\.3 s/);
  });
  it('does not wait for the end of an answer that has none', async () => {
    assert.deepEqual(await get('/endless'), { ok: true, message: 'HTTP 200' });
  });
  it('sends a header twice that is named twice', async () => {
    const httpHeaders = ['a', 'b'].map((value) => ({ name: 'X-Check', value }));
    await get('/200', { httpHeaders });
    assert.equal(asked[0]?.headers['x-check'], 'a, b');
  });
  it('follows redirects on the same host only, and not for ever', async () => {
    assert.equal((await get('/there')).ok, false);
    assert.equal((await get('/away')).ok, true);
    assert.deepEqual(await get('/loop'), {
      ok: false,
      message: `stopped after 10 redirects, the last one to http://127.0.0.1:${port}/loop`,
    });
    assert.ok(asked.length < 20);
  });
  it('sends the headers that were asked for, to a port by name', async () => {
    assert.equal((await get('/200', { port: 'http', httpHeaders: [{ name: 'X-Check', value: 'yes' }] })).ok, true);
    assert.equal(asked[0]?.headers['x-check'], 'yes');
    assert.match(String(asked[0]?.headers['user-agent']), /^kube-probe\//);
    assert.match((await get('/200', { port: 'nope' })).message, /no port named "nope"/);
  });
  it('TCP: open is healthy, closed is not (F75)', async () => {
    assert.equal((await check({ tcpSocket: { port } }, target(), amplyMs)).ok, true);
    const closed = createTcp();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port: free } = closed.address() as AddressInfo;
    await new Promise((resolve) => closed.close(resolve));
    assert.match((await check({ tcpSocket: { port: free } }, target(), amplyMs)).message, /ECONNREFUSED/);
  });
  it('exec: exit code 0 is healthy (F76)', async () => {
    assert.equal((await check({ exec: { command: ['true'] } }, target(), amplyMs)).ok, true);
    assert.match((await check({ exec: { command: ['fail'] } }, target(), amplyMs)).message, /exit code 7/);
    assert.match((await check({ exec: { command: ['slow'] } }, target(), 300)).message, /timed out after 0\.3 s/);
  });
});

describe('node-agent/probes: gRPC', () => {
  let server: GrpcServer;
  let port: number;
  let serving = 1;
  before(async () => {
    server = new GrpcServer();
    const type = {
      path: '/grpc.health.v1.Health/Check',
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Buffer) => value,
      requestDeserialize: (value: Buffer) => value,
      responseSerialize: (value: Buffer) => value,
      responseDeserialize: (value: Buffer) => value,
    };
    server.addService(
      { Check: type },
      {
        // The service's name is field 1 of the request, the status field 1 of the reply.
        Check: ({ request }: { request: Buffer }, reply: sendUnaryData<Buffer>) => {
          const service = request.subarray(2).toString();
          if (service === 'nobody') reply({ code: codes.NOT_FOUND, details: 'unknown service' });
          else if (service !== 'silent') reply(null, Buffer.from([0x08, service === 'sick' ? 2 : serving]));
        },
      },
    );
    port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
  });
  after(() => {
    server.forceShutdown();
  });

  const checker = newChecker({ exec: async () => ({ exitCode: 0, output: '', timedOut: false }) });
  const ask = (service?: string, at = port): Promise<Outcome> =>
    checker(
      { grpc: { port: at, ...(service === undefined ? {} : { service }) } },
      { containerId: 'c', container: aContainer(), podIp: '127.0.0.1' },
      500,
    );

  it('is healthy when the server, or the service, says SERVING', async () => {
    assert.deepEqual(await ask(), { ok: true, message: 'SERVING' });
    assert.deepEqual(await ask('shop.Cart'), { ok: true, message: 'SERVING' });
  });
  const refusals: readonly (readonly [string, RegExp])[] = [
    ['sick', /service "sick" answers NOT_SERVING/],
    ['nobody', /does not know the service "nobody"/],
    ['silent', /no answer from the gRPC health service at 127\.0\.0\.1:\d+ within 0\.5 s/],
  ];
  for (const [service, message] of refusals) {
    it(`is not healthy when ${service} is asked for, and says why`, async () => {
      const outcome = await ask(service);
      assert.equal(outcome.ok, false);
      assert.match(outcome.message, message);
    });
  }
  it('is not healthy where nobody listens, or where somebody else does', async () => {
    assert.match((await ask(undefined, 1)).message, /no gRPC server at 127\.0\.0\.1:1/);
    serving = 0;
    assert.match((await ask()).message, /"" \(the whole server\) answers UNKNOWN/);
    serving = 1;
  });
});
