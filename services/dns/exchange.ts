import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createConnection } from 'node:net';
import type { Upstream } from './upstreams.ts';
import { isTruncated, questionEnd, type Query } from './wire.ts';
import { writeQuery } from './wire-write.ts';

/**
 * Asks one server one question and resolves to its answer, over TCP when it does not fit a datagram. Rejects when none that belongs to the
 * question comes in time. Each question leaves from a port and with an id that nobody can foresee, and only an answer that repeats it counts.
 */
export async function exchange(
  upstream: Upstream,
  question: Buffer,
  edns: Query['edns'],
  timeoutMs: number,
): Promise<Buffer> {
  const message = writeQuery(randomInt(65_536), question, edns);
  const signal = AbortSignal.timeout(timeoutMs);
  const answer = await byUdp(upstream, message, question, signal);
  return isTruncated(answer) ? byTcp(upstream, message, question, signal) : answer;
}

/** Whether `answer` answers the question in `message`. */
function belongs(answer: Buffer, message: Buffer, question: Buffer): boolean {
  if (answer.length < 12 || answer.readUInt16BE(0) !== message.readUInt16BE(0) || (answer.readUInt8(2) & 0x80) === 0)
    return false;
  try {
    return sameQuestion(answer.subarray(12, questionEnd(answer)), question);
  } catch {
    return false;
  }
}

const sameQuestion = (a: Buffer, b: Buffer): boolean =>
  a.length === b.length && a.toString('latin1').toLowerCase() === b.toString('latin1').toLowerCase();

function byUdp({ host, port }: Upstream, message: Buffer, question: Buffer, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    const end = (work: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.close();
      work();
    };
    const onAbort = (): void => end(() => reject(new Error(`${host}:${port} did not answer in time`)));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.on('error', (error) => end(() => reject(error)));
    socket.on('message', (answer) => {
      if (belongs(answer, message, question)) end(() => resolve(answer));
    });
    socket.connect(port, host, () => socket.send(message));
  });
}

function byTcp({ host, port }: Upstream, message: Buffer, question: Buffer, signal: AbortSignal): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host, port, signal });
    const length = Buffer.alloc(2);
    length.writeUInt16BE(message.length);
    let received = Buffer.alloc(0);
    socket.on('connect', () => socket.write(Buffer.concat([length, message])));
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = received.subarray(2, 2 + received.readUInt16BE(0));
      socket.destroy();
      if (belongs(answer, message, question)) resolve(answer);
      else reject(new Error(`${host}:${port} answered something else by TCP`));
    });
    socket.on('error', reject);
    socket.on('close', () => reject(new Error(`${host}:${port} closed the connection without an answer`)));
  });
}
