import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { Service } from '../../lib/api/objects.ts';
import { ApiError, messageOf } from '../../lib/base/errors.ts';
import type { PodConnection } from '../../lib/client/pod-streams.ts';
import { keyIn } from '../select.ts';
import type { Session } from '../session.ts';
import { parseTargets } from '../targets.ts';
import { onePod } from './choose.ts';
import { podPort, type PortPair } from './ports.ts';

export interface ForwardOptions {
  readonly pairs: readonly PortPair[];
  readonly addresses: readonly string[];
}

/**
 * Listens here and leads each connection to a port of a pod, until interrupted. A connection that breaks, or an apiserver that is away for
 * a while, ends that connection alone: the next one is tried anew, behind a Service or a controller with whatever pod is there then.
 */
export async function forward(session: Session, word: string, { pairs, addresses }: ForwardOptions): Promise<void> {
  const route = newRoute(session, word);
  const ports = await route.check(pairs);
  const servers: Server[] = [];
  try {
    for (const [index, pair] of pairs.entries()) {
      let local = pair.local; // the same free port on all addresses
      for (const address of addresses) {
        const server = await listen(address, local, (socket) => void serve(session, socket, route, pair));
        servers.push(server);
        local = (server.address() as AddressInfo).port;
        const shown = address.includes(':') ? `[${address}]` : address;
        session.print(`Forwarding from ${shown}:${local} -> ${ports[index] ?? ''}`);
      }
    }
    await new Promise<void>((resolve) => {
      session.signal.addEventListener('abort', () => {
        resolve();
      });
    });
  } finally {
    for (const server of servers) server.close();
  }
}

interface Route {
  /** The ports of the pod as of now; throws where one cannot be found. */
  check(pairs: readonly PortPair[]): Promise<readonly number[]>;
  connect(pair: PortPair): Promise<PodConnection>;
  /** A connection has failed: look for the pod anew before the next one. */
  lost(): void;
}

function newRoute(session: Session, word: string): Route {
  let found: Promise<{ namespace: string; pod: string; portOf: (pair: PortPair) => number }> | undefined;
  const look = async () => {
    const pod = await onePod(session, word);
    const service = await serviceOf(session, word);
    const { namespace = '', name } = pod.metadata;
    return { namespace, pod: name, portOf: (pair: PortPair) => podPort(pair.remote, pod, service) };
  };
  const current = () => (found ??= look());
  return {
    async check(pairs) {
      const { portOf } = await current();
      return pairs.map(portOf);
    },
    async connect(pair) {
      const { portOf, ...target } = await current();
      return (await session.streams()).connect(target, portOf(pair), session.signal);
    },
    lost() {
      found = undefined;
    },
  };
}

async function serviceOf(session: Session, word: string): Promise<Service | undefined> {
  const [target] = word.includes('/') ? parseTargets([word]) : [];
  if (target?.resource !== 'services') return undefined;
  const client = await session.client();
  return client.get('services', keyIn(session, 'services', target.names?.[0] ?? ''), session.call);
}

/** One connection, both ways, each ending by itself. */
async function serve(session: Session, socket: Socket, route: Route, pair: PortPair): Promise<void> {
  socket.on('error', () => undefined); // whoever reads or writes hears of it
  try {
    const connection = await route.connect(pair);
    void feed(socket, connection);
    for await (const data of connection.data) await written(socket, data);
    socket.end();
  } catch (error) {
    socket.destroy();
    if (session.signal.aborted || socket.errored) return; // our own end, or the local program's
    route.lost();
    session.warn(`a connection to port ${pair.remote} failed: ${messageOf(error)}`);
  }
}

async function feed(socket: Socket, connection: PodConnection): Promise<void> {
  try {
    for await (const data of socket.iterator({ destroyOnReturn: false })) await connection.write(data as Uint8Array);
  } catch {
    // the local program broke it off: so do we
  }
  connection.end();
}

const written = (socket: Socket, data: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    socket.write(data, (error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });

function listen(address: string, port: number, onSocket: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true }, onSocket);
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE' ? 'the port is taken; choose another, or :REMOTE for any free one' : error.message;
      reject(new ApiError('BadRequest', `cannot listen at ${address}:${port}: ${why}`));
    });
    server.listen(port, address, () => {
      resolve(server);
    });
  });
}
