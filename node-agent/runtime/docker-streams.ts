import type { IncomingMessage } from 'node:http';
import { Readable, type Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { statusOf, textOf } from './engine-error.ts';
import { demultiplexed } from './log-frames.ts';
import { RuntimeError } from './runtime.ts';
import type { OutputPiece, RuntimeProcess, RuntimeStreams } from './streams.ts';

/** How long what was started inside has to end after the one who started it has gone. */
const endGraceMs = 5_000;
/**
 * The engine keeps back, with a terminal, keys that may be the beginning of its own sequence for leaving. This one begins with a
 * key that hardly anyone presses, and goes on as nobody would.
 */
const detachKeys = 'ctrl-^,ctrl-@,ctrl-^,ctrl-_,ctrl-^,ctrl-@';

/** Streams of a Docker engine. `docker` must have no time-out of its own; `toError` translates what it throws. */
export function dockerStreams(
  docker: Docker,
  clock: Clock,
  toError: (error: unknown, what: string) => RuntimeError,
): RuntimeStreams {
  return {
    async startProcess(id, wish, signal) {
      try {
        const made = await docker.getContainer(id).exec({
          ...{ Cmd: [...wish.command], AttachStdin: wish.stdin, AttachStdout: true, AttachStderr: true, Tty: wish.tty },
          ...(wish.tty ? { DetachKeys: detachKeys } : {}),
        });
        const socket = await made.start({ hijack: true, stdin: wish.stdin, Tty: wish.tty });
        onAbort(signal, () => {
          socket.destroy();
          void endExec(made, wish.tty, clock);
        });
        return {
          ...streamsOf(socket, wish.tty, toError),
          output: told(outputOf(socket, wish.tty, { signal, toError }), wish.command[0] ?? ''),
          resize: (columns, rows) =>
            wish.tty ? whenStarted(clock, () => made.resize({ w: columns, h: rows })) : Promise.resolve(),
          exitCode: () =>
            exitOfExec(made, clock, signal).catch((error: unknown) => Promise.reject(toError(error, 'exec'))),
        };
      } catch (error) {
        throw toError(error, 'exec');
      }
    },

    async attach(id, { stdin }, signal) {
      const container = docker.getContainer(id);
      try {
        const { Config, State } = await container.inspect();
        if (!State.Running) throw new RuntimeError('NotRunning', 'the container does not run');
        const socket = (await container.attach({
          ...{ stream: true, hijack: true, stdin, stdout: true, stderr: true, logs: false, detachKeys },
        })) as unknown as Duplex;
        onAbort(signal, () => socket.destroy());
        return {
          ...streamsOf(socket, Config.Tty, toError),
          output: outputOf(socket, Config.Tty, { signal, toError }),
          resize: async (columns, rows) => {
            if (Config.Tty) await container.resize({ w: columns, h: rows });
          },
          exitCode: async () => {
            const { State: now } = await container.inspect();
            return now.Running ? undefined : now.ExitCode;
          },
        };
      } catch (error) {
        throw toError(error, 'attach');
      }
    },

    async readFiles(id, path, signal) {
      try {
        const container = docker.getContainer(id);
        let answer = await archive(container, path, signal);
        const { linkTarget } = statOf(answer);
        if (linkTarget !== '') {
          answer.destroy();
          answer = await archive(container, linkTarget, signal);
        }
        const stat = statOf(answer);
        onAbort(signal, () => answer.destroy());
        return {
          name: stat.name,
          sizeBytes: stat.size,
          isFolder: isFolder(stat.mode),
          tar: readable(answer, { signal, toError }),
        };
      } catch (error) {
        throw fileError(error, path, toError);
      }
    },

    async writeFiles(id, folder, tar, signal) {
      const source = Readable.from(tar, { objectMode: false });
      try {
        // What fails in the source (the other end has gone) must fail the request: half a tar is no tar.
        const failed = new Promise<never>((_, reject) => source.once('error', reject));
        await Promise.race([docker.getContainer(id).putArchive(source, { path: folder, abortSignal: signal }), failed]);
      } catch (error) {
        throw fileError(error, folder, toError);
      } finally {
        source.destroy();
      }
    },
  };
}

type ToError = (error: unknown, what: string) => RuntimeError;

function streamsOf(socket: Duplex, tty: boolean, toError: ToError): Pick<RuntimeProcess, 'tty' | 'write' | 'endInput'> {
  let broken: Error | undefined;
  socket.on('error', (error) => (broken = error));
  return {
    tty,
    write: (data) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed || socket.writableEnded || broken !== undefined) return resolve();
        socket.write(data, (error) => {
          // It reads no more: what is left of the input concerns nobody.
          if (error === undefined || error === null || /EPIPE|ECONNRESET|destroyed/.test(messageOf(error))) resolve();
          else reject(toError(error, 'stdin'));
        });
      }),
    endInput: () => {
      if (!socket.destroyed) socket.end();
    },
  };
}

async function* outputOf(
  socket: Duplex,
  tty: boolean,
  { signal, toError }: { readonly signal: AbortSignal; readonly toError: ToError },
): AsyncIterable<OutputPiece> {
  try {
    if (tty) for await (const data of socket as AsyncIterable<Uint8Array>) yield { channel: 'stdout', data };
    else yield* demultiplexed(socket as AsyncIterable<Uint8Array>);
  } catch (error) {
    if (!signal.aborted) throw toError(error, 'output');
  } finally {
    socket.destroy();
  }
}

/**
 * What the engine says when it cannot start a command comes as if the command had printed it, wrapped in the words of three programs.
 * A person wants to hear on stderr what is wrong with the command.
 */
async function* told(output: AsyncIterable<OutputPiece>, command: string): AsyncIterable<OutputPiece> {
  let isFirst = true;
  for await (const piece of output) {
    const failed =
      isFirst && piece.data.length < 4096 ? notStarted(Buffer.from(piece.data).toString('utf8')) : undefined;
    isFirst = false;
    yield failed === undefined
      ? piece
      : { channel: 'stderr', data: Buffer.from(`cannot run "${command}": ${failed}\n`) };
  }
}

function notStarted(text: string): string | undefined {
  if (!text.startsWith('OCI runtime exec failed: ')) return undefined;
  const words = text.trim().replace(/: unknown$/, '');
  return words.slice(words.lastIndexOf(': ') + 2);
}

/** An exec may be asked for its size or its end before the engine has brought it up; it says so by refusing. */
async function whenStarted(clock: Clock, work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await work();
      return;
    } catch {
      if (attempt === 5) return; // it has ended, or was never there: no size to set
      await wait(clock, 20 * 2 ** attempt);
    }
  }
}

/** The engine closes the output a moment before it knows how the command ended. */
async function exitOfExec(made: Docker.Exec, clock: Clock, signal: AbortSignal): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const { Running: running, ExitCode: code } = await made.inspect();
    if (!running && code !== null) return code;
    await wait(clock, Math.min(1_000, 5 * 2 ** attempt), signal);
  }
}

/** The engine has no verb for ending what it runs inside; the kernel has. */
async function endExec(made: Docker.Exec, tty: boolean, clock: Clock): Promise<void> {
  try {
    for (const name of [tty ? 'SIGHUP' : 'SIGTERM', 'SIGKILL'] as const) {
      const { Running: running, Pid: pid } = await made.inspect();
      if (!running || pid <= 1) return;
      process.kill(pid, name);
      await wait(clock, endGraceMs);
    }
  } catch {
    // it has ended, or the engine is away: there is nothing more to do about it
  }
}

interface PathStat {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly linkTarget: string;
}

const archive = async (container: Docker.Container, path: string, signal: AbortSignal): Promise<IncomingMessage> =>
  (await container.getArchive({ path, abortSignal: signal })) as unknown as IncomingMessage;

function statOf(answer: IncomingMessage): PathStat {
  const text = String(answer.headers['x-docker-container-path-stat'] ?? '');
  return JSON.parse(Buffer.from(text, 'base64').toString('utf8')) as PathStat;
}

/** The engine writes modes as Go does: the highest bit marks folders. */
const isFolder = (mode: number): boolean => mode >>> 31 === 1;

async function* readable(
  source: Readable,
  { signal, toError }: { readonly signal: AbortSignal; readonly toError: ToError },
): AsyncIterable<Uint8Array> {
  try {
    yield* source as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (!signal.aborted) throw toError(error, 'files');
  } finally {
    source.destroy();
  }
}

function fileError(error: unknown, path: string, toError: ToError): RuntimeError {
  const text = textOf(error);
  if (/no such container/i.test(text)) return new RuntimeError('NotFound', 'the container is gone', { cause: error });
  if (/could not find the file|no such file or directory|not a directory/i.test(text)) {
    const what = /not a directory/i.test(text) ? 'is not a folder' : 'there is no such file or folder';
    return new RuntimeError('NoSuchFile', `${path}: ${what}`, { cause: error });
  }
  if (/read-?only/i.test(text)) return new RuntimeError('ReadOnly', `${path}: it can only be read`, { cause: error });
  if (/tar|unexpected EOF|archive/i.test(text) && statusOf(error) !== undefined)
    return new RuntimeError('BadTar', `${path}: what came could not be unpacked: ${text}`, { cause: error });
  return toError(error, path);
}

function onAbort(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
}
