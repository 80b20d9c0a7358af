import { once } from 'node:events';
import { connect, type AddressInfo, type Socket } from 'node:net';
import type { Carriage } from '../../lib/api/carriage.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { newLog } from '../../lib/base/log.ts';
import { diff } from '../../services/proxy/table/diff.ts';
import { emptyTable, frontendKey, type ProxyTable, type Target } from '../../services/proxy/table/table.ts';
import { givenAddresses } from '../../services/proxy/userspace/addresses.ts';
import { builtIn, type Policies } from '../../services/proxy/userspace/policy/registry.ts';
import { wasReset } from '../../services/proxy/userspace/dial.ts';
import { UserspaceRules } from '../../services/proxy/userspace/userspace.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** One service port as a test wants it; the first is served on `port`. */
export interface ServedPort {
  readonly name?: string;
  readonly backends: readonly string[];
  readonly carriage?: Partial<Carriage>;
  readonly target?: Partial<Target>;
}

/** Userspace rules on the loopback interface, in the test's own process: real sockets, no root. */
export class UserspaceProxy {
  readonly rules: UserspaceRules;
  readonly port: number;
  #table: ProxyTable = emptyTable;

  private constructor(port: number, options: { readonly policies?: Policies; readonly drainMs?: number }) {
    this.port = port;
    this.rules = new UserspaceRules({
      ...{ drainMs: options.drainMs ?? 200, clock: systemClock, log: newLog('proxy', { level: 'silent' }) },
      ...{ addresses: givenAddresses, clusterCidr: '', nodeName: 'n1', endpoints: () => undefined },
      policies: new Map([...builtIn, ...(options.policies ?? [])]),
    });
  }

  static async start(
    options: { readonly policies?: Policies; readonly drainMs?: number } = {},
  ): Promise<UserspaceProxy> {
    return new UserspaceProxy(await freePort(), options);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Makes exactly these service ports so. */
  async serve(...ports: readonly ServedPort[]): Promise<void> {
    const targets = ports.map(({ name = 'web', backends, carriage, target }): Target => {
      const whole = { byRequest: false, policy: undefined, policyOptions: '', proxyProtocol: undefined, ...carriage };
      return {
        ...{ id: `default/${name}/tcp/80`, protocol: 'TCP', backends: [...backends].sort(), affinitySeconds: 0 },
        ...{ masquerade: false, carriage: whole, ...target },
      };
    });
    const frontend = { address: '127.0.0.1', port: this.port, protocol: 'TCP', target: targets[0]?.id ?? '' } as const;
    const next: ProxyTable = {
      ...emptyTable,
      targets: new Map(targets.map((each) => [each.id, each])),
      frontends: targets.length === 0 ? new Map() : new Map([[frontendKey(frontend), frontend]]),
    };
    const before = this.#table;
    this.#table = next;
    await this.rules.apply(before, next, diff(before, next));
  }

  /** Resolves when so many requests or connections are under way, waiting ones among them. */
  async active(count: number): Promise<void> {
    const now = async (): Promise<number> =>
      (await this.rules.carried(new Set(['default/web']))).reduce((sum, { active }) => sum + active, 0);
    await until(async () => (await now()) === count, { what: `${count} under way`, timeoutMs: 10_000 });
  }

  /** A bare connection to the service. */
  async connect(): Promise<Wire> {
    const socket = connect({ port: this.port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return new Wire(socket);
  }

  close(): Promise<void> {
    return this.rules.close();
  }
}

/** A connection spoken by hand. */
export class Wire {
  readonly socket: Socket;
  text = '';
  ended: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (data: Buffer) => (this.text += data.toString('latin1')));
    socket.on('end', () => (this.ended ??= wasReset(socket) ? 'ECONNRESET' : 'end'));
    socket.on('error', (error: NodeJS.ErrnoException) => (this.ended ??= error.code ?? 'error'));
    socket.on('close', () => (this.ended ??= 'close'));
  }

  send(...lines: readonly string[]): this {
    this.socket.write(lines.join('\r\n'), 'latin1');
    return this;
  }

  /** Takes what came up to and with `end`, waiting for it. */
  async take(end: string | RegExp): Promise<string> {
    const at = await until(
      () => {
        const found = typeof end === 'string' ? this.text.indexOf(end) : this.text.search(end);
        if (found >= 0) return found + (typeof end === 'string' ? end.length : (end.exec(this.text)?.[0].length ?? 0));
        if (this.ended !== undefined) throw new Error(`the connection ended (${this.ended}) after ${this.text}`);
        return undefined;
      },
      { what: () => `${String(end)} in ${JSON.stringify(this.text.slice(0, 500))}`, timeoutMs: 20_000, everyMs: 1 },
    );
    const taken = this.text.slice(0, at);
    this.text = this.text.slice(at);
    return taken;
  }

  async untilEnded(): Promise<string> {
    return until(() => this.ended, { what: 'the connection ends', timeoutMs: 20_000, everyMs: 1 });
  }
}

/** Where a server listens, as a backend. */
export const backendOf = (server: { address(): AddressInfo | string | null }): string => {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server does not listen on TCP');
  return `127.0.0.1:${address.port}`;
};
