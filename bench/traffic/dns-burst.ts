import { createSocket, type Socket } from 'node:dgram';
import dnsPacket from 'dns-packet';
import { serveRequests } from '../../test/support/netns-requests.ts';

interface Burst {
  readonly port: number;
  readonly services: number;
  /** Names looked up, each for A and AAAA. */
  readonly lookups: number;
  /** Sockets, as of so many programs; the questions are dealt out among them. */
  readonly sockets: number;
  /** A question without an answer after so long is lost. */
  readonly patienceMs: number;
}

/**
 * Sends all questions as fast as it can without waiting for any answer and without asking anything twice. A socket has few questions enough that
 * its own receive buffer holds all the answers: what is missing at the end was lost on the way to the server or in it.
 */
serveRequests({
  async burst({ port, services, lookups, sockets: count, patienceMs }: Burst) {
    const sockets = await Promise.all(Array.from({ length: count }, () => open(port)));
    const questions = Array.from({ length: services }, (_, i) =>
      ['A', 'AAAA'].map((type) => question(`s${i}.default.svc.cluster.local`, type as 'A' | 'AAAA')),
    );
    const sentAt = new Float64Array(lookups * 2);
    const timesMs: number[] = [];
    let wrong = 0;
    let last = performance.now();
    sockets.forEach((socket, index) =>
      socket.on('message', (message) => {
        const number = message.readUInt16BE(0) * count + index;
        const at = sentAt[number] ?? 0;
        if (at === 0) return void wrong++;
        sentAt[number] = 0;
        last = performance.now();
        timesMs.push(last - at);
        if ((message.readUInt16BE(2) & 15) !== 0) wrong++;
      }),
    );
    const begun = performance.now();
    for (let number = 0; number < lookups * 2; number++) {
      const id = Math.floor(number / count);
      const [a, aaaa] = questions[(number >> 1) % services] ?? [];
      const message = Buffer.from((number % 2 === 0 ? a : aaaa) ?? '');
      message.writeUInt16BE(id, 0);
      sentAt[number] = performance.now();
      sockets[number % count]?.send(message);
      // The system call is made at once; a pause now and then lets the answers in.
      if (number % 200 === 199) await new Promise((resolve) => setImmediate(resolve));
    }
    const sendingMs = performance.now() - begun;
    while (timesMs.length < lookups * 2 && performance.now() - last < patienceMs)
      await new Promise((resolve) => setTimeout(resolve, 20));
    for (const socket of sockets) socket.close();
    timesMs.sort((a, b) => a - b);
    const at = (share: number): number => timesMs[Math.floor(timesMs.length * share)] ?? NaN;
    return {
      ...{ answered: timesMs.length, lost: lookups * 2 - timesMs.length, wrong },
      ...{ p50: at(0.5), p99: at(0.99), longest: timesMs.at(-1) ?? NaN, sendingMs, tookMs: last - begun },
    };
  },
});

async function open(port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
  await new Promise<void>((resolve) => socket.connect(port, '127.0.0.1', resolve));
  return socket;
}

const question = (name: string, type: 'A' | 'AAAA'): Buffer =>
  dnsPacket.encode({ type: 'query', id: 0, flags: dnsPacket.RECURSION_DESIRED, questions: [{ type, name }] });
