import { createServer, type Server, type Socket } from 'node:net';
import type { Carried, CarrierOptions } from './carried.ts';
import { reset } from './dial.ts';
import type { Sides } from './sides.ts';
import type { Upstream } from './upstream.ts';

/** What a socket of this process serves, whatever the protocol. */
export interface OpenFrontend {
  /** New connections go by this from now on; those of clients that may not connect any more end at once. */
  use(sides: Sides): void;
  /**
   * Accepts nothing more; connections that are open go on as long as they may when `drain` is set, and end at once otherwise.
   * Resolves when all have ended. May be called again, to end at once what drains.
   */
  close(drain: boolean): Promise<void>;
  readonly connections: number;
}

export interface FrontendOptions extends CarrierOptions {
  readonly address: string;
  readonly port: number;
}

/** Takes over a client's connection, which is paused. */
export type Carrier = (client: Socket, upstream: Upstream, options: CarrierOptions) => Carried | undefined;

const backlog = 4_096;

/** Accepts on `address:port` and hands each connection to the carrier. Rejects when the address cannot be bound. */
export async function openTcp(options: FrontendOptions, initial: Sides, carry: Carrier): Promise<OpenFrontend> {
  let sides = initial;
  let closing = false;
  const open = new Map<Socket, Carried>();
  let whenClosed = (): void => undefined;
  const closed = new Promise<void>((resolve) => (whenClosed = resolve));
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) => {
    const upstream = closing ? undefined : sides.for(client.remoteAddress ?? '', client.localAddress ?? '');
    const carried = upstream === undefined ? undefined : carry(client, upstream, options);
    if (carried === undefined) return reset(client);
    open.set(client, carried);
    client.on('close', () => open.delete(client));
  });
  await listen(server, options);

  return {
    use(next) {
      sides = next;
      for (const [client, carried] of open)
        if (sides.for(client.remoteAddress ?? '', client.localAddress ?? '') === undefined) carried.reset();
    },
    async close(drain) {
      if (!closing) server.close(whenClosed);
      closing = true;
      for (const carried of open.values()) {
        if (drain) carried.rest();
        else carried.reset();
      }
      await closed;
    },
    get connections() {
      return open.size;
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
