import type { Messages } from '../../../lib/api/gen/messages.ts';
import { ApiError, isApiError, messageOf } from '../../../lib/base/errors.ts';
import type { Duplex } from '../../../lib/bus/streams/duplex.ts';
import type { FileAbout, LogWish } from '../../../lib/api/streams.ts';
import type { StreamRequest } from '../../../lib/bus/streams/requests.ts';
import { patient, type CallContext, type Conversing, type Methods, type Send } from '../grpc/calls.ts';
import type { Registry } from '../registry/registry.ts';
import { locate, type Located, type Needs } from './locate.ts';
import type { NodeStreams } from './node-streams.ts';

/** How much one frame of a caller may hold. */
const maxFrameBytes = 1 << 20;
const firstMessageMs = 15_000;

/**
 * The methods of the Pods service that reach into pods. Each hands bytes between one gRPC call and one stream to the pod's node, and
 * takes from either side only what the other has taken: a slow reader anywhere slows the writer, and nothing is piled up here.
 */
export function streamMethods(registry: Registry, streams: NodeStreams): Methods {
  type Wish = { readonly verb: StreamRequest['verb'] } & Readonly<Record<string, unknown>>;
  const open = ({ node, target }: Located, wish: Wish, call: CallContext): Promise<Duplex> =>
    streams.open(node, { ...wish, ...target } as unknown as StreamRequest, call.signal);

  const logs = async (request: Messages['LogsRequest'], call: CallContext, send: Send): Promise<void> => {
    const located = await locate(registry, request.target, {
      doing: 'read the logs of',
      inEnded: true,
      container: true,
    });
    const stream = await open(located, { verb: 'logs', ...logWish(request) }, call);
    await answering(stream, async () => {
      for await (const { channel, data } of stream) {
        if (data === undefined) continue;
        await send(channel === 'position' ? { position: Buffer.from(data).toString('utf8') } : { data });
      }
    });
  };

  const readFiles = async (request: Messages['ReadFilesRequest'], call: CallContext, send: Send): Promise<void> => {
    const located = await locate(registry, request.target, { doing: 'read files of', inEnded: true, container: true });
    const stream = await open(located, { verb: 'read-files', path: request.path }, call);
    await answering(stream, async () => {
      for await (const { channel, data } of stream) {
        if (data === undefined) continue;
        await send(channel === 'about' ? { about: aboutOf(data) } : { tar: data });
      }
    });
  };

  const conversation =
    <Frame extends object>(way: Way<Frame>): Conversing =>
    async (requests, call, send) => {
      const frames = (requests as AsyncIterable<Frame>)[Symbol.asyncIterator]();
      const { target, ...what } = way.start(await firstOf(frames));
      const stream = await open(await locate(registry, target, way.needs), what, call);
      feed(frames, stream, way).catch((error: unknown) => {
        stream.reset(isApiError(error) ? error : new ApiError('Timeout', messageOf(error)));
      });
      await answering(stream, async () => {
        for await (const { channel, data } of stream) if (data !== undefined) await send(way.reply(channel, data));
      });
      const { exitCode } = await stream.ending;
      const last = way.last(exitCode);
      if (last !== undefined) await send(last);
    };

  return {
    Logs: patient(logs),
    ReadFiles: patient(readFiles),
    Exec: conversation(exec),
    Attach: conversation(attach),
    PortForward: conversation(portForward),
    WriteFiles: conversation(writeFiles),
  };
}

/** How the frames of one method are those of a stream. */
interface Way<Frame extends object> {
  readonly needs: Needs;
  /** BadRequest where the first message does not say what is wanted. */
  start(
    frame: Frame,
  ): { readonly target: Messages['PodTarget'] | undefined } & { readonly verb: StreamRequest['verb'] };
  /** The channel and bytes of a later frame; undefined for one that is none. */
  input(frame: Frame): { readonly channel: string; readonly data: Uint8Array } | undefined;
  /** The channel that ends with the caller's messages. */
  readonly ends: string;
  reply(channel: string, data: Uint8Array): object;
  last(exitCode: number | undefined): object | undefined;
}

const outputReply = (channel: string, data: Uint8Array): object =>
  channel === 'stderr' ? { stderr: data } : { stdout: data };
const exitReply = (exitCode: number | undefined): object | undefined =>
  exitCode === undefined ? undefined : { exit: { code: exitCode } };
const keys = ({ stdin, resize }: Messages['ExecRequest'] | Messages['AttachRequest']) => {
  if (stdin !== undefined) return { channel: 'stdin', data: stdin };
  return resize === undefined ? undefined : { channel: 'resize', data: Buffer.from(JSON.stringify(resize)) };
};

const exec: Way<Messages['ExecRequest']> = {
  needs: { doing: 'run a command in', inEnded: false, container: true },
  start({ start }) {
    if (start === undefined) throw new ApiError('BadRequest', 'the first message must have start');
    if (start.command.length === 0) throw new ApiError('BadRequest', 'start.command is required: the program to run');
    return { ...start, verb: 'exec', target: start.target };
  },
  input: keys,
  ends: 'stdin',
  reply: outputReply,
  last: exitReply,
};

const attach: Way<Messages['AttachRequest']> = {
  needs: { doing: 'attach to', inEnded: false, container: true },
  start({ start }) {
    if (start === undefined) throw new ApiError('BadRequest', 'the first message must have start');
    return { ...start, verb: 'attach', target: start.target };
  },
  input: keys,
  ends: 'stdin',
  reply: outputReply,
  last: exitReply,
};

const portForward: Way<Messages['PortForwardRequest']> = {
  needs: { doing: 'connect to', inEnded: false, container: false },
  start({ start }) {
    if (start === undefined) throw new ApiError('BadRequest', 'the first message must have start');
    return { ...start, verb: 'port-forward', target: start.target };
  },
  input: ({ data }) => (data === undefined ? undefined : { channel: 'data', data }),
  ends: 'data',
  reply: (_channel, data) => ({ data }),
  last: () => undefined,
};

const writeFiles: Way<Messages['WriteFilesRequest']> = {
  needs: { doing: 'write files into', inEnded: true, container: true },
  start({ start }) {
    if (start === undefined) throw new ApiError('BadRequest', 'the first message must have start');
    return { ...start, verb: 'write-files', target: start.target };
  },
  input: ({ tar }) => (tar === undefined ? undefined : { channel: 'data', data: tar }),
  ends: 'data',
  reply: () => ({}),
  last: () => ({}),
};

/** What the caller sends, for as long as the stream lasts. The end of its messages ends the input. */
async function feed<Frame extends object>(
  frames: AsyncIterator<Frame>,
  stream: Duplex,
  way: Way<Frame>,
): Promise<void> {
  for (;;) {
    const next = await frames.next();
    if (stream.signal.aborted) return;
    if (next.done === true) {
      stream.end(way.ends);
      return;
    }
    const input = way.input(next.value);
    if (input === undefined)
      throw new ApiError('BadRequest', 'a message after the first must have a frame, and not start again');
    if (input.data.length > maxFrameBytes)
      throw new ApiError(
        'RequestEntityTooLarge',
        `a frame of ${input.data.length} bytes; at most ${maxFrameBytes} are taken`,
      );
    await stream.send(input.channel, input.data).catch((error: unknown) => {
      if (!stream.signal.aborted) throw error; // it has ended: what is still sent concerns nobody
    });
  }
}

/** Does the work of answering; whatever goes wrong with it ends the stream, and the stream's own failure is thrown. */
async function answering(stream: Duplex, work: () => Promise<void>): Promise<void> {
  try {
    await work();
    await stream.ending;
  } catch (error) {
    stream.reset(isApiError(error) ? error : new ApiError('Timeout', 'the caller has gone'));
    throw error;
  }
}

async function firstOf<Frame>(frames: AsyncIterator<Frame>): Promise<Frame> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new ApiError('Timeout', `no message came within ${firstMessageMs / 1000} s`));
    }, firstMessageMs);
  });
  try {
    const first = await Promise.race([frames.next(), late]);
    if (first.done === true) throw new ApiError('BadRequest', 'the call ended before its first message');
    return first.value;
  } finally {
    clearTimeout(timer);
  }
}

function logWish(request: Messages['LogsRequest']): LogWish {
  const { follow, previous, timestamps, tail_lines, since_seconds, since_time, limit_bytes, after } = request;
  return {
    ...{ follow, previous, timestamps },
    ...(tail_lines === undefined ? {} : { tailLines: tail_lines }),
    ...(since_seconds === undefined ? {} : { sinceSeconds: since_seconds }),
    ...(since_time === '' ? {} : { sinceTime: since_time }),
    ...(limit_bytes === undefined ? {} : { limitBytes: limit_bytes }),
    ...(after === '' ? {} : { after }),
  };
}

function aboutOf(data: Uint8Array): Messages['FileAbout'] {
  const { name, sizeBytes, isFolder } = JSON.parse(Buffer.from(data).toString('utf8')) as FileAbout;
  return { name, size_bytes: sizeBytes, is_folder: isFolder };
}
