import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  /** Its standard input. */
  readonly input?: string;
  /** Killed after so long; default 10 s. */
  readonly timeoutMs?: number;
  /** Killed when aborted. */
  readonly signal?: AbortSignal;
}

const defaultTimeoutMs = 10_000;
/** A process that waits for a dead disk or server cannot be killed: it is left behind. */
const afterKillMs = 500;

/**
 * Runs a program of the machine. Killed at its deadline or when aborted, it counts as ended with exit code -1 soon after, dead or
 * not. Rejects when it cannot be run at all.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  { input = '', timeoutMs = defaultTimeoutMs, signal }: CommandOptions = {},
): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    let abandon: NodeJS.Timeout | undefined;
    const end = (exitCode: number, remark = ''): void => {
      clearTimeout(deadline);
      clearTimeout(abandon);
      signal?.removeEventListener('abort', onAbort);
      resolve({ exitCode, stdout, stderr: stderr + remark });
    };
    const kill = (why: string): void => {
      child.kill('SIGKILL');
      stderr += why;
      abandon ??= setTimeout(() => {
        child.unref();
        end(-1);
      }, afterKillMs);
    };
    const deadline = setTimeout(() => {
      kill(` (killed after ${timeoutMs} ms)`);
    }, timeoutMs);
    const onAbort = (): void => {
      kill(' (given up)');
    };
    if (signal?.aborted === true) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new Error(`the program "${program}" is missing on this machine`) : error);
      end(-1);
    });
    child.once('close', (code) => {
      end(code ?? -1);
    });
    child.stdin.once('error', () => undefined); // it ended without reading all: its exit code says so
    child.stdin.end(input);
  });
}
