import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import dnsPacket from 'dns-packet';
import { freePort } from './free-port.ts';

/** A DNS server that says what the test tells it, by UDP and TCP. */
export interface FakeUpstream {
  readonly port: number;
  /** Every question that came, `A api.github.com`, in order. */
  readonly asked: string[];
  /** What it says to a question; undefined: nothing at all. A test may change it at any time. */
  answer: (question: dnsPacket.Question, query: dnsPacket.Packet) => Partial<dnsPacket.Packet> | undefined;
  close(): Promise<void>;
}

const noSuchName = 3;

/** `records`: by `A name`; what is not there does not exist. */
export async function startUpstream(
  records: Readonly<Record<string, dnsPacket.Answer[]>> = {},
  host = '127.0.0.1',
): Promise<FakeUpstream> {
  const asked: string[] = [];
  const names = new Set(Object.keys(records).map((key) => key.split(' ')[1]));
  const port = await freePort();
  const udp = createSocket('udp4');
  const tcp = createServer();
  const upstream: FakeUpstream = {
    port,
    asked,
    answer: ({ type, name }) => ({
      answers: records[`${type} ${name.toLowerCase()}`] ?? [],
      flags: names.has(name.toLowerCase()) ? 0 : noSuchName,
      authorities: [
        {
          ...{ type: 'SOA', name: 'test', ttl: 30 },
          data: { mname: 'ns.test', rname: 'a.test', serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 },
        },
      ],
    }),
    async close() {
      udp.close();
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
  const respond = (message: Buffer): Buffer | undefined => {
    const query = dnsPacket.decode(message);
    const question = query.questions?.[0];
    if (question === undefined) return undefined;
    asked.push(`${question.type} ${question.name}`);
    const said = upstream.answer(question, query);
    if (said === undefined) return undefined;
    return dnsPacket.encode({ type: 'response', id: query.id ?? 0, questions: [question], ...said });
  };
  udp.on('message', (message, from) => {
    const answer = respond(message);
    if (answer === undefined) return;
    const cut = dnsPacket.decode(answer);
    const fits = answer.length <= 1232;
    const short = fits
      ? answer
      : dnsPacket.encode({
          type: 'response',
          id: cut.id ?? 0,
          flags: dnsPacket.TRUNCATED_RESPONSE,
          questions: cut.questions ?? [],
        });
    udp.send(short, from.port, from.address);
  });
  tcp.on('connection', (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', (data: Buffer) => {
      const answer = respond(data.subarray(2)) ?? Buffer.alloc(0);
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.end(Buffer.concat([length, answer]));
    });
  });
  await new Promise<void>((resolve) => udp.bind(port, host, resolve));
  await new Promise<void>((resolve) => tcp.listen(port, host, resolve));
  return upstream;
}
