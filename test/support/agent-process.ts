import { spawn, type ChildProcess } from 'node:child_process';
import { until } from './until.ts';

/** One process of ours from its bundle in `dist/`, which a test may kill and start again. */
export class PartProcess {
  readonly #name: string;
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  readonly #env: Readonly<Record<string, string>>;
  #said = '';

  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#name = name;
    this.#args = args;
    this.#env = env;
  }

  /** Resolves when it says that it has started. */
  async start(): Promise<void> {
    if (this.#child !== undefined && !this.#over(this.#child)) throw new Error(`${this.#name} runs already`);
    const child = spawn(process.execPath, [`dist/${this.#name}.js`, ...this.#args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#env },
    });
    this.#child = child;
    this.#said = '';
    const collect = (chunk: Buffer): void => void (this.#said = (this.#said + chunk.toString()).slice(-20_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    await until(() => this.#said.includes('"started"') || this.#over(child), {
      timeoutMs: 20_000,
      what: () => `${this.#name} to start: ${this.#said}`,
    });
    if (this.#over(child)) throw new Error(`${this.#name} ended at once: ${this.#said}`);
  }

  /** What it has printed since its start. */
  get said(): string {
    return this.#said;
  }
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined || this.#over(child)) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
  }

  #over(child: ChildProcess): boolean {
    return child.exitCode !== null || child.signalCode !== null;
  }
}
