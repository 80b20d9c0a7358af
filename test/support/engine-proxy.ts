import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';

/** One request of the agent, as the walk counts it. */
export interface EngineCall {
  readonly method: string;
  readonly path: string;
}

/** Called for each counted request; what it returns is awaited before the request goes on, or its answer is given. */
export interface Listening {
  before(call: EngineCall, number: number): Promise<void>;
  /** Once the engine has the request; not awaited. */
  during?(call: EngineCall, number: number): void;
  after(call: EngineCall, number: number): Promise<void>;
}

/** Looking on changes nothing and never ends; it is passed on uncounted. */
const isUncounted = ({ method, path }: EngineCall): boolean =>
  method === 'GET' && /\/(events|_ping|info|version|stats|logs)\b/.test(path);

/**
 * Stands between an agent and its engine and sees every request, so that a test can strike at any of them without a
 * hook in either. Requests are numbered from 1 since the last `reset`.
 */
export class EngineProxy {
  readonly socketPath: string;
  readonly calls: EngineCall[] = [];
  /** Those that the engine has not answered yet. */
  readonly underWay = new Set<EngineCall>();
  readonly #engine: string;
  readonly #server: Server;
  #listening: Listening | undefined;

  private constructor(socketPath: string, engine: string) {
    this.socketPath = socketPath;
    this.#engine = engine;
    this.#server = createServer((asked, answer) => void this.#pass(asked, answer));
    this.#server.on('upgrade', (asked: IncomingMessage, socket, head) => {
      const upstream = connect(this.#engine, () => {
        const headers = asked.rawHeaders.map((text, i) => (i % 2 === 0 ? `${text}: ` : `${text}\r\n`)).join('');
        upstream.write(`${asked.method} ${asked.url} HTTP/1.1\r\n${headers}\r\n`);
        upstream.write(head);
        upstream.pipe(socket);
        socket.pipe(upstream);
      });
      upstream.on('error', () => socket.destroy());
      socket.on('error', () => upstream.destroy());
    });
  }

  static async start(socketPath: string, engine: string): Promise<EngineProxy> {
    const proxy = new EngineProxy(socketPath, engine);
    await new Promise<void>((resolve) => proxy.#server.listen(socketPath, resolve));
    return proxy;
  }

  /** Counts from 1 again. */
  reset(listening?: Listening): void {
    this.calls.length = 0;
    this.#listening = listening;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #pass(asked: IncomingMessage, answer: ServerResponse): Promise<void> {
    const call = { method: asked.method ?? '', path: (asked.url ?? '').replace(/^\/v[\d.]+/, '') };
    const number = isUncounted(call) ? 0 : this.calls.push(call);
    const listening = number === 0 ? undefined : this.#listening;
    await listening?.before(call, number);
    const { method, url, headers } = asked;
    this.underWay.add(call);
    const upstream = request({ socketPath: this.#engine, method, path: url, headers }, (given) => {
      this.underWay.delete(call);
      given.on('error', () => answer.destroy()); // also while it waits to be given on
      void (async () => {
        if (listening !== undefined) await listening.after(call, number);
        if (answer.destroyed) return void given.destroy();
        if (given.destroyed && !given.complete) return void answer.destroy();
        answer.writeHead(given.statusCode ?? 502, given.headers);
        answer.flushHeaders();
        given.pipe(answer);
      })();
    });
    upstream.on('error', () => answer.destroy());
    upstream.on('close', () => this.underWay.delete(call));
    answer.on('close', () => upstream.destroy());
    asked.on('error', () => upstream.destroy());
    asked.pipe(upstream);
    listening?.during?.(call, number);
  }
}
