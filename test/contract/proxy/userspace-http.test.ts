import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import { backendOf, UserspaceProxy } from '../../support/userspace-proxy.ts';
import { until } from '../../support/until.ts';

/** HTTP/1 by request, with real servers and clients on the loopback interface. */
describe('proxy contract: HTTP/1 by request', function () {
  this.timeout(60_000);
  let proxy: UserspaceProxy;
  const servers = new Set<Server | TcpServer>();
  const sockets = new Set<Socket>();
  const http = { carriage: { byRequest: true } };

  const listening = async <S extends Server | TcpServer>(server: S): Promise<S> => {
    servers.add(server);
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const web = (listener: RequestListener): Promise<Server> => listening(createServer(listener));
  /** Servers that answer with their own names. */
  const named = (...names: readonly string[]): Promise<Server[]> =>
    Promise.all(names.map((name) => web((_, response) => response.end(name))));
  /** A server of bytes: hears what came so far, and says what to do. */
  const raw = (onData: (text: string, socket: Socket) => void): Promise<TcpServer> =>
    listening(
      createTcpServer((socket) => {
        let text = '';
        socket.on('data', (data: Buffer) => onData((text += data.toString('latin1')), socket));
      }),
    );
  const ask = (
    options: {
      readonly method?: string;
      readonly agent?: Agent;
      readonly body?: Buffer | string;
      readonly headers?: Record<string, string>;
    } = {},
  ): Promise<{ status: number; text: string; message: IncomingMessage }> =>
    new Promise((resolve, reject) => {
      const { body, agent, ...rest } = options;
      const sent = request(
        `${proxy.url}/`,
        { ...rest, ...(agent === undefined ? { agent: false } : { agent }) },
        (message) => {
          let text = '';
          message.setEncoding('latin1').on('data', (part: string) => (text += part));
          message.on('end', () => resolve({ status: message.statusCode ?? 0, text, message }));
          message.on('error', reject);
        },
      );
      sent.on('error', reject).end(body);
    });

  beforeEach(async () => {
    proxy = await UserspaceProxy.start();
  });
  afterEach(async () => {
    await proxy.close();
    for (const socket of sockets) socket.destroy();
    await Promise.all([...servers].map((server) => new Promise((resolve) => server.close(resolve))));
    servers.clear();
  });

  it('gives each request of one connection its own backend, in turn', async () => {
    const backends = (await named('a', 'b', 'c')).map(backendOf);
    await proxy.serve({ backends, ...http });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const counts = new Map<string, number>();
    for (let i = 0; i < 30; i++) {
      const { text } = await ask({ agent });
      counts.set(text, (counts.get(text) ?? 0) + 1);
    }
    assert.deepEqual([...counts.values()], [10, 10, 10]);
    assert.equal(proxy.rules.connections, 1);
    agent.destroy();
  });

  it('answers requests sent ahead in their order', async () => {
    const backends = (await named('a', 'b', 'c')).map(backendOf);
    await proxy.serve({ backends, ...http });
    const wire = await proxy.connect();
    wire.send('GET /1 HTTP/1.1', 'Host: x', '', '').send('GET /2 HTTP/1.1', 'Host: x', '', 'GET /3 HT');
    wire.send('TP/1.1', 'Host: x', '', '');
    const bodies = [];
    for (let i = 0; i < 3; i++) {
      await wire.take('\r\n\r\n');
      bodies.push(await wire.take(/[abc]/));
    }
    assert.deepEqual(bodies.toSorted(), ['a', 'b', 'c']);
    wire.socket.destroy();
  });

  describe('where requests may wait for an endpoint', () => {
    const holding = (holdSeconds: number) => ({ carriage: { byRequest: true, holdSeconds } });

    it('lets them, with what they bring along and what is sent ahead, and answers all in order', async () => {
      await proxy.serve({ backends: [], ...holding(60) });
      const others = [ask(), ask({ method: 'POST', body: Buffer.alloc(300_000, 'x') })];
      const wire = (await proxy.connect()).send('POST /1 HTTP/1.1', 'Host: x', 'Content-Length: 4', '', 'ab');
      wire.send('cdGET /2 HTTP/1.1', 'Host: x', '', '');
      await proxy.active(3);
      const server = await web((incoming, response) => {
        let bytes = 0;
        incoming.on('data', (part: Buffer) => (bytes += part.length));
        incoming.on('end', () => response.end(`${incoming.url ?? ''} ${bytes};`));
      });
      await proxy.serve({ backends: [backendOf(server)], ...holding(60) });
      const texts = (await Promise.all(others)).map(({ status, text }) => `${status} ${text}`);
      assert.deepEqual(texts, ['200 / 0;', '200 / 300000;']);
      await wire.take('/1 4;');
      await wire.take('/2 0;');
      wire.socket.destroy();
      await proxy.active(0);
    });

    it('answers 503 when the time is over, and 502 where those there could not be reached', async () => {
      await proxy.serve({ backends: [], ...holding(1) });
      const late = await ask();
      assert.equal(late.status, 503);
      assert.match(late.text, /Service default\/web has no endpoint/);
      const gone = await web(() => undefined);
      const backend = backendOf(gone);
      await new Promise((resolve) => gone.close(resolve));
      await proxy.serve({ backends: [backend], ...holding(1) });
      const refused = await ask();
      assert.equal(refused.status, 502);
      assert.match(refused.text, /none of 1 endpoints of Service default\/web could be reached/);
      await proxy.active(0);
    });

    it('reaches one that begins to listen a little after it became an endpoint', async () => {
      const [server] = await named('a');
      const backend = backendOf(server as Server);
      await new Promise((resolve) => server?.close(resolve));
      await proxy.serve({ backends: [backend], ...holding(60) });
      const answer = ask();
      await proxy.active(1);
      const [, port] = backend.split(':');
      server?.listen(Number(port), '127.0.0.1');
      assert.equal((await answer).text, 'a');
    });

    it('forgets a client that goes', async () => {
      await proxy.serve({ backends: [], ...holding(60) });
      const wires = await Promise.all([proxy.connect(), proxy.connect()]);
      for (const wire of wires) wire.send('GET / HTTP/1.1', 'Host: x', '', '');
      await proxy.active(2);
      for (const wire of wires) wire.socket.destroy();
      await proxy.active(0);
    });
  });

  it('adds who asks, and keeps every other field to the letter', async () => {
    const seen: string[] = [];
    const server = await raw((text, socket) => {
      if (!text.endsWith('\r\n\r\n')) return;
      seen.push(text);
      socket.write('HTTP/1.1 200 Sure Thing\r\nx-oDD:  v \r\nContent-Length: 2\r\n\r\nok');
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = (await proxy.connect()).send('GET /%7e?q HTTP/1.1', 'hOST: a', 'Cookie: a=b', '', '');
    assert.equal(await wire.take('ok'), 'HTTP/1.1 200 Sure Thing\r\nx-oDD:  v \r\nContent-Length: 2\r\n\r\nok');
    assert.deepEqual(seen, ['GET /%7e?q HTTP/1.1\r\nhOST: a\r\nCookie: a=b\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n']);
    wire.socket.destroy();
  });

  it('carries chunks and trailers both ways', async () => {
    const server = await web((incoming, response) => {
      let text = '';
      incoming.setEncoding('latin1').on('data', (part: string) => (text += part));
      incoming.on('end', () => {
        response.writeHead(200, { Trailer: 'X-Sum' });
        response.write(`got ${text} `);
        response.addTrailers({ 'X-Sum': incoming.trailers['x-part'] ?? 'none' });
        response.end('end');
      });
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = (await proxy.connect()).send('POST / HTTP/1.1', 'Host: x', 'Transfer-Encoding: chunked', '', '');
    for (const part of ['3\r\nab', 'c\r\n2\r', '\nde\r\n0\r\nX-Part: 7\r\n\r', '\n']) wire.send(part);
    const answer = await wire.take('X-Sum: 7\r\n\r\n');
    assert.match(answer, /got abcde /);
    wire.send('POST / HTTP/1.1', 'Host: x', 'Content-Length: 2', '', 'xy'); // the connection goes on
    assert.match(await wire.take('X-Sum: none\r\n\r\n'), /got xy /);
    wire.socket.destroy();
  });

  it('knows answers without a body', async () => {
    const server = await web((incoming, response) => {
      if (incoming.url === '/304') return void response.writeHead(304, { 'Content-Length': '9' }).end();
      if (incoming.url === '/204') return void response.writeHead(204).end();
      response.setHeader('Content-Length', 5).end('hello');
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = await proxy.connect();
    wire.send('HEAD / HTTP/1.1', 'Host: x', '', '').send('GET /304 HTTP/1.1', 'Host: x', '', '');
    wire.send('GET /204 HTTP/1.1', 'Host: x', '', '').send('GET / HTTP/1.1', 'Host: x', '', '');
    for (const status of [200, 304, 204]) assert.match(await wire.take('\r\n\r\n'), new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(await wire.take('hello'), /^HTTP\/1.1 200 /);
    wire.socket.destroy();
  });

  it('passes on that a client may go on with its body', async () => {
    const server = await web((_, response) => response.end('no'));
    server.on('checkContinue', (incoming: IncomingMessage, response) => {
      response.writeContinue();
      incoming.on('data', () => undefined).on('end', () => response.end('went on'));
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = (await proxy.connect()).send(
      'PUT / HTTP/1.1',
      'Host: x',
      'Content-Length: 3',
      'Expect: 100-continue',
      '',
      '',
    );
    assert.equal(await wire.take('\r\n\r\n'), 'HTTP/1.1 100 Continue\r\n\r\n');
    wire.send('abc');
    await wire.take('went on');
    wire.socket.destroy();
  });

  it('switches protocols where both sides want that', async () => {
    const server = await web((_, response) => response.end());
    server.on('upgrade', (_incoming, socket: Socket, head: Buffer) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.write(head);
      socket.pipe(socket);
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = (await proxy.connect()).send(
      'GET / HTTP/1.1',
      'Host: x',
      'Connection: Upgrade',
      'Upgrade: echo',
      '',
      'first ',
    );
    assert.match(await wire.take('first '), /^HTTP\/1.1 101 [^]*Upgrade: echo\r\n/);
    wire.send('second');
    await wire.take('second');
    wire.socket.end();
    assert.equal(await wire.untilEnded(), 'end');
  });

  it('ends an answer that ends with its connection, and nothing shorter', async () => {
    const server = await raw((text, socket) => {
      if (!text.endsWith('\r\n\r\n')) return;
      if (text.startsWith('GET /whole')) return void socket.end('HTTP/1.1 200 OK\r\n\r\nall of it');
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this', () => socket.destroy());
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const whole = (await proxy.connect()).send('GET /whole HTTP/1.1', '', '');
    assert.equal(await whole.untilEnded(), 'end');
    assert.match(whole.text, /Connection: close\r\n\r\nall of it$/);
    const broken = (await proxy.connect()).send('GET /broken HTTP/1.1', '', '');
    assert.equal(await broken.untilEnded(), 'ECONNRESET');
  });

  it('holds a fast sender to the pace of a slow reader, both ways', async () => {
    const size = 48 * 2 ** 20;
    let received = 0;
    let resume = (): void => undefined;
    const server = await web((incoming, response) => {
      if (incoming.method === 'GET') return void response.end(Buffer.alloc(size));
      resume = () =>
        incoming.on('data', (part: Buffer) => (received += part.length)).on('end', () => response.end(`${received}`));
    });
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const wire = (await proxy.connect()).send('POST / HTTP/1.1', 'Host: x', `Content-Length: ${size}`, '', '');
    let sent = 0;
    const pump = (): void => {
      while (sent < size) {
        sent += 65_536;
        if (!wire.socket.write(Buffer.alloc(65_536))) return void wire.socket.once('drain', pump);
      }
    };
    pump();
    let last = -1;
    await until(() => sent === last || ((last = sent), false), { what: 'the sender is held', everyMs: 200 });
    assert(sent < size, 'all of it was taken while nobody read');
    resume();
    await until(() => received === size, { what: 'all of the request', timeoutMs: 40_000 });
    await wire.take(String(size));
    wire.socket.pause();
    wire.send('GET / HTTP/1.1', 'Host: x', '', '');
    await until(() => wire.socket.readableLength > 0, { what: 'the answer begins' });
    wire.text = '';
    let got = 0;
    wire.socket.removeAllListeners('data').on('data', (part: Buffer) => (got += part.length));
    wire.socket.resume();
    await until(() => got > size, { what: 'all of the answer', timeoutMs: 40_000 });
    wire.socket.destroy();
  });

  it('passes over backends that refuse', async () => {
    const [alive] = await named('alive');
    const gone = await listening(createTcpServer());
    const address = backendOf(gone);
    await new Promise((resolve) => gone.close(resolve));
    assert(alive !== undefined);
    await proxy.serve({ backends: [address, backendOf(alive)], ...http });
    for (let i = 0; i < 4; i++) assert.equal((await ask({ method: 'POST', body: 'x' })).text, 'alive');
    await proxy.serve({ backends: [address], ...http });
    const { status, text } = await ask();
    assert.deepEqual([status, text], [502, 'none of 1 endpoints of Service default/web could be reached\n']);
  });

  it('asks another backend when one breaks off before it answers, where asking twice is harmless', async () => {
    let asked = 0;
    const breaker = await raw((_, socket) => (asked++, socket.destroy()));
    const [alive] = await named('alive');
    assert(alive !== undefined);
    await proxy.serve({ backends: [backendOf(breaker), backendOf(alive)], ...http });
    for (let i = 0; i < 4; i++) assert.equal((await ask({ method: 'PUT', body: 'again' })).text, 'alive');
    assert(asked > 0);
    const statuses = [];
    for (let i = 0; i < 4; i++) statuses.push((await ask({ method: 'POST', body: 'once' })).status);
    assert.deepEqual(statuses.toSorted(), [200, 200, 502, 502]);
  });

  it('sends a request to no more than three backends that break off', async () => {
    let asked = 0;
    const breakers = await Promise.all([1, 2, 3, 4, 5].map(() => raw((_, socket) => (asked++, socket.destroy()))));
    await proxy.serve({ backends: breakers.map(backendOf), ...http });
    assert.equal((await ask()).status, 502);
    assert.equal(asked, 3);
  });

  it('loses no request to connections that a backend closes at rest', async () => {
    const server = await web((_, response) => response.end('ok'));
    server.keepAliveTimeout = 1; // ms: closes about when the next request comes
    await proxy.serve({ backends: [backendOf(server)], ...http });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 150; i++) {
      assert.equal((await ask({ agent })).status, 200);
      await new Promise((resolve) => setTimeout(resolve, i % 4)); // the race itself is what is tested
    }
    agent.destroy();
  });

  const bad = [
    { it: 'two lengths', lines: ['POST / HTTP/1.1', 'Content-Length: 1', 'Content-Length: 2', '', 'x'], status: 400 },
    { it: 'a broken chunk', lines: ['POST / HTTP/1.1', 'Transfer-Encoding: chunked', '', 'zz', ''], status: 400 },
    { it: 'no HTTP', lines: ['hello', '', ''], status: 400 },
    { it: 'CONNECT', lines: ['CONNECT a:1 HTTP/1.1', '', ''], status: 501 },
    { it: 'a head without end', lines: ['GET / HTTP/1.1', `A: ${'x'.repeat(70_000)}`], status: 431 },
  ];
  for (const { it: says, lines, status } of bad)
    it(`refuses ${says} without troubling a backend`, async () => {
      let asked = 0;
      const server = await web((_, response) => response.end(String(asked++)));
      await proxy.serve({ backends: [backendOf(server)], ...http });
      const wire = (await proxy.connect()).send(...lines);
      assert.match(await wire.take('\r\n\r\n'), new RegExp(`^HTTP/1.1 ${status} `));
      assert.equal(await wire.untilEnded(), 'end');
      assert.equal(asked, 0);
    });

  it('serves HTTP/1.0, one request a connection', async () => {
    const [a] = await named('a');
    assert(a !== undefined);
    await proxy.serve({ backends: [backendOf(a)], ...http });
    const wire = (await proxy.connect()).send('GET / HTTP/1.0', '', '');
    assert.equal(await wire.untilEnded(), 'end');
    assert.match(wire.text, /^HTTP\/1.1 200 OK\r\n[^]*\r\n\r\na$/);
  });

  it('lets requests under way end, and sends nothing new, when a backend leaves', async () => {
    const held: ServerResponse[] = [];
    const slow = await web((_, response) => held.push(response));
    const [quick] = await named('quick');
    assert(quick !== undefined);
    await proxy.serve({ backends: [backendOf(slow)], ...http });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const pending = ask({ agent });
    await until(() => held.length > 0, { what: 'the request is under way', timeoutMs: 20_000 });
    await proxy.serve({ backends: [backendOf(quick)], ...http });
    assert.equal((await ask()).text, 'quick');
    await new Promise((resolve) => setTimeout(resolve, 400)); // longer than the drain time of other connections
    held[0]?.end('slow');
    assert.equal((await pending).text, 'slow');
    assert.equal((await ask({ agent })).text, 'quick'); // on the client's own connection
    agent.destroy();
  });

  it('closes connections at rest to a backend that leaves, at once', async () => {
    const [a, b] = await named('a', 'b');
    assert(a !== undefined && b !== undefined);
    await proxy.serve({ backends: [backendOf(a)], ...http });
    await ask();
    const open = (): Promise<number> => new Promise((resolve) => a.getConnections((_, count) => resolve(count)));
    assert.equal(await open(), 1);
    await proxy.serve({ backends: [backendOf(b)], ...http });
    await until(async () => (await open()) === 0, { what: 'the connection at rest is closed', timeoutMs: 20_000 });
  });

  it('ends client connections at rest when the last backend leaves, and those under way after their answer', async () => {
    const held: ServerResponse[] = [];
    const slow = await web((incoming, response) => {
      if (incoming.url === '/slow') held.push(response);
      else response.end('quick');
    });
    await proxy.serve({ backends: [backendOf(slow)], ...http });
    const atRest = (await proxy.connect()).send('GET / HTTP/1.1', 'Host: x', '', '');
    await atRest.take('quick');
    const busy = (await proxy.connect()).send('GET /slow HTTP/1.1', 'Host: x', '', '');
    await until(() => held.length > 0, { what: 'the request is under way', timeoutMs: 20_000 });
    await proxy.serve({ backends: [], ...http });
    assert.equal(await atRest.untilEnded(), 'end');
    await assert.rejects(proxy.connect(), { code: 'ECONNREFUSED' });
    held[0]?.end('slow');
    assert.match(await busy.take('slow'), /Connection: close/);
    assert.equal(await busy.untilEnded(), 'end');
  });

  it('counts requests by backend and outcome, and keeps the sum when a backend leaves', async () => {
    const server = await web((incoming, response) => response.writeHead(incoming.method === 'PUT' ? 404 : 200).end());
    const backend = backendOf(server);
    await proxy.serve({ backends: [backend], ...http });
    for (const method of ['GET', 'PUT', 'GET']) await ask({ method });
    const labels = `namespace="default",service="web",port="80",from="inside"`;
    const told = proxy.rules.figures();
    assert(told.includes(`troupe_proxy_requests_total{${labels},backend="${backend}",outcome="2xx"} 2\n`), told);
    assert(told.includes(`troupe_proxy_requests_total{${labels},backend="${backend}",outcome="4xx"} 1\n`), told);
    await proxy.serve({ backends: ['127.0.0.1:1'], ...http });
    assert(proxy.rules.figures().includes(`{${labels},backend="gone",outcome="2xx"} 2\n`), proxy.rules.figures());
  });

  /** The demand itself (D1): servers that end at once as soon as nothing is under way, replaced again and again. */
  it('loses none of endless keep-alive requests while every backend is replaced five times', async () => {
    const make = async (): Promise<Server> => {
      const server = await web((incoming, response) => {
        incoming.resume();
        setImmediate(() => response.end('ok'));
      });
      server.keepAliveTimeout = 60_000;
      return server;
    };
    let generation = await Promise.all([1, 2, 3].map(make));
    await proxy.serve({ backends: generation.map(backendOf), ...http });
    let served = 0;
    let stop = false;
    const failures: string[] = [];
    const clients = Array.from({ length: 8 }, async (_, i) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (!stop) {
        try {
          const { status } = await ask({ agent, method: i % 2 === 0 ? 'GET' : 'POST' });
          if (status !== 200) failures.push(String(status));
          served++;
        } catch (error) {
          failures.push((error as NodeJS.ErrnoException).code ?? String(error));
        }
      }
      agent.destroy();
    });
    for (let round = 0; round < 5; round++) {
      const next = await Promise.all([1, 2, 3].map(make));
      for (const [i, old] of generation.entries()) {
        const remaining = [...next.slice(0, i + 1), ...generation.slice(i + 1)];
        await proxy.serve({ backends: remaining.map(backendOf), ...http });
        // It dies at once when its connections rest: none is left, since the proxy closes them.
        await until(() => new Promise<boolean>((resolve) => old.getConnections((_, count) => resolve(count === 0))), {
          what: 'the connections of the old backend rest',
          everyMs: 1,
          timeoutMs: 20_000,
        });
        await new Promise((resolve) => old.close(resolve));
        servers.delete(old);
      }
      generation = next;
    }
    await until(() => served > 1_000, { what: 'enough requests', timeoutMs: 50_000 });
    stop = true;
    await Promise.all(clients);
    assert.deepEqual(failures, []);
  });
});
