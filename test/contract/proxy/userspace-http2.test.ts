import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  connect,
  constants,
  createServer,
  type ClientHttp2Session,
  type Http2Server,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import { backendOf, UserspaceProxy } from '../../support/userspace-proxy.ts';
import { until } from '../../support/until.ts';

interface Answer {
  readonly headers: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly trailers: IncomingHttpHeaders;
  readonly text: string;
  readonly code: number;
}

/** HTTP/2 without TLS, by stream, with real servers and clients on the loopback interface. */
describe('proxy contract: HTTP/2 by request', function () {
  this.timeout(60_000);
  let proxy: UserspaceProxy;
  const servers = new Set<Http2Server>();
  const sessions = new Set<ServerHttp2Session>();
  const clients = new Set<ClientHttp2Session>();
  const h2c = { carriage: { byRequest: true } };

  const serving = async (
    onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  ): Promise<Http2Server> => {
    const server = createServer();
    servers.add(server);
    server.on('session', (session) => {
      sessions.add(session);
      session.on('close', () => sessions.delete(session));
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      onStream(stream, headers);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const named = (...names: readonly string[]): Promise<Http2Server[]> =>
    Promise.all(
      names.map((name) =>
        serving((stream) => {
          stream.respond({ ':status': 200 });
          stream.end(name);
        }),
      ),
    );
  const client = (): ClientHttp2Session => {
    const session = connect(proxy.url);
    session.on('error', () => undefined);
    clients.add(session);
    return session;
  };
  const ask = (session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}, body?: string): Promise<Answer> =>
    new Promise((resolve) => {
      const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
      let [text, answer, trailers]: [string, Answer['headers'], IncomingHttpHeaders] = ['', {}, {}];
      stream.on('response', (received) => (answer = received));
      stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
      stream.setEncoding('latin1').on('data', (part: string) => (text += part));
      stream.on('error', () => undefined);
      stream.on('close', () => resolve({ headers: answer, trailers, text, code: stream.rstCode }));
      if (body !== undefined) stream.end(body);
    });

  beforeEach(async () => {
    proxy = await UserspaceProxy.start();
  });
  afterEach(async () => {
    for (const session of [...clients, ...sessions]) session.destroy();
    clients.clear();
    await proxy.close();
    await Promise.all([...servers].map((server) => new Promise((resolve) => server.close(resolve))));
    servers.clear();
  });

  it('gives each stream of one connection its own backend, in turn', async () => {
    await proxy.serve({ backends: (await named('a', 'b', 'c')).map(backendOf), ...h2c });
    const session = client();
    const answers = await Promise.all(Array.from({ length: 30 }, () => ask(session)));
    for (const name of ['a', 'b', 'c']) assert.equal(answers.filter(({ text }) => text === name).length, 10);
    assert.equal(proxy.rules.connections, 1);
    assert.equal(sessions.size, 3);
  });

  describe('where requests may wait for an endpoint', () => {
    const holding = (holdSeconds: number) => ({ carriage: { byRequest: true, holdSeconds } });

    it('lets streams of one connection wait side by side, with their bodies', async () => {
      await proxy.serve({ backends: [], ...holding(60) });
      const session = client();
      const answers = [0, 10, 100_000].map((bytes) =>
        ask(session, { ':method': 'POST' }, bytes === 0 ? undefined : 'x'.repeat(bytes)),
      );
      await proxy.active(3);
      const server = await serving((stream) => {
        let bytes = 0;
        stream.on('data', (part: Buffer) => (bytes += part.length));
        stream.on('end', () => {
          stream.respond({ ':status': 200 });
          stream.end(String(bytes));
        });
      });
      await proxy.serve({ backends: [backendOf(server)], ...holding(60) });
      assert.deepEqual(
        (await Promise.all(answers)).map(({ text }) => text),
        ['0', '10', '100000'],
      );
      assert.equal(sessions.size, 1);
      await proxy.active(0);
    });

    it('answers 503, and callers of gRPC with UNAVAILABLE, when the time is over', async () => {
      await proxy.serve({ backends: [], ...holding(1) });
      const session = client();
      const [plain, call] = await Promise.all([
        ask(session),
        ask(session, { ':method': 'POST', 'content-type': 'application/grpc' }, 'x'),
      ]);
      assert.equal(plain.headers[':status'], 503);
      assert.match(plain.text, /the Service has no endpoint for this request/);
      assert.equal(call.headers['grpc-status'], '14');
      await proxy.active(0);
    });

    it('forgets a stream that its client ends, and not the others of the connection', async () => {
      await proxy.serve({ backends: [], ...holding(60) });
      const session = client();
      const kept = ask(session);
      const left = session.request({ ':path': '/' });
      left.on('error', () => undefined);
      await proxy.active(2);
      left.close(constants.NGHTTP2_CANCEL);
      await proxy.active(1);
      await proxy.serve({ backends: (await named('a')).map(backendOf), ...holding(60) });
      assert.equal((await kept).text, 'a');
    });
  });

  it('passes fields, bodies and trailers on both ways, and adds who asks', async () => {
    const server = await serving((stream, headers) => {
      let text = '';
      let trailers: IncomingHttpHeaders = {};
      stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
      stream.setEncoding('latin1').on('data', (part: string) => (text += part));
      stream.on('end', () => {
        stream.additionalHeaders({ ':status': 103, link: '</a>' });
        stream.respond({ ':status': 201, 'set-cookie': ['a=1', 'b=2'] }, { waitForTrailers: true });
        stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': String(trailers['x-part']) }));
        stream.end(`${String(headers[':authority'])} ${String(headers['x-forwarded-for'])} ${text}`);
      });
    });
    await proxy.serve({ backends: [backendOf(server)], ...h2c });
    const stream = client().request(
      { ':method': 'POST', ':path': '/', ':authority': 'web', 'x-forwarded-for': '192.0.2.9' },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-part': '7' }));
    let early: unknown;
    stream.on('headers', (headers: IncomingHttpHeaders) => (early = headers['link']));
    stream.end('hello');
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & IncomingHttpStatusHeader];
    let text = '';
    let trailers: IncomingHttpHeaders = {};
    stream.on('trailers', (received: IncomingHttpHeaders) => (trailers = received));
    stream.setEncoding('latin1').on('data', (part: string) => (text += part));
    await once(stream, 'end');
    assert.equal(text, 'web 192.0.2.9, 127.0.0.1 hello');
    assert.deepEqual([headers[':status'], headers['set-cookie'], early], [201, ['a=1', 'b=2'], '</a>']);
    assert.equal(trailers['x-sum'], '7');
  });

  it('lets streams under way end and opens no new ones when a backend leaves; the client notices nothing', async () => {
    const held: ServerHttp2Stream[] = [];
    const slow = await serving((stream) => void held.push(stream));
    let goaway = false;
    slow.on('session', (session: ServerHttp2Session) => session.on('goaway', () => (goaway = true)));
    const [quick] = await named('quick');
    assert(quick !== undefined);
    await proxy.serve({ backends: [backendOf(slow)], ...h2c });
    const session = client();
    const pending = ask(session);
    await until(() => held.length > 0, { what: 'the stream is under way' });
    await proxy.serve({ backends: [backendOf(quick)], ...h2c });
    for (let i = 0; i < 5; i++) assert.equal((await ask(session)).text, 'quick');
    held[0]?.respond({ ':status': 200 });
    held[0]?.end('slow');
    assert.equal((await pending).text, 'slow');
    await until(() => goaway && sessions.size === 1, {
      what: 'the connection to the backend that left is closed in order',
    });
    assert(!session.closed);
  });

  it('tells clients to go (GOAWAY) when the last backend leaves, after their streams', async () => {
    const held: ServerHttp2Stream[] = [];
    const slow = await serving((stream) => void held.push(stream));
    await proxy.serve({ backends: [backendOf(slow)], ...h2c });
    const session = client();
    const pending = ask(session);
    await until(() => held.length > 0, { what: 'the stream is under way' });
    await proxy.serve({ backends: [], ...h2c });
    await until(() => session.closed, { what: 'GOAWAY' });
    held[0]?.respond({ ':status': 200 });
    held[0]?.end('slow');
    assert.equal((await pending).text, 'slow');
    await until(() => session.destroyed, { what: 'the connection ends' });
  });

  it('asks another backend for what one refused, whatever it was', async () => {
    const refuser = await serving((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM));
    const [alive] = await named('alive');
    assert(alive !== undefined);
    await proxy.serve({ backends: [backendOf(refuser), backendOf(alive)], ...h2c });
    const session = client();
    for (let i = 0; i < 6; i++) assert.equal((await ask(session, { ':method': 'POST' }, 'body')).text, 'alive');
  });

  it('asks another backend when one dies, where asking twice is harmless', async () => {
    const dying = await serving((stream) => stream.session?.destroy());
    const [alive] = await named('alive');
    assert(alive !== undefined);
    await proxy.serve({ backends: [backendOf(dying), backendOf(alive)], ...h2c });
    const session = client();
    for (let i = 0; i < 6; i++) assert.equal((await ask(session)).text, 'alive');
    const posts = [];
    for (let i = 0; i < 4; i++) posts.push((await ask(session, { ':method': 'POST' }, 'x')).headers[':status']);
    assert.deepEqual(posts.toSorted(), [200, 200, 502, 502]);
  });

  it('never makes a whole of an answer that was broken off', async () => {
    const server = await serving((stream) => {
      stream.respond({ ':status': 200 });
      stream.write('some', () => stream.destroy(new Error('broken off')));
    });
    await proxy.serve({ backends: [backendOf(server)], ...h2c });
    const { text, code } = await ask(client());
    assert.deepEqual([text, code], ['some', constants.NGHTTP2_INTERNAL_ERROR]);
  });

  it('never makes a whole of a request that was broken off', async () => {
    const heard: string[] = [];
    const server = await serving((stream) => {
      for (const event of ['data', 'end', 'aborted', 'close']) stream.on(event, () => heard.push(event));
    });
    await proxy.serve({ backends: [backendOf(server)], ...h2c });
    const stream = client().request({ ':method': 'POST', ':path': '/' });
    stream.on('error', () => undefined);
    stream.write('half');
    await until(() => heard.includes('data'), { what: 'the first half arrives' });
    stream.destroy(new Error('broken off'));
    await until(() => heard.includes('close'), { what: 'the backend hears of it' });
    assert(heard.includes('aborted'), heard.join());
  });

  it('breaks off at the backend what a client breaks off', async () => {
    let [code, arrived]: [number | undefined, boolean] = [undefined, false];
    const server = await serving((stream) => {
      arrived = true;
      stream.on('close', () => (code = stream.rstCode));
    });
    await proxy.serve({ backends: [backendOf(server)], ...h2c });
    const stream = client().request({ ':path': '/' });
    stream.on('error', () => undefined);
    await until(() => arrived, { what: 'the stream arrives' });
    stream.close(constants.NGHTTP2_CANCEL);
    await until(() => code === constants.NGHTTP2_CANCEL, { what: 'the backend hears of it' });
  });

  it('holds a fast sender to the pace of a slow reader, and other streams go on meanwhile', async () => {
    let received = 0;
    const held: ServerHttp2Stream[] = [];
    const server = await serving((stream, headers) => {
      if (headers[':path'] === '/upload') return void held.push(stream);
      stream.respond({ ':status': 200 });
      stream.end('quick');
    });
    await proxy.serve({ backends: [backendOf(server)], ...h2c });
    const session = client();
    const size = 24 * 2 ** 20;
    const upload = session.request({ ':method': 'POST', ':path': '/upload' });
    let sent = 0;
    const pump = (): void => {
      while (sent < size) {
        sent += 65_536;
        if (!upload.write(Buffer.alloc(65_536))) return void upload.once('drain', pump);
      }
      upload.end();
    };
    pump();
    let last = -1;
    await until(() => sent === last || ((last = sent), false), { what: 'the sender is held', everyMs: 200 });
    assert(sent < size / 2, `${sent} bytes were taken while nobody read`);
    assert.equal((await ask(session)).text, 'quick');
    held[0]
      ?.on('data', (part: Buffer) => (received += part.length))
      .on('end', () => {
        held[0]?.respond({ ':status': 200 }, { endStream: true });
      });
    await until(() => received === size, { what: 'all of it arrives', timeoutMs: 40_000 });
  });

  describe('with gRPC', () => {
    const bytes = (said: string): Buffer => Buffer.from(said);
    const text = {
      requestSerialize: bytes,
      requestDeserialize: String,
      responseSerialize: bytes,
      responseDeserialize: String,
    };
    const made: grpc.Server[] = [];
    const backend = async (name: string): Promise<{ server: grpc.Server; address: string }> => {
      const server = new grpc.Server();
      made.push(server);
      const definition: grpc.ServiceDefinition = {
        one: { path: '/test/one', requestStream: false, responseStream: false, ...text },
        echo: { path: '/test/echo', requestStream: true, responseStream: true, ...text },
      };
      server.addService(definition, {
        one: (call: grpc.ServerUnaryCall<string, string>, done: grpc.sendUnaryData<string>) =>
          call.request === 'bad' ? done({ code: grpc.status.NOT_FOUND, details: 'none' }) : done(null, name),
        echo: (call: grpc.ServerDuplexStream<string, string>) => {
          call.on('data', (said: string) => call.write(`${name}:${said}`)).on('end', () => call.end());
        },
      });
      const port = await new Promise<number>((resolve, reject) =>
        server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        ),
      );
      return { server, address: `127.0.0.1:${port}` };
    };
    const one = (channel: grpc.Client, said: string): Promise<string> =>
      new Promise((resolve, reject) =>
        channel.makeUnaryRequest('/test/one', bytes, String, said, (error, value) =>
          error === null ? resolve(value ?? '') : reject(error),
        ),
      );
    after(() => made.forEach((server) => server.forceShutdown()));

    it('balances calls, streams both ways and says how calls ended', async () => {
      const [a, b] = [await backend('a'), await backend('b')];
      await proxy.serve({ backends: [a.address, b.address], ...h2c });
      const channel = new grpc.Client(`127.0.0.1:${proxy.port}`, grpc.credentials.createInsecure());
      const names = await Promise.all(Array.from({ length: 10 }, () => one(channel, 'hi')));
      assert.equal(names.filter((name) => name === 'a').length, 5);
      await assert.rejects(one(channel, 'bad'), { code: grpc.status.NOT_FOUND, details: 'none' });
      const call = channel.makeBidiStreamRequest<string, string>('/test/echo', bytes, String);
      const heard: string[] = [];
      call.on('data', (said: string) => heard.push(said.slice(2)));
      for (const said of ['1', '2', '3']) {
        call.write(said);
        await until(() => heard.includes(said), { what: `the answer to ${said}` });
      }
      call.end();
      await once(call, 'end');
      channel.close();
    });

    it('loses no call while servers are replaced', async () => {
      let old = await backend('0');
      await proxy.serve({ backends: [old.address], ...h2c });
      const channel = new grpc.Client(`127.0.0.1:${proxy.port}`, grpc.credentials.createInsecure());
      let [served, stop] = [0, false];
      const failures: unknown[] = [];
      const callers = Array.from({ length: 4 }, async () => {
        while (!stop)
          await one(channel, 'hi').then(
            () => served++,
            (error: unknown) => failures.push(error),
          );
      });
      for (let i = 1; i <= 5; i++) {
        const next = await backend(String(i));
        const before = served;
        await proxy.serve({ backends: [next.address], ...h2c });
        await new Promise<void>((resolve) => old.server.tryShutdown(() => resolve()));
        await until(() => served > before + 100, { what: 'calls go on', timeoutMs: 30_000 });
        old = next;
      }
      stop = true;
      await Promise.all(callers);
      assert.deepEqual(failures, []);
      channel.close();
    });

    it('answers as gRPC when nobody is there', async () => {
      await proxy.serve({ backends: ['127.0.0.1:1'], ...h2c });
      const channel = new grpc.Client(`127.0.0.1:${proxy.port}`, grpc.credentials.createInsecure());
      await assert.rejects(one(channel, 'hi'), { code: grpc.status.UNAVAILABLE });
      channel.close();
    });
  });
});
