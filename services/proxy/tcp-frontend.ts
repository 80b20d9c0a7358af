import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../lib/base/clock.ts';
import type { Balancer } from './balancer.ts';
import type { Backend } from './table.ts';

/** What a socket of this process serves, whatever the protocol. */
export interface OpenFrontend {
  /** New connections go by this balancer from now on. */
  use(balancer: Balancer): void;
  /** Connections to backends that are not in `left` end: those still being opened at once, open ones after the drain time. */
  endOthers(left: ReadonlySet<Backend>): void;
  /** Accepts nothing more and ends what is there. */
  close(): Promise<void>;
  readonly connections: number;
}

export interface FrontendOptions {
  readonly address: string;
  readonly port: number;
  readonly drainMs: number;
  readonly clock: Clock;
}

const dialTimeoutMs = 2_000;
const backlog = 4_096;

interface Pair {
  readonly client: Socket;
  /** Undefined while dialling. */
  server: Socket | undefined;
  backend: Backend | undefined;
  open: boolean;
}

/**
 * Accepts on `address:port` and joins each connection to a backend: bytes both ways, half-closes, back-pressure and resets.
 * A backend that refuses or does not answer in time is passed over for the next. Rejects when the address cannot be bound.
 */
export async function openTcp(options: FrontendOptions, initial: Balancer): Promise<OpenFrontend> {
  let balancer = initial;
  const pairs = new Set<Pair>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    const pair: Pair = { client, server: undefined, backend: undefined, open: false };
    pairs.add(pair);
    client.on('error', () => undefined); // 'close' follows and does the work
    client.on('close', () => {
      pairs.delete(pair);
      if (pair.server?.destroyed === false) end(pair.server, client);
    });
    void join(pair, balancer);
  });
  await listen(server, options);

  return {
    use: (next) => {
      balancer = next;
    },
    endOthers(left) {
      const lost = [...pairs].filter(({ backend }) => backend !== undefined && !left.has(backend));
      for (const pair of lost) if (!pair.open) pair.server?.destroy(); // the dial goes on with the next backend
      const open = lost.filter((pair) => pair.open);
      if (open.length === 0) return;
      options.clock.after(options.drainMs, () => {
        const now = new Set(balancer.target.backends);
        for (const { client, backend } of open) if (backend !== undefined && !now.has(backend)) reset(client);
      });
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const { client } of pairs) reset(client);
      await closed;
    },
    get connections() {
      return pairs.size;
    },
  };
}

async function listen(server: Server, { address, port }: FrontendOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', () => undefined); // a failed accept (no descriptors left) loses that one connection
}

async function join(pair: Pair, balancer: Balancer): Promise<void> {
  const { client } = pair;
  const from = client.remoteAddress ?? '';
  for (const backend of balancer.candidates(from)) {
    const server = await dial(pair, backend);
    if (client.destroyed) return void server?.destroy();
    if (server === undefined) continue;
    balancer.chose(from, backend);
    pair.open = true;
    server.on('error', () => undefined);
    server.on('close', () => {
      if (!client.destroyed) end(client, server);
    });
    client.pipe(server);
    server.pipe(client);
    return;
  }
  reset(client);
}

/** A connection to the backend, or undefined when it refuses, takes too long or leaves the service meanwhile. */
function dial(pair: Pair, backend: Backend): Promise<Socket | undefined> {
  const [host = '', port = ''] = backend.split(':');
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
    pair.server = socket;
    pair.backend = backend;
    socket.setTimeout(dialTimeoutMs, () => socket.destroy());
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeAllListeners('close');
      resolve(socket);
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(undefined));
  });
}

/** The other side is gone: what it sent is delivered and then closed; where it broke, this side breaks too. */
function end(socket: Socket, other: Socket): void {
  if (other.errored === null && other.readableEnded) socket.end();
  else reset(socket);
}

/**
 * Breaks a connection so that the other end knows that something is missing. `resetAndDestroy` closes in order first, which a client may
 * take for the end of an answer; with its mark set by hand, `destroy` resets at once (and closes in order on a Node without that mark).
 */
function reset(socket: Socket): void {
  (socket as { resetAndClosing?: boolean }).resetAndClosing = true;
  socket.destroy();
}
