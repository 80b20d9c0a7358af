import { spawn, type ChildProcess } from 'node:child_process';
import { run } from '../kernel/command.ts';

/** A script longer than this goes to a process of its own. */
const longestLine = 60_000;
const marker = 'payload expression';
/** It remembers every line it was given, so it is replaced now and then. */
const mostScripts = 1_000;
/** A process that stays and does not answer, or ends, twice in a row is not trusted again. */
const mostFailures = 2;

/**
 * Hands scripts to the kernel. Small ones go to one `nft` that stays, since starting one costs several times what a small change does;
 * it is started when first needed and again after it has failed. Where that does not work, each script gets a process of its own.
 * A script that the kernel refuses changes nothing and rejects with nft's own words.
 */
export class NftProcess {
  readonly #timeoutMs: number;
  #child: ChildProcess | undefined;
  #output = '';
  #scripts = 0;
  #failures = 0;
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;

  constructor(options: { readonly timeoutMs?: number } = {}) {
    this.#timeoutMs = options.timeoutMs ?? 15_000;
  }

  /** One transaction. Never call it again before it has settled. */
  async execute(script: string): Promise<void> {
    if (script === '') return;
    if (script.length > longestLine || this.#failures >= mostFailures) return this.#alone(script);
    const child = (this.#child ??= this.#start());
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new Error(`nft did not answer within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      this.#waiting = {
        resolve: () => (clearTimeout(timer), resolve()),
        reject: (error) => (clearTimeout(timer), reject(error)),
      };
      // One line is one transaction. `describe` asks the kernel nothing; what it prints tells that the line before is done.
      child.stdin?.write(`${script.replaceAll('\n', '; ')}\ndescribe ip saddr\n`);
    });
    if (++this.#scripts >= mostScripts) this.close();
  }

  /** The output of `nft -j <command>`; empty when what is asked for does not exist. */
  list(command: string): Promise<string> {
    return this.#ask(['-j', ...command.split(' ')]);
  }

  /** The output of `nft <command>`, for what it does not print as JSON; empty when what is asked for does not exist. */
  print(command: string): Promise<string> {
    return this.#ask(command.split(' '));
  }

  async #ask(words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run('nft', words, { timeoutMs: this.#timeoutMs });
    if (code === 0) return stdout;
    if (stderr.includes('No such file or directory')) return '';
    throw new Error(`nft ${words.join(' ').slice(0, 200)}: ${firstLines(stderr)}`);
  }

  /** The next script starts another process. */
  close(): void {
    this.#scripts = 0;
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  async #alone(script: string): Promise<void> {
    const { code, stderr } = await run('nft', ['-f', '-'], { input: script, timeoutMs: this.#timeoutMs });
    if (code !== 0) throw new Error(`nft: ${firstLines(stderr)}`);
  }

  #start(): ChildProcess {
    // One pipe for both outputs, so that an error is read before the marker that follows it.
    // It writes what it was given to a file at home when it ends; there is none.
    const env = { ...process.env, HOME: '/nonexistent' };
    const child = spawn('sh', ['-c', 'exec nft -i 2>&1'], { stdio: ['pipe', 'pipe', 'ignore'], env });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (this.#child === child) this.#hear(text);
    });
    child.stdin.on('error', () => undefined); // 'exit' tells
    child.on('error', (error) => {
      if (this.#child === child) this.#fail(error);
    });
    child.on('exit', (code) => {
      if (this.#child === child) this.#fail(new Error(`nft ended with code ${code}: ${firstLines(this.#output)}`));
    });
    child.unref();
    return child;
  }

  #hear(text: string): void {
    this.#output += text;
    if (!this.#output.includes(marker)) return;
    const said = this.#output;
    this.#output = '';
    this.#failures = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (!/\berror\b/i.test(said)) waiting?.resolve();
    else waiting?.reject(new Error(`nft: ${firstLines(said.slice(said.search(/\berror\b/i)))}`));
  }

  #fail(error: Error): void {
    const child = this.#child;
    this.#child = undefined;
    this.#output = '';
    child?.kill('SIGKILL');
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) this.#failures++;
    waiting?.reject(error);
  }
}

const firstLines = (text: string): string => text.trim().split('\n').slice(0, 4).join(' ').slice(0, 500);
