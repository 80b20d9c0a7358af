import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer as createHttpServer, request, type IncomingMessage, type Server as HttpServer } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { FrameWriter } from '../../../services/apiserver/rest/spdy/frames.ts';
import { SpdyClient } from '../../support/spdy-client.ts';
import { StreamFixture } from '../../support/stream-fixture.ts';
import { until } from '../../support/until.ts';

const web = '/api/v1/namespaces/default/pods/web';

describe('streams into pods, from a client of the REST door to the engine and back', () => {
  let fixture: StreamFixture;
  let door: string;
  let echo: Server;
  let port: number;
  before(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined); // told by what is missing
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    ({ port } = echo.address() as AddressInfo);
    fixture = await StreamFixture.start();
    door = await fixture.rest();
    await fixture.pod('web', { hostNetwork: true });
  });
  after(async () => {
    await fixture?.stop();
    echo?.close();
  });

  /** The streams of a command, in the order in which clients open them. */
  async function process(query: string, types: readonly string[], protocols = 'v5.channel.k8s.io,v4.channel.k8s.io') {
    const client = await SpdyClient.connect(door, `${web}/exec?${query}`, protocols);
    const ids = Object.fromEntries(types.map((streamType) => [streamType, client.open({ streamType })]));
    const of = (type: string): number => ids[type] ?? 0;
    return { client, of };
  }

  it('runs a command over SPDY', async () => {
    fixture.runtime.onExec = () => ({ exitCode: 3, output: 'ready\n', timedOut: false });
    const query = 'command=cat&stdin=true&stdout=true&stderr=true';
    const { client, of } = await process(query, ['error', 'stdin', 'stdout', 'stderr']);
    client.write(of('stdin'), 'in');
    client.end(of('stdin'));
    assert.equal(await client.all(of('stdout')), 'ready\nin');
    const outcome = JSON.parse(await client.all(of('error'))) as object;
    assert.deepEqual(outcome, {
      metadata: {},
      status: 'Failure',
      message: 'command terminated with non-zero exit code: exit status 3',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '3' }] },
    });
    await client.closed();
  });

  it('tells a terminal its size, however its words are cut', async () => {
    const { client, of } = await process('command=sh&stdin=true&stdout=true&stderr=true&tty=true', [
      ...['error', 'stdin', 'stdout', 'resize'],
    ]);
    client.write(of('resize'), '{"Width":120,"He');
    client.write(of('resize'), 'ight":40}\n');
    await until(() => client.heard(of('stdout')).includes('40 120'), { what: 'the size' });
    client.end(of('stdin'));
    await client.all(of('error'));
  });

  it('tells clients of old protocols in plain text what went wrong', async () => {
    fixture.runtime.onExec = () => ({ exitCode: 2, output: '', timedOut: false });
    const { client, of } = await process('command=false&stdout=true', ['error', 'stdout'], 'v2.channel.k8s.io');
    assert.equal(await client.all(of('error')), 'command terminated with non-zero exit code: exit status 2');
  });

  it('says in the answer what cannot be', async () => {
    const refused = async (path: string, protocols: string, message: RegExp): Promise<void> => {
      await assert.rejects(SpdyClient.connect(door, path, protocols), { message });
    };
    await refused(`${web}/exec?command=true&container=side`, 'v4.channel.k8s.io', /^400 .*has no container \\"side\\"/);
    await refused(`${web}/exec?command=true`, 'v9.channel.k8s.io', /^400 .*or over SPDY\/3\.1, with v5\.channel/);
    await refused('/api/v1/namespaces/default/pods/none/portforward', 'portforward.k8s.io', /^404 /);
    await refused(`${web}/nothing`, 'portforward.k8s.io', /^404 .*no stream is served/);
  });

  it('forwards connections over SPDY, and tells on their own streams what went wrong', async () => {
    const client = await SpdyClient.connect(door, `${web}/portforward`, 'portforward.k8s.io');
    const connect = (to: number, requestID: string) => {
      const error = client.open({ streamType: 'error', port: String(to), requestID });
      client.end(error);
      return { error, data: client.open({ streamType: 'data', port: String(to), requestID }) };
    };
    const [one, two] = [connect(port, '0'), connect(port, '1')];
    client.write(one.data, 'over one', true);
    client.write(two.data, 'over two');
    assert.equal(await client.all(one.data), 'over one');
    assert.equal(await client.all(one.error), '');
    await until(() => client.heard(two.data) === 'over two', { what: 'the second echo' });
    assert.ok(!client.hasEnded(two.data));
    const wrong = connect(0, '2');
    assert.equal(await client.all(wrong.error), 'port "0" must be a whole number from 1 to 65535');
    const closed = await closedPort();
    assert.match(await client.all(connect(closed, '3').error), /nothing listens there$/);
    client.end(two.data);
    assert.equal(await client.all(two.data), 'over two');
    client.close();
  });

  it('forwards over SPDY within a WebSocket', async () => {
    const [host, number] = door.split(':');
    // The name of the protocol is no token as WebSockets would have it: their library does not ask for it.
    const headers = {
      ...{ connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13' },
      ...{ 'sec-websocket-key': 'dHJvdXBlIHRlc3RzIGl0IQ==', 'sec-websocket-protocol': 'SPDY/3.1+portforward.k8s.io' },
    };
    const asking = request({ host, port: number, path: `${web}/portforward`, headers });
    asking.end();
    const [reply, socket] = (await once(asking, 'upgrade')) as [IncomingMessage, Socket];
    assert.equal(reply.headers['sec-websocket-protocol'], 'SPDY/3.1+portforward.k8s.io');
    // A masked message (RFC 6455, 5.2) with a ping of SPDY comes back as a message.
    const ping = new FrameWriter().bytes({ type: 'ping', id: 1 });
    socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | ping.length, 0, 0, 0, 0]), ping]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    assert.deepEqual(answer, Buffer.concat([Buffer.from([0x82, ping.length]), ping]));
    socket.destroy();
  });

  it('forwards by numbered channels, each of which begins with the port', async () => {
    const closed = await closedPort();
    const socket = new WebSocket(`ws://${door}${web}/portforward?ports=${port}&ports=${closed}`, ['v4.channel.k8s.io']);
    const heard = new Map<number, Buffer>();
    socket.on('message', (data: Buffer) => {
      const channel = data[0] ?? -1;
      heard.set(channel, Buffer.concat([heard.get(channel) ?? Buffer.alloc(0), data.subarray(1)]));
    });
    await once(socket, 'open');
    socket.send(Buffer.from('\0hello'));
    await until(() => heard.get(0)?.subarray(2).toString() === 'hello', { what: 'the echo' });
    await until(() => (heard.get(3)?.length ?? 0) > 2, { what: 'what went wrong' });
    assert.equal(heard.get(0)?.readUInt16LE(), port);
    assert.equal(heard.get(2)?.readUInt16LE(), closed);
    assert.match(heard.get(3)?.subarray(2).toString() ?? '', /nothing listens there$/);
    socket.close();
    await once(socket, 'close');
  });

  describe('HTTP of pods', () => {
    let server: HttpServer;
    let number: number;
    before(async () => {
      server = createHttpServer((incoming, outgoing) => {
        const parts: Buffer[] = [];
        incoming.on('data', (part: Buffer) => parts.push(part));
        incoming.on('end', () => {
          const { method, url, headers } = incoming;
          outgoing.setHeader('set-cookie', ['a=1', 'b=2']);
          if (url === '/moved') {
            outgoing.writeHead(302, { location: '/to' }).end();
            return;
          }
          const { host, authorization, 'x-mine': mine } = headers;
          const body = Buffer.concat(parts).toString();
          outgoing.writeHead(url === '/wrong' ? 418 : 200, { 'content-type': 'application/json' });
          outgoing.end(JSON.stringify({ method, url, host, authorization, mine, body }));
        });
      });
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      ({ port: number } = server.address() as AddressInfo);
      const metadata = { name: 'site', namespace: 'default' };
      await fixture.client.create('services', { metadata, spec: { ports: [{ name: 'http', port: 80 }] } });
      const subsets = [
        {
          addresses: [{ ip: '10.0.0.1', targetRef: { kind: 'Pod', namespace: 'default', name: 'web' } }],
          ports: [{ name: 'http', port: number, protocol: 'TCP' }],
        },
      ];
      await fixture.client.create('endpoints', { metadata, subsets } as never);
    });
    after(() => {
      server?.closeAllConnections();
      server?.close();
    });
    const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
      fetch(`http://${door}/api/v1/namespaces/default/${path}`, { redirect: 'manual', ...init });

    it('is passed on, both ways', async () => {
      const headers = { 'x-mine': 'yes' };
      const reply = await ask(`pods/web:${number}/proxy/a%20b/c?d=e&f`, { method: 'POST', body: 'text', headers });
      assert.equal(reply.status, 200, reply.status === 200 ? '' : await reply.text());
      assert.deepEqual(reply.headers.getSetCookie(), ['a=1', 'b=2']);
      const want = { method: 'POST', url: '/a%20b/c?d=e&f=', host: `web:${number}`, mine: 'yes', body: 'text' };
      assert.deepEqual(await reply.json(), want);
      assert.equal((await ask(`pods/http:web:${number}/proxy/wrong`)).status, 418);
      const moved = await ask(`pods/web:${number}/proxy/moved`);
      assert.equal(moved.headers.get('location'), `/api/v1/namespaces/default/pods/web:${number}/proxy/to`);
    });

    it('is found by the Service', async () => {
      for (const name of ['site', 'site:http', 'site:80', 'http:site:80']) {
        const reply = await ask(`services/${name}/proxy`);
        assert.equal(((await reply.json()) as { url: string }).url, '/', name);
      }
    });

    const refused: readonly [path: string, code: number, message: RegExp][] = [
      ['services/site:81/proxy/', 400, /service "site" has no port "81"; it has http/],
      ['services/none/proxy/', 404, /services "none" not found/],
      ['pods/web/proxy/', 400, /pod "web" names no port: ask for <name>:<port>/],
      ['pods/ftp:web:80/proxy/', 400, /must be <name>, <name>:<port> or <http\|https>:<name>:<port>/],
      ['../../nodes/n1/proxy/metrics', 404, /agents open no port/],
    ];
    for (const [path, code, message] of refused)
      it(`is refused for ${path}`, async () => {
        const reply = await ask(path);
        const { message: said } = (await reply.json()) as { message: string };
        assert.equal(reply.status, code);
        assert.match(said, message);
      });

    it('that nobody serves is told', async () => {
      const reply = await ask(`pods/web:${await closedPort()}/proxy/`);
      assert.equal(reply.status, 400);
      assert.match(await reply.text(), /nothing listens there/);
    });
  });

  it('refuses streams that nobody has asked for', async () => {
    const { client } = await process('command=true&stdout=true', ['stdin']);
    await until(() => client.frames.some((frame) => frame.type === 'reset' && frame.status === 3), {
      what: 'the refusal',
    });
    client.close();
  });
});

/** One that is free for the moment, and was not before. */
async function closedPort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
