import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import type { FrontendOptions, OpenFrontend } from './tcp-frontend.ts';
import type { Sides } from './sides.ts';
import type { Member, Use } from './upstream.ts';

/** A client without traffic either way for so long is forgotten. */
const idleMs = 60_000;
/** Clients at one time; the one that has been silent longest gives way. */
const mostFlows = 10_000;

interface Flow {
  /** The client's. */
  readonly address: string;
  readonly member: Member;
  readonly use: Use;
  readonly socket: Socket;
  usedMs: number;
}

/** Relays datagrams: each client address has one backend until it falls silent, so that answers find back. Rejects when the address cannot be bound. */
export async function openUdp(options: FrontendOptions, initial: Sides): Promise<OpenFrontend> {
  const { clock } = options;
  let sides = initial;
  /** Least recently used first. */
  const flows = new Map<string, Flow>();
  const server = createSocket('udp4');

  const drop = (client: string): void => {
    const flow = flows.get(client);
    if (flow === undefined) return;
    flows.delete(client);
    flow.socket.close();
    flow.member.active--;
    flow.member.uses.delete(flow.use);
  };

  const openFlow = (client: string, { address, port }: RemoteInfo): Flow | undefined => {
    const what = { client: address, clientPort: port };
    const upstream = sides.for(address, options.address);
    const member = upstream?.choose(what);
    if (upstream === undefined || member === undefined) return undefined;
    upstream.chose(what, member);
    const socket = createSocket('udp4');
    const lost = (): void => {
      if (flows.get(client) === flow) drop(client); // the next datagram picks the next backend
    };
    const flow: Flow = { address, member, use: { left: lost, cut: lost }, socket, usedMs: clock.monotonic() };
    member.active++;
    member.uses.add(flow.use);
    member.tally.connection('ok');
    socket.on('message', (message) => {
      touch(client, flow);
      server.send(message, port, address);
    });
    socket.on('error', lost); // refused
    socket.connect(member.port, member.ip);
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
    use(next) {
      sides = next;
      for (const [client, { address }] of flows) if (sides.for(address, options.address) === undefined) drop(client);
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
