import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
import { run } from './cluster.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';
import { controlPlane } from './parts.ts';

/** Each command of the block in docs/operations.md that tells how to start every part by itself, by the part's name. */
export function documentedCommands(): ReadonlyMap<string, string> {
  const page = readFileSync('docs/operations.md', 'utf8');
  const block = /<!-- run: operations -->\n```sh\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
  const commands = block.trim().split('\n');
  return new Map(commands.map((command) => [/dist\/([a-z-]+)\.js/.exec(command)?.[1] ?? 'nats', command]));
}

export interface HandStartedOptions {
  readonly cluster: string;
  /** Which parts to start, by name; all but the node's when absent. */
  readonly parts?: readonly string[];
  /** More flags for a part. */
  readonly flags?: Readonly<Record<string, readonly string[]>>;
}

/**
 * A cluster without a supervisor: the very commands of docs/operations.md, with ports and folders of its own.
 * Each part can be started, stopped and killed by itself. `stop` ends all and removes the folder.
 */
export class HandStarted {
  readonly folder = mkdtempSync(join(tmpdir(), 'troupe-hand-'));
  readonly #options: HandStartedOptions;
  readonly #children = new Map<string, ChildProcess>();
  readonly #said = new Map<string, string>();
  #ports = { api: 0, nats: 0, dns: 0 };

  private constructor(options: HandStartedOptions) {
    this.#options = options;
  }

  static async start(options: HandStartedOptions): Promise<HandStarted> {
    const made = new HandStarted(options);
    made.#ports = { api: await freePort(), nats: await freePort(), dns: await freePort() };
    try {
      await Promise.all((options.parts ?? controlPlane).map((part) => made.startPart(part)));
    } catch (error) {
      await made.stop();
      throw error;
    }
    return made;
  }

  get server(): string {
    return `127.0.0.1:${this.#ports.api}`;
  }
  get natsUrl(): string {
    return `nats://127.0.0.1:${this.#ports.nats}`;
  }
  get dnsPort(): number {
    return this.#ports.dns;
  }
  client(): Client {
    return newClient({ address: this.server });
  }
  /** The end of what a part has written to its log. */
  log(part: string): string {
    return this.#said.get(part) ?? '';
  }

  async startPart(part: string): Promise<void> {
    const [program = '', ...args] = this.#commandOf(part);
    const env = { ...process.env, TROUPE_CLUSTER: this.#options.cluster };
    const child = spawn(program === 'node' ? process.execPath : program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
    });
    this.#children.set(part, child);
    this.#said.set(part, '');
    const collect = (chunk: Buffer): void =>
      void this.#said.set(part, (this.log(part) + chunk.toString()).slice(-20_000));
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    const started = part === 'nats' ? 'Server is ready' : '"msg":"started"';
    await until(() => this.log(part).includes(started) || child.exitCode !== null, {
      timeoutMs: 30_000,
      what: () => `${part} to start: ${this.log(part)}`,
    });
    if (child.exitCode !== null) throw new Error(`${part} ended with ${child.exitCode}: ${this.log(part)}`);
  }

  /** Ends one part with a signal and waits until it is gone. */
  async stopPart(part: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#children.get(part);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
    return child.exitCode;
  }

  async stop(): Promise<void> {
    for (const part of [...this.#children.keys()].toReversed()) await this.stopPart(part, 'SIGKILL');
    if (this.#children.has('node-agent')) await this.#teardown();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Takes away what a killed agent left on the machine. */
  async #teardown(): Promise<void> {
    const [, ...args] = this.#commandOf('node-agent');
    const env = { TROUPE_CLUSTER: this.#options.cluster };
    const { code, stdout, stderr } = await run(process.execPath, [...args, '--teardown', '--teardown-grace', '0'], env);
    if (code !== 0) throw new Error(`the agent could not clean up: ${stdout}${stderr}`);
  }

  /** The documented command with this cluster's ports and folders, in words. */
  #commandOf(part: string): readonly string[] {
    const documented = documentedCommands().get(part);
    if (documented === undefined) throw new Error(`docs/operations.md does not say how to start ${part}`);
    const words = documented
      .replaceAll('127.0.0.1:7400', this.server)
      .replaceAll('nats://127.0.0.1:4222', this.natsUrl)
      .replace('--port 4222', `--port ${this.#ports.nats}`)
      .replaceAll('/var/lib/troupe', this.folder)
      .replaceAll('"$(hostname)"', 'node-1')
      .split(' ');
    const dns = part === 'dns' ? ['--listen', `127.0.0.1:${this.#ports.dns}`] : [];
    return [...words, ...dns, ...(this.#options.flags?.[part] ?? [])];
  }
}
