import { spawn, type ChildProcess } from 'node:child_process';
import type { CommandResult } from './command.ts';

const marker = 'troupe-done';

interface Request {
  readonly line: string;
  readonly timeoutMs: number;
  readonly resolve: (result: CommandResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A `sh` that stays and starts programs for us, one after the other. To start one ourselves would hold up this process for as long as
 * its memory takes to be duplicated: several milliseconds, in which no change takes effect. It ends with this process.
 */
export class Shell {
  #child: ChildProcess | undefined;
  #output = '';
  readonly #queue: Request[] = [];
  #cancel: (() => void) | undefined;

  /**
   * Runs a program to its end; both its outputs are in `stdout` and in `stderr`, as they came. Rejects when the shell itself
   * fails or the program takes longer than `timeoutMs`; a bad exit code is an answer, 127 when there is no such program.
   */
  run(
    command: string,
    args: readonly string[],
    options: { readonly input?: string; readonly timeoutMs?: number } = {},
  ): Promise<CommandResult> {
    const words = [command, ...args].map(quoted).join(' ');
    const from = options.input === undefined ? '</dev/null' : `<<'${marker}'\n${options.input}\n${marker}`;
    const line = `${words} 2>&1 ${from}\nprintf '\\n${marker} %d\\n' $?\n`;
    return new Promise((resolve, reject) => {
      this.#queue.push({ line, timeoutMs: options.timeoutMs ?? 30_000, resolve, reject });
      if (this.#queue.length === 1) this.#next();
    });
  }

  /** The next program starts another shell. */
  close(): void {
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  #next(): void {
    const [request] = this.#queue;
    if (request === undefined) return;
    const child = (this.#child ??= this.#start());
    const timer = setTimeout(() => {
      this.#fail(new Error(`${request.line.slice(0, 80)} took longer than ${request.timeoutMs} ms`));
    }, request.timeoutMs);
    this.#cancel = () => clearTimeout(timer);
    child.stdin?.write(request.line);
  }

  #start(): ChildProcess {
    const child = spawn('sh', [], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (this.#child === child) this.#hear(text);
    });
    child.stdin.on('error', () => undefined); // 'exit' tells
    child.on('error', (error) => {
      if (this.#child === child) this.#fail(error);
    });
    child.on('exit', (code) => {
      if (this.#child === child) this.#fail(new Error(`sh ended with code ${code}`));
    });
    // A request holds this process by its timer; an idle shell does not.
    for (const held of [child, child.stdin, child.stdout]) (held as { unref?(): void }).unref?.();
    return child;
  }

  #hear(text: string): void {
    this.#output += text;
    const found = new RegExp(`\\n${marker} (\\d+)\\n$`).exec(this.#output.slice(-64));
    if (found === null) return;
    const said = this.#output.slice(0, -found[0].length);
    this.#settle(({ resolve }) => resolve({ code: Number(found[1]), stdout: said, stderr: said }));
  }

  #fail(error: Error): void {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid !== undefined) {
      try {
        process.kill(-child.pid, 'SIGKILL'); // with the program that it waits for
      } catch {
        // it has ended
      }
    }
    this.#settle(({ reject }) => reject(error));
  }

  #settle(answer: (request: Request) => void): void {
    this.#cancel?.();
    this.#output = '';
    const request = this.#queue.shift();
    if (request !== undefined) answer(request);
    this.#next();
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;
