import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type Docker from 'dockerode';
import { statusOf, textOf } from './engine-error.ts';
import { RuntimeError } from './runtime.ts';
import type { RuntimeFiles } from './streams.ts';

type ToError = (error: unknown, what: string) => RuntimeError;

/**
 * Files of a container by the engine's archives, which reach into one that has ended too. As long as an archive is open the
 * engine does nothing else with the container: it must be let go before the container can be removed.
 */
export interface DockerArchives {
  /** As `RuntimeStreams.readFiles`. */
  read(id: string, path: string, signal: AbortSignal): Promise<RuntimeFiles>;
  /** As `RuntimeStreams.writeFiles`. */
  write(id: string, folder: string, tar: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** Gives up what is open of a container. */
  letGo(id: string): void;
}

export function dockerArchives(docker: Docker, toError: ToError): DockerArchives {
  const open = new Map<string, Set<AbortController>>();
  /** A signal that `letGo` aborts too, until `done`. */
  const hold = (id: string, signal: AbortSignal): { readonly signal: AbortSignal; readonly done: () => void } => {
    const own = new AbortController();
    const all = open.get(id) ?? new Set();
    open.set(id, all.add(own));
    return {
      signal: AbortSignal.any([signal, own.signal]),
      done: () => {
        if (all.delete(own) && all.size === 0 && open.get(id) === all) open.delete(id);
      },
    };
  };

  return {
    async read(id, path, outer) {
      const { signal, done } = hold(id, outer);
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
        answer.once('close', done);
        return {
          name: stat.name,
          sizeBytes: stat.size,
          isFolder: isFolder(stat.mode),
          tar: readable(answer, { signal: outer, toError }),
        };
      } catch (error) {
        done();
        throw fileError(error, path, toError);
      }
    },

    async write(id, folder, tar, outer) {
      const { signal, done } = hold(id, outer);
      const source = Readable.from(tar, { objectMode: false });
      try {
        // What fails in the source (the other end has gone) must fail the request: half a tar is no tar.
        const failed = new Promise<never>((_, reject) => source.once('error', reject));
        await Promise.race([docker.getContainer(id).putArchive(source, { path: folder, abortSignal: signal }), failed]);
      } catch (error) {
        throw fileError(error, folder, toError);
      } finally {
        done();
        source.destroy();
      }
    },

    letGo(id) {
      for (const one of open.get(id) ?? []) one.abort(new Error('the container is being removed'));
    },
  };
}

function onAbort(signal: AbortSignal, run: () => void): void {
  if (signal.aborted) run();
  else signal.addEventListener('abort', run, { once: true });
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
