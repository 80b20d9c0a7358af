import type { Duplex } from '../../lib/bus/streams/duplex.ts';
import type { Opened } from '../../lib/bus/streams/serve.ts';
import type { TerminalSize } from '../../lib/api/streams.ts';
import type { AttachRequest, ExecRequest } from '../../lib/bus/streams/requests.ts';
import { allContainers, containerNameIn } from '../../lib/api/container-choice.ts';
import { ApiError, messageOf } from '../../lib/base/errors.ts';
import type { ContainerRuntime } from '../runtime/runtime.ts';
import type { RuntimeProcess } from '../runtime/streams.ts';
import { runningContainer, type StreamPod } from './target.ts';

interface Parts {
  readonly runtime: Pick<ContainerRuntime, 'startProcess' | 'attach'>;
  readonly signal: AbortSignal;
  readonly idleMs: number;
}

/** Starts a command in a running container. */
export async function openExec(
  pod: StreamPod,
  request: ExecRequest,
  { runtime, signal, idleMs }: Parts,
): Promise<Opened> {
  const { is } = runningContainer(pod, request);
  const { command, stdin = false, tty = false } = request;
  const process = await runtime.startProcess(is.id, { command, stdin, tty }, signal);
  return { idleMs, run: (stream) => converse(stream, process) };
}

/** The input and output of a container's first process. */
export async function openAttach(
  pod: StreamPod,
  request: AttachRequest,
  { runtime, signal, idleMs }: Parts,
): Promise<Opened> {
  const { is } = runningContainer(pod, request);
  const name = containerNameIn(pod.pod, request.container);
  const { stdin = false } = request;
  if (stdin && allContainers(pod.pod.spec).some((container) => container.name === name && container.stdin !== true)) {
    throw new ApiError(
      'BadRequest',
      `container "${name}" of pod "${pod.key}" reads no input: its stdin is not set to true; attach without input`,
    );
  }
  const process = await runtime.attach(is.id, { stdin }, signal);
  return { idleMs, run: (stream) => converse(stream, process) };
}

/** Brings input there and output back until the process, or our part in it, has ended. */
async function converse(stream: Duplex, process: RuntimeProcess): Promise<{ exitCode?: number }> {
  let broken: unknown;
  feed(stream, process).catch((error: unknown) => (broken = error));
  for await (const { channel, data } of process.output) await stream.send(channel, data);
  if (broken !== undefined) throw new ApiError('InternalError', `the input could not be given: ${messageOf(broken)}`);
  const exitCode = await process.exitCode();
  return exitCode === undefined ? {} : { exitCode };
}

async function feed(stream: Duplex, process: RuntimeProcess): Promise<void> {
  try {
    for await (const { channel, data } of stream) {
      if (channel === 'resize' && data !== undefined) await resize(process, data);
      else if (channel === 'stdin' && data !== undefined) await process.write(data);
      else if (channel === 'stdin') process.endInput();
    }
  } catch (error) {
    if (!stream.signal.aborted) throw error; // a broken stream is noticed by whoever writes to it
  }
}

async function resize(process: RuntimeProcess, data: Uint8Array): Promise<void> {
  const { columns, rows } = JSON.parse(Buffer.from(data).toString('utf8')) as TerminalSize;
  if (![columns, rows].every((value) => Number.isInteger(value) && value > 0 && value < 65_536)) return;
  await process.resize(columns, rows).catch(() => undefined); // a terminal of the wrong size is no reason to end
}
