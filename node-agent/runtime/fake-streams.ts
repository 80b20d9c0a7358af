import { Readable } from 'node:stream';
import tar from 'tar-stream';
import { RuntimeError, type ExecResult, type RuntimeContainer } from './runtime.ts';
import type { OutputPiece, RuntimeProcess, RuntimeStreams } from './streams.ts';

/** What the fake engine tells its streams. */
export interface FakeStreamsContext {
  /** The container; throws NotFound, or Unavailable while the engine is away. */
  find(verb: string, id: string): RuntimeContainer;
  answer(container: RuntimeContainer, command: readonly string[]): ExecResult;
  /** Calls when the container ends; the returned function forgets it. */
  onEnd(id: string, run: () => void): () => void;
}

/**
 * Commands in memory: one without input prints what `onExec` answers and ends; one with input gives back on stdout what it
 * gets and ends, with the answer's exit code, when its input does. Attaching does the same until the container ends.
 * `stty size` with a terminal prints the last size that was told. Files are kept for each container.
 */
export function fakeStreams(context: FakeStreamsContext): RuntimeStreams {
  const files = new Map<string, Map<string, Buffer>>();

  function running(verb: string, id: string): RuntimeContainer {
    const container = context.find(verb, id);
    if (container.state !== 'running') throw new RuntimeError('NotRunning', 'the container does not run');
    return container;
  }

  return {
    async startProcess(id, { command, stdin, tty }, signal) {
      const result = context.answer(running('startProcess', id), command);
      const queue = newQueue(signal);
      if (result.output !== '') queue.push({ channel: 'stdout', data: Buffer.from(result.output) });
      if (!stdin && !result.timedOut) queue.end();
      const stop = context.onEnd(id, queue.end);
      return { ...processOn(queue, tty), exitCode: async () => (stop(), result.exitCode) };
    },

    async attach(id, _wish, signal) {
      running('attach', id);
      const queue = newQueue(signal);
      const stop = context.onEnd(id, queue.end);
      const exitCode = async (): Promise<number | undefined> => {
        stop();
        const now = context.find('inspect', id);
        return now.state === 'running' ? undefined : now.exitCode;
      };
      return { ...processOn(queue, false), exitCode };
    },

    endLeftProcesses: async () => 0,

    async readFiles(id, path, _signal) {
      context.find('readFiles', id);
      const all = [...(files.get(id) ?? new Map<string, Buffer>())];
      const inside = all.filter(([name]) => name === path || name.startsWith(`${path}/`));
      const [first] = inside;
      if (first === undefined) throw new RuntimeError('NoSuchFile', `${path}: there is no such file or folder`);
      const name = path.slice(path.lastIndexOf('/') + 1);
      const isFolder = first[0] !== path;
      const pack = tar.pack();
      if (isFolder) pack.entry({ name: `${name}/`, type: 'directory' });
      for (const [file, content] of inside) pack.entry({ name: name + file.slice(path.length) }, content);
      pack.finalize();
      return { name, sizeBytes: isFolder ? 0 : first[1].length, isFolder, tar: Readable.from(pack) };
    },

    async writeFiles(id, folder, source, _signal) {
      context.find('writeFiles', id);
      const own = files.get(id) ?? new Map<string, Buffer>();
      files.set(id, own);
      const extract = tar.extract();
      Readable.from(source).pipe(extract);
      for await (const entry of extract) {
        const parts: Buffer[] = [];
        for await (const part of entry) parts.push(part as Buffer);
        if (entry.header.type === 'file')
          own.set(`${folder === '/' ? '' : folder}/${entry.header.name}`, Buffer.concat(parts));
      }
    },
  };
}

interface Queue {
  readonly push: (piece: OutputPiece) => void;
  readonly end: () => void;
  readonly output: AsyncIterable<OutputPiece>;
}

function newQueue(signal: AbortSignal): Queue {
  const pieces: OutputPiece[] = [];
  let ended = false;
  let wake = (): void => undefined;
  const end = (): void => {
    ended = true;
    wake();
  };
  signal.addEventListener('abort', end, { once: true });
  return {
    push(piece) {
      if (!ended) pieces.push(piece);
      wake();
    },
    end,
    output: (async function* () {
      for (;;) {
        const piece = pieces.shift();
        if (piece !== undefined) yield piece;
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    })(),
  };
}

function processOn(queue: Queue, tty: boolean): Omit<RuntimeProcess, 'exitCode'> {
  return {
    tty,
    output: queue.output,
    write: async (data) => {
      queue.push({ channel: 'stdout', data });
    },
    endInput: queue.end,
    resize: async (columns, rows) => {
      if (tty) queue.push({ channel: 'stdout', data: Buffer.from(`${rows} ${columns}\n`) });
    },
  };
}
