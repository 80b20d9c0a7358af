import type { TerminalSize } from '../../../../lib/api/streams.ts';
import { ApiError, isApiError, messageOf } from '../../../../lib/base/errors.ts';
import { toStatusObject } from '../../../../lib/api/codec/status.ts';
import type { Duplex } from '../../../../lib/bus/streams/duplex.ts';
import type { StreamRequest } from '../../../../lib/bus/streams/requests.ts';
import type { Needs } from '../../streams/locate.ts';
import { flag } from '../query.ts';
import type { Streamed, StreamParts } from './asked.ts';

export type ProcessVerb = 'exec' | 'attach';

export const processNeeds = {
  exec: { doing: 'run a command in', inEnded: false, container: true },
  attach: { doing: 'attach to', inEnded: false, container: true },
} as const satisfies Readonly<Record<ProcessVerb, Needs>>;

/** Who has asked for a process, whatever he speaks. */
export interface ProcessCaller {
  /** Aborted when he has gone. */
  readonly signal: AbortSignal;
  /** What he sends, by one way or by several. */
  readonly inputs: readonly AsyncIterable<ProcessInput>[];
  /** Resolves when the bytes have left. */
  output(to: 'stdout' | 'stderr', data: Uint8Array): Promise<void>;
  /** How it ended; nothing comes after it. */
  finish(outcome: Outcome): Promise<void>;
}

/** `end`: of what the process reads. `resize`: as JSON. */
export type ProcessInput = { readonly type: 'stdin' | 'resize'; readonly data: Buffer } | { readonly type: 'end' };

/** As clients read it. */
export interface Outcome {
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
}

/** Runs a command in a container, or joins its first process. Whatever goes wrong is told to the caller. */
export async function runProcess(
  verb: ProcessVerb,
  { streams }: StreamParts,
  { query, located, signal }: Streamed,
  caller: ProcessCaller,
): Promise<void> {
  const tty = flag(query, 'tty');
  const wish = {
    verb,
    ...(verb === 'exec' ? { command: query.getAll('command'), tty } : {}),
    stdin: flag(query, 'stdin'),
  };
  try {
    const stream = await streams.open(located.node, { ...wish, ...located.target } as StreamRequest, signal);
    await converse(verb, stream, caller, tty);
  } catch (error) {
    await caller.finish(toStatusObject(error));
  }
}

async function converse(verb: ProcessVerb, stream: Duplex, caller: ProcessCaller, tty: boolean): Promise<void> {
  const gone = (): void => {
    stream.reset(new ApiError('Timeout', 'the caller has gone'));
  };
  if (caller.signal.aborted) gone();
  caller.signal.addEventListener('abort', gone, { once: true });
  for (const inputs of caller.inputs) void feed(stream, inputs);
  for await (const { channel, data } of stream) {
    if (data !== undefined) await caller.output(channel === 'stderr' && !tty ? 'stderr' : 'stdout', data);
  }
  const { exitCode } = await stream.ending;
  // Clients take any failure of an attachment for one to attach, and read how a container ended in its status (kubectl run, kubectl debug).
  await caller.finish(outcomeOf(verb === 'attach' ? undefined : exitCode));
}

/** What the caller sends, for as long as there is somebody to take it. */
async function feed(stream: Duplex, inputs: AsyncIterable<ProcessInput>): Promise<void> {
  try {
    for await (const input of inputs) {
      if (input.type === 'stdin') await stream.send('stdin', input.data);
      else if (input.type === 'resize') await stream.send('resize', sizeIn(input.data));
      else stream.end('stdin');
    }
  } catch (error) {
    if (stream.signal.aborted) return; // what is still sent concerns nobody
    stream.reset(isApiError(error) ? error : new ApiError('BadRequest', messageOf(error)));
  }
}

function sizeIn(data: Buffer): Buffer {
  const { Width, Height } = JSON.parse(data.toString('utf8')) as { readonly Width: number; readonly Height: number };
  return Buffer.from(JSON.stringify({ columns: Width, rows: Height } satisfies TerminalSize));
}

/** An exit code that is not 0 is a Failure of its own kind. */
function outcomeOf(exitCode: number | undefined): Outcome & object {
  if (exitCode === undefined || exitCode === 0) return { metadata: {}, status: 'Success' } as Outcome;
  const failure = {
    metadata: {},
    status: 'Failure' as const,
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
  return failure;
}
