import { spawn } from 'node:child_process';

export interface CommandResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const timeoutMs = 10_000;

/** Runs a program of the machine with `input` as its standard input; killed after 10 s. Rejects when it cannot be run at all. */
export function runCommand(program: string, args: readonly string[], input = ''): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], timeout: timeoutMs, killSignal: 'SIGKILL' });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new Error(`the program "${program}" is missing on this machine`) : error);
    });
    child.once('close', (code) => {
      resolve({
        exitCode: code ?? -1,
        stdout,
        stderr: code === null ? `${stderr} (killed after ${timeoutMs} ms)` : stderr,
      });
    });
    child.stdin.once('error', () => undefined); // it ended without reading all: its exit code says so
    child.stdin.end(input);
  });
}
