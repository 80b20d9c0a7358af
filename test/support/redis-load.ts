import { connect } from 'node:net';
import { once } from 'node:events';
import { Cutter, findReply } from '../../examples/redis-split/resp.ts';
import { serveRequests } from './netns-requests.ts';

/** Speaks to Redis from inside a test network. */
/** Set while clients read. */
let reading = false;

serveRequests({
  pipeline,
  reads,
  /** Lets `reads` resolve. */
  stopReads() {
    reading = false;
  },
});

const bytesOf = (words: readonly string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;

/** A reply in short: bulk strings as they are, lists with their parts behind commas. */
function short(reply: Buffer): string {
  const lines = reply.toString('utf8').split('\r\n').slice(0, -1);
  const words = lines.filter((line) => !line.startsWith('$'));
  const [first = '', ...others] = words;
  return /^[*%>]/.test(first)
    ? `${first.startsWith('*') ? first : first.slice(0, 1)}${others.length > 0 && first.startsWith('*') ? ',' : ''}${others.join(',')}`
    : first;
}

/** Sends all commands at once on one connection; their replies in order. */
async function pipeline({
  ip,
  commands,
}: {
  readonly ip: string;
  readonly commands: readonly (readonly string[])[];
}): Promise<string[]> {
  const socket = connect(6379, ip);
  const cutter = new Cutter();
  const replies: string[] = [];
  socket.write(commands.map(bytesOf).join(''));
  for await (const data of socket) {
    cutter.add(data as Buffer);
    for (let reply; (reply = cutter.next(findReply)) !== undefined;) replies.push(short(reply));
    if (replies.length >= commands.length) break;
  }
  return replies;
}

/** Reads again and again on connections that stay, until told to stop; a client whose connection ends counts that as a failure. */
async function reads({
  ip,
  clients,
}: {
  readonly ip: string;
  readonly clients: number;
}): Promise<{ done: number; failures: string[] }> {
  reading = true;
  const failures: string[] = [];
  let done = 0;
  await Promise.all(
    Array.from({ length: clients }, async () => {
      const socket = connect(6379, ip);
      socket.on('error', (error) => failures.push(error.message));
      await once(socket, 'connect');
      const cutter = new Cutter();
      const arriving = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
      while (reading) {
        socket.write(bytesOf(['GET', 'key1']));
        let reply: Buffer | undefined;
        while ((reply = cutter.next(findReply)) === undefined) {
          const { done: closed, value } = await arriving
            .next()
            .catch(() => ({ done: true, value: undefined }) as const);
          if (closed === true) return void failures.push('the connection was closed');
          cutter.add(value);
        }
        if (short(reply) === 'value1') done++;
        else failures.push(short(reply));
      }
      socket.destroy();
    }),
  );
  return { done, failures };
}
