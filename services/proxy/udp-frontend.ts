import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { Balancer } from './balancer.ts';
import type { Backend } from './table.ts';
import type { FrontendOptions, OpenFrontend } from './tcp-frontend.ts';

/** A client without traffic either way for so long is forgotten. */
const idleMs = 60_000;
/** Clients at one time; the one that has been silent longest gives way. */
const mostFlows = 10_000;

interface Flow {
  readonly backend: Backend;
  readonly socket: Socket;
  usedMs: number;
}

/** Relays datagrams: each client address has one backend until it falls silent, so that answers find back. Rejects when the address cannot be bound. */
export async function openUdp(options: FrontendOptions, initial: Balancer): Promise<OpenFrontend> {
  const { clock } = options;
  let balancer = initial;
  /** Least recently used first. */
  const flows = new Map<string, Flow>();
  const server = createSocket('udp4');

  const drop = (client: string): void => {
    flows.get(client)?.socket.close();
    flows.delete(client);
  };

  const openFlow = (client: string, { address, port }: RemoteInfo): Flow | undefined => {
    const backend = balancer.candidates(address)[0];
    if (backend === undefined) return undefined;
    balancer.chose(address, backend);
    const socket = createSocket('udp4');
    const flow: Flow = { backend, socket, usedMs: clock.monotonic() };
    socket.on('message', (message) => {
      touch(client, flow);
      server.send(message, port, address);
    });
    socket.on('error', () => {
      if (flows.get(client) === flow) drop(client); // refused: the next datagram picks the next backend
    });
    const [host = '', at = ''] = backend.split(':');
    socket.connect(Number(at), host);
    flows.set(client, flow);
    const oldest = flows.size > mostFlows ? flows.keys().next() : undefined;
    if (oldest?.done === false) drop(oldest.value);
    return flow;
  };

  const touch = (client: string, flow: Flow): void => {
    flow.usedMs = clock.monotonic();
    if (flows.get(client) !== flow) return;
    flows.delete(client);
    flows.set(client, flow);
  };

  server.on('message', (message, from) => {
    const client = `${from.address}:${from.port}`;
    const flow = flows.get(client) ?? openFlow(client, from);
    if (flow === undefined) return;
    touch(client, flow);
    whenConnected(flow.socket, () => flow.socket.send(message));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.bind({ address: options.address, port: options.port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', () => undefined); // an answer that could not be delivered; the client asks again

  let cancelSweep = (): void => undefined;
  const sweep = (): void => {
    const now = clock.monotonic();
    for (const [client, flow] of flows) {
      if (now - flow.usedMs < idleMs) break; // those after it were used later
      drop(client);
    }
    cancelSweep = clock.after(idleMs / 4, sweep);
  };
  cancelSweep = clock.after(idleMs / 4, sweep);

  return {
    use: (next) => {
      balancer = next;
    },
    endOthers(left) {
      for (const [client, { backend }] of flows) if (!left.has(backend)) drop(client);
    },
    async close() {
      cancelSweep();
      for (const client of [...flows.keys()]) drop(client);
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
    get connections() {
      return flows.size;
    },
  };
}

/** Connecting a datagram socket takes a turn of the event loop; what comes before that waits for it. */
function whenConnected(socket: Socket, send: () => void): void {
  try {
    socket.remoteAddress();
    send();
  } catch {
    socket.once('connect', send);
  }
}
