import { messageOf } from '../../../lib/base/errors.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { Flow, Selection } from './flow.ts';
import { forgetMessages, listMessage, readFlows } from './flow-messages.ts';
import { keepBase } from './marks.ts';
import { NetlinkRelay } from './netlink-relay.ts';
import { pokeProgram, pokesFor } from './poke.ts';
import { Shell } from './shell.ts';

const timeoutMs = 20_000;
/** So many flows are forgotten by one process, or in one message. */
const batchSize = 200;
const ours = `0x${keepBase.toString(16)}/0xfe000000`;

/**
 * The kernel's list of flows: by its own messages through a process that passes on bytes, in a millisecond or so, else by the program
 * `conntrack`, in some ten. Calls are carried out one after the other.
 */
export class Flows {
  readonly #log: Log;
  readonly #relay = new NetlinkRelay();
  readonly #poker = new NetlinkRelay(pokeProgram);
  readonly #shell = new Shell();
  #last: Promise<unknown> = Promise.resolve();
  #refused = false;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Rejects when neither way works, such as without `conntrack`. */
  list(selection: Selection): Promise<readonly Flow[]> {
    return this.#inTurn(async () => {
      if (this.#direct) {
        try {
          return readFlows(await this.#relay.exchange(listMessage(selection)), selection);
        } catch (error) {
          this.#giveUp(error);
        }
      }
      return this.#listByTool(selection);
    });
  }

  /**
   * Makes the kernel forget them, so that the next packet of each is that of a new connection, and tells their clients, so that those that only wait are
   * reset at once, and those that are still opening try again at once. Flows that are gone already are no error; clients that cannot be reached are left.
   */
  async end(flows: readonly Flow[]): Promise<void> {
    await this.#forget(flows);
    const packets = pokesFor(flows);
    if (packets.length === 0 || !this.#poker.usable) return;
    await this.#inTurn(() => this.#poker.exchange(packets)).catch((error: unknown) => {
      this.#log.debug({ error: messageOf(error) }, 'clients that wait could not be told that nobody answers');
    });
  }

  /** Starts what is needed before it is needed. */
  warm(): void {
    if (!this.#direct) return;
    this.#relay.warm();
    this.#poker.warm();
  }

  close(): void {
    this.#relay.close();
    this.#poker.close();
    this.#shell.close();
  }

  get #direct(): boolean {
    return !this.#refused && this.#relay.usable;
  }

  #forget(flows: readonly Flow[]): Promise<void> {
    return this.#inTurn(async () => {
      for (let i = 0; i < flows.length; i += batchSize) {
        const some = flows.slice(i, i + batchSize);
        if (this.#direct && some.every(({ tuple }) => tuple.length > 0)) {
          try {
            await this.#relay.exchange(forgetMessages(some));
            continue;
          } catch (error) {
            this.#giveUp(error);
          }
        }
        await this.#forgetByTool(some);
      }
    });
  }

  #giveUp(error: unknown): void {
    // The relay counts its own failures; what the kernel does not understand it will not understand the next time.
    this.#refused ||= this.#relay.usable;
    this.#log.debug({ error: messageOf(error) }, 'flows cannot be read from the kernel directly; conntrack tries');
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #listByTool({ ours: marked, protocol, backendIp, unanswered }: Selection): Promise<readonly Flow[]> {
    const words = ['-L', '-f', 'ipv4'];
    if (marked === true) words.push('-m', ours);
    if (protocol !== undefined) words.push('-p', protocol);
    if (backendIp !== undefined) words.push('--reply-src', backendIp);
    const { code, stdout } = await this.#shell.run('conntrack', words, { timeoutMs });
    if (code !== 0 && !stdout.includes('0 flow entries')) throw new Error(`conntrack: ${stdout.trim().slice(0, 300)}`);
    const flows = stdout.split('\n').flatMap((line) => readToolFlow(line) ?? []);
    return unanswered === true ? flows.filter(({ answered }) => !answered) : flows;
  }

  async #forgetByTool(flows: readonly Flow[]): Promise<void> {
    const lines = flows.map(
      ({ protocol, client, address, port }) =>
        `-D -p ${protocol} --orig-src ${client.ip} --orig-dst ${address} --orig-port-src ${client.port} --orig-port-dst ${port}`,
    );
    // The tool opens its standard input by name, which fails for a here-document: hence the pipe.
    const input = lines.join('\n');
    const { code, stdout } =
      lines.length === 1
        ? await this.#shell.run('conntrack', input.split(' '), { timeoutMs })
        : await this.#shell.run('sh', ['-c', 'cat | conntrack -R -'], { input, timeoutMs });
    if (code !== 0 && !stdout.includes('0 flow entries')) throw new Error(`conntrack: ${stdout.trim().slice(0, 300)}`);
  }
}

/** `tcp 6 431999 ESTABLISHED src=<client> dst=<address> sport=… dport=<port> [UNREPLIED] src=<backend> dst=… sport=<its port> dport=… mark=…` */
export function readToolFlow(line: string): Flow | undefined {
  const found =
    /^(tcp|udp|sctp) (.*?) src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+) (.*?)src=(\S+) dst=\S+ sport=(\d+) .*?mark=(\d+)/.exec(
      line,
    );
  if (found === null) return undefined;
  const [, protocol = '', state = '', ip = '', address = '', from = '', port = '', replied = ''] = found;
  const [backendIp = '', backendPort = '', mark = ''] = found.slice(8);
  return {
    protocol: protocol as Flow['protocol'],
    client: { ip, port: Number(from) },
    address,
    port: Number(port),
    backend: `${backendIp}:${backendPort}`,
    opening: state.endsWith('SYN_SENT'),
    answered: !replied.includes('[UNREPLIED]'),
    isOurs: (Number(mark) & 0xfe000000) >>> 0 === keepBase,
    tuple: Buffer.alloc(0),
  };
}
