import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { Log } from '../../lib/base/log.ts';
import type { Resolver } from './resolver.ts';
import { receiveBuffer } from './receive-buffer.ts';
import { answerInTurns } from './turns.ts';
import { readQuery } from './wire.ts';
import { fit, writeError } from './wire-write.ts';

export interface DnsServerOptions {
  readonly resolver: Resolver;
  readonly host: string;
  /** 0 takes a free one, the same for UDP and TCP. */
  readonly port: number;
  readonly log: Log;
  /** Told of questions by UDP that get no answer: there was no room, or nobody waits for it any more. */
  readonly onDropped?: (count: number) => void;
  readonly onQuery?: (transport: 'udp' | 'tcp', seconds: number) => void;
}

export interface DnsServer {
  readonly port: number;
  close(): Promise<void>;
}

const mostConnections = 1_000;
const idleMs = 10_000;
/** Questions of one connection that may wait for their answers. */
const mostPipelined = 100;

/** Listens by UDP and TCP (RFC 1035, 7766). Rejects when the address is taken or not this machine's. */
export async function serveDns(options: DnsServerOptions): Promise<DnsServer> {
  for (let attempt = 0; ; attempt++) {
    const udp = await listenUdp(options);
    const { port } = udp.address();
    try {
      const tcp = await listenTcp(options, port);
      return {
        port,
        async close() {
          for (const socket of tcp.sockets) socket.destroy();
          await Promise.all([
            new Promise<void>((resolve) => udp.close(() => resolve())),
            new Promise<void>((resolve) => tcp.server.close(() => resolve())),
          ]);
        },
      };
    } catch (error) {
      udp.close();
      // A free UDP port may be a taken TCP port.
      if (options.port !== 0 || attempt > 20) throw error;
    }
  }
}

/** The answer to a message, or undefined where none is due. */
function answerTo(
  { resolver }: DnsServerOptions,
  message: Buffer,
  byUdp: boolean,
): Buffer | Promise<Buffer> | undefined {
  const known = byUdp ? resolver.repeat(message) : undefined;
  if (known !== undefined) return known;
  const query = readQuery(message);
  if ('bad' in query) return query.bad && writeError(query.bad, query.bad.opcode === 0 ? 'FORMERR' : 'NOTIMP');
  const answer = resolver.answer(query);
  if (!byUdp) return answer;
  if (answer instanceof Promise) return answer.then((whole) => fit(query, whole));
  const fitting = fit(query, answer);
  resolver.keep(message, fitting);
  return fitting;
}

/** Answers go to addresses, never to names: looking nothing up saves a turn of the event loop for each. */
const asItIs = (
  address: string,
  _options: unknown,
  done: (error: null, address: string, family: number) => void,
): void => {
  done(null, address, 4);
};

async function listenUdp(options: DnsServerOptions): Promise<UdpSocket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: receiveBuffer, lookup: asItIs });
  const add = answerInTurns(options, ({ message, port, address, arrivedMs }) => {
    const send = (answer: Buffer): void => {
      socket.send(answer, port, address);
      options.onQuery?.('udp', (performance.now() - arrivedMs) / 1000);
    };
    const answer = answerTo(options, message, true);
    if (answer instanceof Promise)
      answer.then(send, (error: unknown) => options.log.error({ error }, 'could not answer'));
    else if (answer !== undefined) send(answer);
  });
  socket.on('message', (message, { port, address }) => add({ message, port, address, arrivedMs: performance.now() }));
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ address: options.host, port: options.port }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  socket.on('error', (error) => options.log.warn({ error }, 'an answer could not be sent'));
  return socket;
}

async function listenTcp(options: DnsServerOptions, port: number): Promise<{ server: Server; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    if (sockets.size >= mostConnections) return void socket.destroy();
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined); // 'close' follows
    socket.setTimeout(idleMs, () => socket.destroy());
    converse(options, socket);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: options.host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', (error) => options.log.warn({ error }, 'a connection could not be accepted'));
  return { server, sockets };
}

/** Messages come with their length in front, several on one connection; answers go out as they are ready. */
function converse(options: DnsServerOptions, socket: Socket): void {
  let received = Buffer.alloc(0);
  let waiting = 0;
  const send = (answer: Buffer, start: number): void => {
    if (socket.destroyed || answer.length > 65_535) return;
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answer.length);
    socket.write(Buffer.concat([length, answer]));
    options.onQuery?.('tcp', (performance.now() - start) / 1000);
  };
  const drain = (): void => {
    while (waiting < mostPipelined && received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      const message = received.subarray(2, end);
      received = received.subarray(end);
      const start = performance.now();
      const answer = answerTo(options, message, false);
      if (answer === undefined) return void socket.destroy();
      waiting++;
      void Promise.resolve(answer)
        .then((whole) => send(whole, start))
        .finally(() => {
          waiting--;
          socket.resume();
          drain();
        });
    }
    if (waiting >= mostPipelined) socket.pause();
  };
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    drain();
  });
}
