import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { wasReset } from '../../../services/proxy/userspace/dial.ts';
import { serveRequests } from '../../support/netns-requests.ts';

/**
 * A host in the test network: serves as a backend and makes connections as a client.
 * A backend greets with `<name> <address of the client>` and then echoes; a datagram is answered with the same line.
 */
const held = new Map<string, { socket: Socket; text: string; ended?: string }>();
const senders = new Map<string, UdpSocket>();

serveRequests({ serve, connections, hold, say, state, halfClose, datagrams });

/** An answer takes less, on the busiest machine. */
const silenceMs = 10_000;

interface To {
  readonly ip: string;
  readonly port: number;
}

async function serve({ name, port }: { readonly name: string; readonly port: number }): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.write(`${name} ${socket.remoteAddress ?? ''}\n`);
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(port, '0.0.0.0', 4096, resolve));
  const udp = createSocket('udp4');
  udp.on('message', (_message, from) => udp.send(`${name} ${from.address}`, from.port, from.address));
  await new Promise<void>((resolve) => udp.bind(port, '0.0.0.0', resolve));
}

/** The greetings (or error codes) of `count` connections, one after the other. */
async function connections({ ip, port, count = 1 }: To & { readonly count?: number }): Promise<string[]> {
  const said: string[] = [];
  for (let i = 0; i < count; i++) said.push(await greeting({ ip, port }));
  return said;
}

function greeting({ ip, port }: To): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port });
    socket.setTimeout(10_000, () => (socket.destroy(), resolve('ETIMEDOUT')));
    socket.once('data', (data) => (socket.destroy(), resolve(data.toString().trim())));
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once('close', () => resolve('closed'));
  });
}

/** Opens a connection and keeps it under `id`; resolves to the greeting. */
async function hold({ id, ip, port }: To & { readonly id: string }): Promise<string> {
  const socket = connect({ host: ip, port });
  const entry: { socket: Socket; text: string; ended?: string } = { socket, text: '' };
  held.set(id, entry);
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('data', (data) => {
      socket.off('error', reject);
      socket.on('error', (error: NodeJS.ErrnoException) => (entry.ended ??= error.code ?? 'error'));
      socket.on('end', () => (entry.ended ??= wasReset(socket) ? 'ECONNRESET' : 'end'));
      socket.on('close', () => (entry.ended ??= 'close'));
      socket.on('data', (more) => (entry.text += more.toString()));
      resolve(data.toString().trim());
    });
  });
}

/** Sends on a kept connection; what comes back is in `state`. */
function say({ id, text }: { readonly id: string; readonly text: string }): void {
  held.get(id)?.socket.write(text);
}

function state({ id }: { readonly id: string }): { readonly text: string; readonly ended: string | null } {
  const entry = held.get(id);
  return { text: entry?.text ?? '', ended: entry?.ended ?? null };
}

/** Sends `bytes`, closes that direction at once and resolves to how many come back before the other side closes. */
function halfClose({ ip, port, bytes }: To & { readonly bytes: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: ip, port, allowHalfOpen: true });
    let back = 0;
    let head = true;
    socket.on('error', reject);
    socket.on('data', (data) => {
      const greetingEnd = head ? data.indexOf(10) + 1 : 0;
      if (greetingEnd > 0) head = false;
      back += data.length - greetingEnd;
    });
    socket.on('end', () => resolve(back));
    socket.end(Buffer.alloc(bytes, 'x'));
  });
}

/** The answers to `count` datagrams, one after the other, from one socket kept under `id`; an error code or `silence` where none came. */
async function datagrams({
  id,
  ip,
  port,
  count = 1,
  waitMs = silenceMs,
}: To & { readonly id: string; readonly count?: number; readonly waitMs?: number }): Promise<string[]> {
  const socket = senders.get(id) ?? createSocket('udp4');
  if (!senders.has(id)) {
    senders.set(id, socket);
    await new Promise<void>((resolve) => socket.connect(port, ip, resolve));
  }
  const answers: string[] = [];
  for (let i = 0; i < count; i++) answers.push(await answerTo(socket, waitMs));
  return answers;
}

function answerTo(socket: UdpSocket, waitMs: number): Promise<string> {
  return new Promise((resolve) => {
    const done = (text: string): void => {
      clearTimeout(timer);
      socket.removeAllListeners('message').removeAllListeners('error');
      resolve(text);
    };
    const timer = setTimeout(() => done('silence'), waitMs);
    socket.once('message', (message) => done(message.toString()));
    socket.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
    socket.send('hello');
  });
}
