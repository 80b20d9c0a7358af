import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { newFakeRuntime, type FakeRuntime } from '../../../node-agent/runtime/fake-runtime.ts';
import { bundle } from '../bundle.ts';
import { Line } from './line.ts';
import { serveRuntime } from './remote-runtime.ts';

const main = fileURLToPath(new URL('node.main.ts', import.meta.url));

/** How a node is lost: its agent killed, its agent frozen, its lines silent, its lines broken and refused. */
export const losses = ['killed', 'frozen', 'silent', 'cut'] as const;
export type Loss = (typeof losses)[number];

/**
 * A node whose agent is the real one in a process of its own, and whose engine is in this process: it goes on whatever becomes of the
 * agent, and can be looked at any time.
 */
export class HollowNode {
  readonly name: string;
  readonly engine: FakeRuntime = newFakeRuntime();
  readonly #lines: readonly [api: Line, nats: Line];
  readonly #cluster: string;
  #child: ChildProcess | undefined;
  #loss: Loss | undefined;

  private constructor(name: string, cluster: string, lines: readonly [Line, Line]) {
    this.name = name;
    this.#cluster = cluster;
    this.#lines = lines;
  }

  static async start(name: string, cluster: string, ports: { readonly api: number; readonly nats: number }) {
    const node = new HollowNode(name, cluster, [await Line.to(ports.api), await Line.to(ports.nats)]);
    node.#fork();
    return node;
  }

  get isLost(): boolean {
    return this.#loss !== undefined;
  }

  async lose(how: Loss): Promise<void> {
    this.#loss = how;
    if (how === 'killed') await this.#kill();
    else if (how === 'frozen') this.#child?.kill('SIGSTOP');
    else for (const line of this.#lines) line.become(how);
  }

  /** Takes the loss back. */
  heal(): void {
    if (this.#loss === 'killed') this.#fork();
    else if (this.#loss === 'frozen') this.#child?.kill('SIGCONT');
    else for (const line of this.#lines) line.become('open');
    this.#loss = undefined;
  }

  async stop(): Promise<void> {
    await this.#kill();
    await Promise.all(this.#lines.map((line) => line.close()));
  }

  #fork(): void {
    const [api, nats] = this.#lines;
    const args = [this.name, `127.0.0.1:${api.port}`, `nats://127.0.0.1:${nats.port}`, this.#cluster];
    this.#child = fork(bundle(main), args, {
      ...{ execArgv: [], serialization: 'advanced' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    serveRuntime(this.#child, this.engine);
  }

  async #kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}
