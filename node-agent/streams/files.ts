import type { Duplex } from '../../lib/bus/streams/duplex.ts';
import type { Opened } from '../../lib/bus/streams/serve.ts';
import type { FileAbout } from '../../lib/api/streams.ts';
import type { ReadFilesRequest, WriteFilesRequest } from '../../lib/bus/streams/requests.ts';
import { ApiError } from '../../lib/base/errors.ts';
import type { ContainerRuntime } from '../runtime/runtime.ts';
import { anyContainer, type StreamPod } from './target.ts';

interface Parts {
  readonly runtime: Pick<ContainerRuntime, 'readFiles' | 'writeFiles'>;
  readonly signal: AbortSignal;
  readonly idleMs: number;
}

/** Files out of a container, running or not: nothing is needed inside. */
export async function openReadFiles(
  pod: StreamPod,
  request: ReadFilesRequest,
  { runtime, signal, idleMs }: Parts,
): Promise<Opened> {
  const found = await runtime.readFiles(anyContainer(pod, request).is.id, absolute(request.path), signal);
  const { name, sizeBytes, isFolder } = found;
  return {
    idleMs,
    async run(stream) {
      const about = Buffer.from(JSON.stringify({ name, sizeBytes, isFolder } satisfies FileAbout));
      // From the first word on: what is not read to its end is let go.
      for await (const part of after(stream.send('about', about), found.tar)) await stream.send('data', part);
      return {};
    },
  };
}

async function* after(first: Promise<void>, parts: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = parts[Symbol.asyncIterator]();
  try {
    await first;
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
  } finally {
    await iterator.return?.();
  }
}

/** Files into a container, running or not. */
export async function openWriteFiles(
  pod: StreamPod,
  request: WriteFilesRequest,
  { runtime, signal, idleMs }: Parts,
): Promise<Opened> {
  const { is } = anyContainer(pod, request);
  const folder = absolute(request.path);
  return {
    idleMs,
    async run(stream) {
      await runtime.writeFiles(is.id, folder, dataOf(stream), signal);
      return {};
    },
  };
}

async function* dataOf(stream: Duplex): AsyncIterable<Uint8Array> {
  for await (const { channel, data } of stream) {
    if (channel !== 'data') continue;
    if (data === undefined) return;
    yield data;
  }
  throw new ApiError('BadRequest', 'the stream of files ended before all of it had come');
}

function absolute(path: string): string {
  if (path.startsWith('/') && !path.includes('\0')) return path;
  throw new ApiError('BadRequest', `path "${path}" must be absolute: it must begin with /`);
}
