import { once } from 'node:events';
import { createServer as createPlainServer, type IncomingMessage } from 'node:http';
import { createSecureServer } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { splitAddress } from '../../../lib/base/telemetry.ts';
import type { RestDoor } from './door.ts';
import { IncomingRequest, type Incoming } from './request.ts';
import { send, type Outgoing } from './send.ts';
import type { Upgrade } from './streams/upgrade.ts';
import { Waiters, type Waiter } from './waiting.ts';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** Whose clients' certificates are believed; absent: nobody's, callers bring tokens. */
  readonly clientCa?: string;
}

export interface RestServerOptions {
  readonly door: RestDoor;
  /** What becomes of connections that want to be WebSockets; absent: they are refused. */
  readonly upgrade?: Upgrade;
  /** Absent: without TLS, for tests on the loopback interface. */
  readonly certificate?: Certificate;
  /** The option that says where it listens, for who must choose another place. */
  readonly flag?: string;
}

export interface RestServer {
  /** Listens at `host:port` (port 0: a free one) and resolves to where it does. Rejects with a sentence when the address is taken. */
  start(address: string): Promise<string>;
  /** Ends all answers that are under way, and closes. */
  stop(): Promise<void>;
}

/**
 * The kernel asks a silent client after this whether it is there, and after ten seconds without an answer it is not: so a client that only
 * does not read, such as a stopped pager, is not taken for gone.
 */
const alive = { keepAlive: true, keepAliveInitialDelay: 15_000 } as const;

/** HTTP/1.1 and HTTP/2 on one socket: whichever the client asks for. */
export function newRestServer({ door, upgrade, certificate, flag = '--https-listen' }: RestServerOptions): RestServer {
  const waiters = new Waiters();
  const serve = (incoming: Incoming, outgoing: Outgoing): void => {
    void answer(door, incoming, outgoing, waiters.present(outgoing));
  };
  const server =
    certificate === undefined
      ? createPlainServer(alive, serve)
      : createSecureServer(
          {
            ...alive,
            allowHTTP1: true,
            key: certificate.key,
            cert: certificate.cert,
            ...(certificate.clientCa === undefined ? {} : { ca: certificate.clientCa, requestCert: true }),
            rejectUnauthorized: false, // who brings none may bring a token
          },
          serve,
        );
  if (upgrade !== undefined) {
    server.on('upgrade', (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
      void upgrade(incoming, socket, head, new IncomingRequest(incoming, waiters.present(socket)));
    });
  }
  const sockets = new Set<{ destroy(): unknown }>();
  server.on('connection', (socket: Socket) => {
    // A small answer goes out at once: HTTP/1.1 on a server that knows HTTP/2 too would wait for more to send.
    socket.setNoDelay(true);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  return {
    async start(address) {
      const { host, port } = splitAddress(address);
      server.listen(port, host);
      try {
        await once(server, 'listening');
      } catch (error) {
        const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
        const why = taken
          ? `the address ${address} is taken by another process; choose another with ${flag}`
          : `cannot listen at ${address}: ${String(error)}`;
        throw new Error(why, { cause: error });
      }
      return `${host}:${(server.address() as AddressInfo).port}`;
    },
    async stop() {
      waiters.dismiss();
      const closed = new Promise<void>((resolve) =>
        server.close(() => {
          resolve();
        }),
      );
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function answer(door: RestDoor, incoming: Incoming, outgoing: Outgoing, waiter: Waiter): Promise<void> {
  const reply = await door(new IncomingRequest(incoming, waiter));
  try {
    await send(reply, incoming, outgoing, waiter);
  } catch (error) {
    // Headers are out: a broken answer is told by breaking it off.
    outgoing.destroy(error as Error);
  }
}
