import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ChildProcess } from 'node:child_process';
import { bundle } from './bundle.ts';
import type { Netns } from './netns.ts';

/**
 * A program of the test's own inside a namespace: one request a line on its input, one answer a line on its output.
 * `serveRequests` is its other half. Programs are bundled once, so that one starts in the time of a bare Node.
 */
export class Peer {
  readonly process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #next = 1;

  private constructor(child: ChildProcess) {
    this.process = child;
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    lines.on('line', (line) => {
      const { id, value, error } = JSON.parse(line) as { id: number; value?: unknown; error?: string };
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(value);
      else waiting?.reject(new Error(error));
    });
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the peer has ended'));
      this.#waiting.clear();
    });
  }

  /** Starts the program whose source is `file`, a URL from `import.meta.resolve` or `new URL(…)`. */
  static async start(space: Netns, file: URL): Promise<Peer> {
    const peer = new Peer(space.spawn(process.execPath, [bundle(fileURLToPath(file))]));
    await peer.ask('ping');
    return peer;
  }

  async ask<T>(verb: string, args: object = {}): Promise<T> {
    const id = this.#next++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.process.stdin?.write(`${JSON.stringify({ id, verb, args })}\n`);
    });
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
  }
}
