import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import type Docker from 'dockerode';
import { wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { openRoot, type ContainerRoot } from '../files/container-root.ts';
import { readPlace } from '../files/read-files.ts';
import { writeFiles } from '../files/write-files.ts';
import type { DockerArchives } from './docker-archives.ts';
import { statusOf } from './engine-error.ts';
import { demultiplexed } from './log-frames.ts';
import { RuntimeError } from './runtime.ts';
import type { OutputPiece, RuntimeProcess, RuntimeStreams } from './streams.ts';

/** In the environment of each command that we start: which run of the agent it belongs to. */
const mark = 'TROUPE_EXEC';
const ownRun = randomBytes(8).toString('hex');
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
  archives: DockerArchives,
): RuntimeStreams {
  return {
    async startProcess(id, wish, signal) {
      try {
        const made = await docker.getContainer(id).exec({
          ...{ Cmd: [...wish.command], AttachStdin: wish.stdin, AttachStdout: true, AttachStderr: true, Tty: wish.tty },
          Env: [`${mark}=${ownRun}`],
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

    async endLeftProcesses(id) {
      try {
        const { ExecIDs: ids } = await docker.getContainer(id).inspect();
        const left = await Promise.all(
          (ids ?? []).map(async (execId) => {
            const made = docker.getExec(execId);
            const { Running: running, Pid: pid } = await made.inspect();
            if (!running || pid <= 1 || !(await isLeft(pid))) return 0;
            void endExec(made, false, clock);
            return 1;
          }),
        );
        return left.reduce<number>((sum, count) => sum + count, 0);
      } catch (error) {
        if (statusOf(error) === 404) return 0; // it ended meanwhile
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
        const own = streamsOf(socket, Config.Tty, toError);
        return {
          ...own,
          ...(Config.StdinOnce
            ? { output: outputOf(socket, Config.Tty, { signal, toError }) }
            : lastWords(clock, outputOf(socket, Config.Tty, { signal, toError }), own.endInput)),
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

    // What runs is read and written by the kernel's names for it: the engine would hold all else back that is asked of the container,
    // its end too, until the last byte has gone.
    async readFiles(id, path, signal) {
      const root = await rootOf(docker, id, toError);
      if (root === undefined) return archives.read(id, path, signal);
      try {
        return await readPlace(await root.find(path), path, signal);
      } finally {
        await root.close();
      }
    },

    async writeFiles(id, folder, tar, signal) {
      const root = await rootOf(docker, id, toError);
      if (root === undefined) return archives.write(id, folder, tar, signal);
      try {
        await writeFiles(root, folder, tar, signal);
      } finally {
        await root.close();
      }
    },
  };
}

/** Undefined where the container does not run, or its root cannot be reached from here. NotFound. */
async function rootOf(docker: Docker, id: string, toError: ToError): Promise<ContainerRoot | undefined> {
  try {
    const container = docker.getContainer(id);
    const { State } = await container.inspect();
    if (!State.Running || State.Pid <= 0) return undefined;
    const root = await openRoot(State.Pid);
    if (root === undefined) return undefined;
    const { State: now } = await container.inspect();
    if (now.Running && now.Pid === State.Pid) return root; // else it may be the root of whoever has its number now
    await root.close();
    return undefined;
  } catch (error) {
    throw statusOf(error) === 404
      ? new RuntimeError('NotFound', 'the container is gone', { cause: error })
      : toError(error, 'files');
  }
}

/** What is printed in answer to the last of the input may take so long to begin, and to go on. */
const answerMs = 1_000;

/**
 * Where a container goes on reading from others (no `stdinOnce`), the engine takes the output away together with the input, however much of the
 * answer is still to come: the input is ended once nothing has been printed for a while.
 */
function lastWords(
  clock: Clock,
  output: AsyncIterable<OutputPiece>,
  endInput: () => void,
): Pick<RuntimeProcess, 'output' | 'endInput'> {
  let quietSinceMs = clock.monotonic();
  let isHeld = false;
  let cancel: (() => void) | undefined;
  const endWhenQuiet = (): void => {
    const leftMs = isHeld ? answerMs : quietSinceMs + answerMs - clock.monotonic();
    if (leftMs <= 0) endInput();
    else cancel = clock.after(leftMs, endWhenQuiet);
  };
  async function* heard(): AsyncGenerator<OutputPiece> {
    try {
      for await (const piece of output) {
        isHeld = true; // by whoever reads it
        yield piece;
        isHeld = false;
        quietSinceMs = clock.monotonic();
      }
    } finally {
      cancel?.();
    }
  }
  return {
    output: heard(),
    endInput() {
      if (cancel !== undefined) return;
      quietSinceMs = clock.monotonic();
      endWhenQuiet();
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

/** Whether a process was started by one of ours that is not this one. */
async function isLeft(pid: number): Promise<boolean> {
  const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
  const run = environment.split('\0').find((one) => one.startsWith(`${mark}=`));
  return run !== undefined && run !== `${mark}=${ownRun}`;
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

function onAbort(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
}
