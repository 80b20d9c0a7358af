import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { promisify } from 'node:util';
import dnsPacket from 'dns-packet';
import { readTable } from '../../../services/proxy/nftables/nft-read.ts';

const exec = promisify(execFile);

/** What the kernel does for a proxy: every frontend with its backends. */
export async function kernelFrontends(table: string): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await exec('nft', ['-j', 'list', 'table', 'ip', table], { maxBuffer: 1 << 28 });
  const { frontends, targets } = readTable(stdout);
  return new Map(
    [...frontends.values()]
      .filter(({ inside }) => inside === undefined)
      .map(({ address, port, protocol, target }) => [
        `${address}:${port}/${protocol}`,
        (targets.get(target)?.backends ?? []).join(' '),
      ]),
  );
}

/** Asks a DNS server by UDP; a question without an answer fails after three tries of a second each. */
export class Questions {
  readonly #socket: Socket;
  readonly #port: number;
  readonly #waiting = new Map<number, (message: Buffer) => void>();
  #next = 0;

  private constructor(socket: Socket, port: number) {
    this.#socket = socket;
    this.#port = port;
    socket.on('message', (message) => this.#waiting.get(message.readUInt16BE(0))?.(message));
    socket.on('error', () => undefined); // refused while the server is away: the question fails by time
  }

  static async to(port: number, host = '127.0.0.1'): Promise<Questions> {
    const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20 });
    await new Promise<void>((resolve) => socket.connect(port, host, resolve));
    return new Questions(socket, port);
  }

  /** The addresses of a name, sorted; undefined where it does not exist. Rejects when there is no answer, or that it failed. */
  async addresses(name: string): Promise<string | undefined> {
    const { rcode, answers } = await this.#ask(name, 'A');
    if (rcode === 'NXDOMAIN') return undefined;
    return answers
      .flatMap((answer) => (answer.type === 'A' ? [answer.data] : []))
      .sort()
      .join(' ');
  }

  close(): void {
    this.#socket.close();
  }

  async #ask(
    name: string,
    type: 'A' | 'PTR',
  ): Promise<{ readonly rcode: string; readonly answers: dnsPacket.Answer[] }> {
    const id = (this.#next = (this.#next + 1) & 0xffff);
    const flags = dnsPacket.RECURSION_DESIRED;
    const question = dnsPacket.encode({ type: 'query', id, flags, questions: [{ type, name }] });
    const message = await new Promise<Buffer>((resolve, reject) => {
      // As resolvers do: what is lost on a busy machine is asked again, and three times are enough for anybody.
      let times = 0;
      const ask = (): void => {
        if (++times > 3) return reject(new Error(`no answer from port ${this.#port} to ${type} ${name}`));
        late = setTimeout(ask, 1_000);
        this.#socket.send(question);
      };
      let late: NodeJS.Timeout | undefined;
      this.#waiting.set(id, (answer) => {
        clearTimeout(late);
        resolve(answer);
      });
      ask();
    }).finally(() => this.#waiting.delete(id));
    const { answers = [], rcode } = dnsPacket.decode(message) as dnsPacket.DecodedPacket & { readonly rcode: string };
    if (rcode !== 'NOERROR' && rcode !== 'NXDOMAIN') throw new Error(`${type} ${name}: ${rcode}`);
    return { rcode, answers };
  }
}
