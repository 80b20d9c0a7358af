import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

/** How a line behaves: `open` carries all; `silent` carries nothing and tells nobody, as a lost cable; `cut` breaks what is there and refuses what comes. */
export type LineState = 'open' | 'silent' | 'cut';

/** One TCP line of a machine to a port of this one, which a test may lose and mend. What was sent into silence arrives once it is over. */
export class Line {
  readonly #server: Server;
  readonly #target: number;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  #state: LineState = 'open';

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    server.on('connection', (near) => {
      this.#carry(near);
    });
  }

  /** `target` is a port on loopback, and `port` gets one that is free. */
  static async to(target: number): Promise<Line> {
    const server = createServer({ pauseOnConnect: true });
    const line = new Line(server, target);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return line;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('the line is closed');
    return address.port;
  }

  become(state: LineState): void {
    this.#state = state;
    for (const [near, far] of [...this.#pairs]) {
      if (state === 'cut') near.destroy();
      else if (state === 'silent') for (const end of [near, far]) end.pause();
      else for (const end of [near, far]) end.resume();
    }
  }

  async close(): Promise<void> {
    this.become('cut');
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  #carry(near: Socket): void {
    if (this.#state === 'cut') return void near.destroy();
    const far = connect(this.#target, '127.0.0.1');
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.setNoDelay(true);
      from.on('data', (bytes: Buffer) => to.write(bytes));
      from.on('error', () => undefined); // the close that follows says it
      from.on('close', () => {
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
    if (this.#state === 'open') near.resume();
    else far.pause();
  }
}
