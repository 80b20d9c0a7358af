import { createConnection, type Socket } from 'node:net';
import { proxyHeader } from './proxy-protocol.ts';
import type { Member, Upstream } from './upstream.ts';

const dialTimeoutMs = 2_000;

/** A dial under way: `done` is the open connection, or undefined when the backend refuses, is too slow, or the dial was given up. */
export interface Dial {
  readonly done: Promise<Socket | undefined>;
  giveUp(): void;
}

/** Opens a connection to a backend; with the PROXY protocol where the service port wants it, on behalf of `client`. */
export function dial(upstream: Upstream, member: Member, client: Socket | undefined): Dial {
  const socket = createConnection({ host: member.ip, port: member.port, allowHalfOpen: true, noDelay: true });
  const done = new Promise<Socket | undefined>((resolve) => {
    const lost = (): void => resolve(undefined);
    socket.setTimeout(dialTimeoutMs, () => socket.destroy());
    socket.on('error', ignore); // 'close' follows and does the work
    socket.once('close', lost);
    socket.once('connect', () => {
      socket.setTimeout(0);
      socket.removeAllListeners('timeout');
      socket.off('close', lost);
      const wanted = upstream.target.carriage?.proxyProtocol;
      if (wanted !== undefined && client !== undefined) socket.write(proxyHeader(wanted, client));
      resolve(socket);
    });
  });
  return { done, giveUp: () => void socket.destroy() };
}

export const ignore = (): void => undefined;

/**
 * Whether a connection whose end was just told was reset. Where the reset comes with the last bytes, libuv reads those and then tells of an
 * end in order; but while this side is open, an end in order leaves the kernel knowing who is at the other, and a reset does not. The
 * answer is kept from when it is first asked for: use it on connections whose `remoteAddress` nobody has read before.
 */
export const wasReset = (socket: Socket): boolean => !socket.writableEnded && socket.remoteAddress === undefined;

/** The other side is gone: what it sent is delivered and then closed; where it broke, this side breaks too. */
export function end(socket: Socket, other: Socket): void {
  if (other.errored === null && other.readableEnded) socket.end();
  else reset(socket);
}

/**
 * Breaks a connection so that the other end knows that something is missing. `resetAndDestroy` closes in order first, which a client may
 * take for the end of an answer; with its mark set by hand, `destroy` resets at once (and closes in order on a Node without that mark). One
 * that is being closed in order already is not reset: the kernel's handle would refuse, and then stay open for as long as the process.
 */
export function reset(socket: Socket): void {
  if (!socket.writableEnded) (socket as { resetAndClosing?: boolean }).resetAndClosing = true;
  socket.destroy();
}

/** Bytes both ways, with half-closes, back-pressure and resets, until both sides are done. */
export function join(client: Socket, server: Socket): void {
  server.on('close', () => {
    if (!client.destroyed) end(client, server);
  });
  client.on('close', () => {
    if (!server.destroyed) end(server, client);
  });
  client.pipe(server);
  server.pipe(client, { end: false });
  server.on('end', () => {
    if (wasReset(server)) reset(client);
    else client.end();
  });
}
