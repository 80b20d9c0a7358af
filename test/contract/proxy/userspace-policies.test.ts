import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type Server as TcpServer, type Socket } from 'node:net';
import type { Policy } from '../../../services/proxy/userspace/policy/policy.ts';
import { emptyTable } from '../../../services/proxy/table/table.ts';
import { backendOf, UserspaceProxy } from '../../support/userspace-proxy.ts';
import { until } from '../../support/until.ts';

/** Policies of others' making and the PROXY protocol, with real sockets on the loopback interface. */
describe('proxy contract: policies in userspace', function () {
  this.timeout(60_000);
  let proxy: UserspaceProxy;
  const servers = new Set<Server | TcpServer>();

  const listening = async <S extends Server | TcpServer>(server: S): Promise<S> => {
    servers.add(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return server;
  };
  /** Says its name (and what it hears), once it has heard something. */
  const echo = (name: string): Promise<TcpServer> =>
    listening(
      createTcpServer((socket) => {
        socket
          .on('error', () => undefined)
          .on('data', (data: Buffer) => socket.end(`${name} ${data.toString('latin1')}`));
      }),
    );
  const say = async (text = 'x'): Promise<string> => {
    const wire = await proxy.connect().catch((error: NodeJS.ErrnoException) => error.code ?? error.message);
    if (typeof wire === 'string') return wire; // cut off before it knew that it was connected
    wire.send(text);
    const ended = await wire.untilEnded();
    return ended === 'end' ? wire.text : ended;
  };
  const begin = async (policies: Record<string, Policy>): Promise<void> => {
    proxy = await UserspaceProxy.start({
      policies: new Map(Object.entries(policies).map(([name, policy]) => [name, () => policy])),
    });
  };
  afterEach(async () => {
    await proxy.close();
    await Promise.all([...servers].map((server) => new Promise((resolve) => server.close(resolve))));
    servers.clear();
  });

  it('asks the policy for each connection, and again without those that could not be had', async () => {
    const gone = await echo('gone');
    const address = backendOf(gone);
    await new Promise((resolve) => gone.close(resolve));
    const alive = await echo('alive');
    const asked: string[][] = [];
    await begin({
      mine: {
        choose(_what, backends) {
          asked.push(backends.map((each) => each.address));
          return backends.find((each) => each.address === address) ?? backends[0];
        },
      },
    });
    await proxy.serve({ backends: [address, backendOf(alive)], carriage: { policy: 'mine' } });
    assert.equal(await say(), 'alive x');
    assert.deepEqual(
      asked.map((each) => each.length),
      [2, 1],
    );
  });

  it('shows the policy the request where the choice is by request', async () => {
    const backends = await Promise.all(
      ['a', 'b'].map((name) => listening(createServer((_, response) => response.end(name)))),
    );
    const [first, second] = backends.map(backendOf);
    await begin({
      byHeader: {
        choose: ({ request }, all) =>
          all.find(({ address }) => address === (request?.header('X-Side') === 'b' ? second : first)),
      },
    });
    await proxy.serve({ backends: [first ?? '', second ?? ''], carriage: { policy: 'byHeader', byRequest: true } });
    const wire = await proxy.connect();
    for (const side of ['a', 'b', 'b', 'a']) {
      wire.send('GET / HTTP/1.1', 'Host: x', `x-side: ${side}`, '', '');
      await wire.take('\r\n\r\n');
      assert.equal(await wire.take(/[ab]/), side);
    }
    wire.socket.destroy();
  });

  it('refuses what a policy throws at, or finds no backend for, and nothing else', async () => {
    const server = await echo('a');
    let answer: 'throw' | 'none' | 'some' = 'throw';
    await begin({
      moody: {
        choose(_what, backends) {
          if (answer === 'throw') throw new Error('a bad day');
          return answer === 'none' ? undefined : backends[0];
        },
      },
    });
    await proxy.serve({ backends: [backendOf(server)], carriage: { policy: 'moody' } });
    assert.equal(await say(), 'ECONNRESET');
    answer = 'none';
    assert.equal(await say(), 'ECONNRESET');
    answer = 'some';
    assert.equal(await say(), 'a x');
  });

  it('gives connections to a policy that serves, with backends of other services', async () => {
    const [own, other] = await Promise.all([echo('own'), echo('other')]);
    await begin({
      both: {
        async serve(connection) {
          const heard: string[] = [];
          for (const service of [undefined, 'second', 'nobody']) {
            const [backend] = connection.backends(service);
            const dial = backend && (await connection.dial(backend));
            if (dial === undefined) heard.push('none');
            else {
              dial.socket.end('hi');
              for await (const data of dial.socket) heard.push(String(data));
              connection.count(dial.backend, 'asked');
            }
          }
          connection.client.end(heard.join(', '));
          connection.client.resume();
        },
      },
    });
    await proxy.serve(
      { backends: [backendOf(own)], carriage: { policy: 'both' } },
      { name: 'second', backends: [backendOf(other)] },
    );
    assert.equal(await say(), 'own hi, other hi, none');
    assert(proxy.rules.figures().includes('outcome="asked"} 1'));
  });

  it('cuts off the client of a policy that fails, and tells a policy when a backend leaves', async () => {
    const server = await listening(createTcpServer((socket) => void socket.on('error', () => undefined)));
    let left = false;
    await begin({
      failing: { serve: () => Promise.reject(new Error('a bad day')) },
      watching: {
        async serve(connection) {
          const [backend] = connection.backends();
          const dial = backend && (await connection.dial(backend));
          dial?.leaving.addEventListener('abort', () => {
            left = true;
            connection.client.end('bye');
            dial.socket.destroy();
          });
          connection.client.resume();
        },
      },
    });
    await proxy.serve({ backends: [backendOf(server)], carriage: { policy: 'failing' } });
    assert.equal(await say(), 'ECONNRESET');
    await proxy.serve({ backends: [backendOf(server)], carriage: { policy: 'watching' } });
    const wire = await proxy.connect();
    await until(() => new Promise((resolve) => server.getConnections((_, count) => resolve(count === 1))), {
      what: 'the policy has dialled',
    });
    await proxy.serve({ backends: ['127.0.0.1:1'], carriage: { policy: 'watching' } });
    await wire.take('bye');
    assert(left);
  });

  it('refuses a service whose policy is not loaded, says why, and serves it when it names one that is', async () => {
    const server = await echo('a');
    await begin({});
    await proxy.serve({ backends: [backendOf(server)], carriage: { policy: 'nowhere' } });
    await assert.rejects(proxy.connect(), { code: 'ECONNREFUSED' });
    const [why = ''] = proxy.rules.unserved.values();
    assert.match(
      why,
      /no policy "nowhere" here, there are round-robin, least-connections; --policy-module loads others/,
    );
    assert.deepEqual(await proxy.rules.differences(emptyTable), []); // nothing to mend
    await proxy.serve({ backends: [backendOf(server)], carriage: { policy: 'least-connections' } });
    assert.equal(await say(), 'a x');
  });

  it('breaks the connection of a client whose backend breaks, also where that comes with the last bytes', async () => {
    const server = await listening(
      createTcpServer((socket) => {
        socket
          .on('error', () => undefined)
          .once('data', (data: Buffer) => {
            if (String(data) === 'end') return void socket.end('all of it');
            socket.write('a part');
            socket.resetAndDestroy();
          });
      }),
    );
    await begin({});
    await proxy.serve({ backends: [backendOf(server)] });
    for (let i = 0; i < 10; i++) assert.equal(await say('break'), 'ECONNRESET');
    assert.equal(await say('end'), 'all of it');
  });

  it('tells backends who connects, by the PROXY protocol', async () => {
    const server = await listening(
      createTcpServer((socket: Socket) => {
        socket.on('error', () => undefined).on('data', (data: Buffer) => socket.end(data.toString('hex')));
      }),
    );
    await begin({});
    await proxy.serve({ backends: [backendOf(server)], carriage: { proxyProtocol: 'v1' } });
    const first = await proxy.connect();
    const port = first.socket.localPort ?? 0;
    await first.untilEnded();
    assert.equal(
      Buffer.from(first.text, 'hex').toString('latin1'),
      `PROXY TCP4 127.0.0.1 127.0.0.1 ${port} ${proxy.port}\r\n`,
    );
    await proxy.serve({ backends: [backendOf(server)], carriage: { proxyProtocol: 'v2' } });
    const second = await proxy.connect();
    const from = (second.socket.localPort ?? 0).toString(16).padStart(4, '0');
    await second.untilEnded();
    const to = proxy.port.toString(16).padStart(4, '0');
    assert.equal(second.text, `0d0a0d0a000d0a515549540a2111000c7f0000017f000001${from}${to}`);
  });
});
