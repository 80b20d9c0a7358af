import { systemClock, type Clock } from '../../lib/base/clock.ts';
import { fakeStreams } from './fake-streams.ts';
import {
  RuntimeError,
  type ContainerRuntime,
  type ContainerSpec,
  type ExecResult,
  type HeldImage,
  type ImageInfo,
  type LogOptions,
  type RegistryAuth,
  type RuntimeContainer,
  type RuntimeEvent,
} from './runtime.ts';

/**
 * A container engine in memory: instant, without timers of its own, cheap enough for thousands in one process.
 * Containers "run" until they are stopped, crashed by a test, or until their script says that they end.
 */
export interface FakeRuntime extends ContainerRuntime {
  /** Ends a container as a crash would. Ending what does not run does nothing. */
  crash(id: string, exitCode?: number, how?: { readonly oom?: boolean }): void;
  /** Appends a line to a container's output. */
  say(id: string, line: string): void;
  /** From now on pulls of this image fail like this; undefined lets them succeed again. */
  failPulls(image: string, error: RuntimeError | undefined): void;
  /** Why a registry would not give an image to whoever asks so; undefined: it does. */
  onPull: ((image: string, auth: RegistryAuth | undefined) => RuntimeError | undefined) | undefined;
  /** What becomes of containers that are started from now on; undefined: they run until stopped. */
  onStart: ((spec: ContainerSpec) => FakeScript | undefined) | undefined;
  /** What a command inside answers; default: exit code 0 without output. */
  onExec: ((container: RuntimeContainer, command: readonly string[]) => ExecResult) | undefined;
  /** The engine stops answering (every verb rejects with Unavailable) and comes back; containers go on. */
  setAvailable(available: boolean): void;
  /** What containers have on the disk, by id; default nothing. */
  readonly written: Map<string, number>;
  /** What was created, oldest first. */
  specOf(id: string): ContainerSpec | undefined;
  /** Verbs called, for tests that count. */
  readonly calls: ReadonlyMap<string, number>;
}

export type FakeScript =
  | { readonly exitCode: number; readonly afterMs: number; readonly oom?: boolean }
  /** The engine refuses to start it. */
  | { readonly error: string };

export interface FakeRuntimeOptions {
  readonly clock?: Clock;
  /** Images that are there; any other can be pulled. Undefined: every image is there. */
  readonly images?: readonly string[];
  readonly cpus?: number;
  readonly memoryBytes?: number;
  readonly lateHostnames?: boolean;
  /** What a container takes to end after SIGTERM; default at once. */
  readonly stopDelayMs?: number;
}

interface Entry {
  readonly spec: ContainerSpec;
  container: RuntimeContainer;
  readonly lines: string[];
  readonly onEnd: Set<() => void>;
  readonly onLine: Set<() => void>;
}

/** Lines of output kept for each container. */
const maxLines = 1_000;

export function newFakeRuntime(options: FakeRuntimeOptions = {}): FakeRuntime {
  const clock = options.clock ?? systemClock;
  const entries = new Map<string, Entry>();
  const byName = new Map<string, string>();
  const images = options.images === undefined ? undefined : new Set(options.images);
  const failures = new Map<string, RuntimeError>();
  const listeners = new Set<{ onEvent(event: RuntimeEvent): void; onGap(): void }>();
  const calls = new Map<string, number>();
  let available = true;
  let nextId = 1;
  let nextPid = 1000;

  function called(verb: string): void {
    calls.set(verb, (calls.get(verb) ?? 0) + 1);
    if (!available) throw new RuntimeError('Unavailable', 'the container engine does not answer');
  }
  function entryOf(id: string): Entry {
    const entry = entries.get(id) ?? entries.get(byName.get(id) ?? '');
    if (entry === undefined) throw new RuntimeError('NotFound', `no such container: ${id}`);
    return entry;
  }
  function tell(type: RuntimeEvent['type'], { container }: Entry): void {
    if (!available) return;
    const event: RuntimeEvent = { type, containerId: container.id, name: container.name, labels: container.labels };
    for (const listener of listeners) queueMicrotask(() => listeners.has(listener) && listener.onEvent(event));
  }
  function end(entry: Entry, exitCode: number, oom = false): void {
    if (entry.container.state !== 'running') return;
    const { pid: _, ...rest } = entry.container;
    entry.container = {
      ...rest,
      state: 'exited',
      exitCode,
      finishedAtMs: clock.now(),
      ...(oom ? { oomKilled: true } : {}),
    };
    for (const wake of [...entry.onEnd, ...entry.onLine]) wake();
    if (oom) tell('oom', entry);
    tell('die', entry);
  }

  const runtime: FakeRuntime = {
    calls,
    written: new Map(),
    onStart: undefined,
    onPull: undefined,
    onExec: undefined,
    async list() {
      called('list');
      return [...entries.values()].map((entry) => entry.container);
    },
    async inspect(id) {
      called('inspect');
      return entries.get(id)?.container;
    },
    async create(spec) {
      called('create');
      const existing = byName.get(spec.name);
      if (existing !== undefined) return existing;
      if (images !== undefined && spec.sandboxId !== undefined && !images.has(spec.image)) {
        throw new RuntimeError('ImageNotFound', `image "${spec.image}" is not on this machine`);
      }
      const id = (nextId++).toString(16).padStart(64, '0');
      byName.set(spec.name, id);
      entries.set(id, {
        spec,
        container: {
          id,
          name: spec.name,
          image: spec.image,
          imageId: imageIdOf(spec.image),
          labels: spec.labels,
          state: 'created',
          createdAtMs: clock.now(),
        },
        lines: [],
        onEnd: new Set(),
        onLine: new Set(),
      });
      return id;
    },
    async start(id) {
      called('start');
      const entry = entryOf(id);
      if (entry.container.state !== 'created') return entry.container;
      const script = runtime.onStart?.(entry.spec);
      if (script !== undefined && 'error' in script) {
        entry.container = { ...entry.container, error: script.error, exitCode: 127 };
        throw new RuntimeError('CannotStart', script.error);
      }
      const { exitCode: _, finishedAtMs: __, error: ___, ...rest } = entry.container;
      entry.container = { ...rest, state: 'running', pid: nextPid++, startedAtMs: clock.now() };
      tell('start', entry);
      if (script !== undefined) {
        clock.after(script.afterMs, () => {
          end(entry, script.exitCode, script.oom);
        });
      }
      return entry.container;
    },
    async rename(id, name) {
      called('rename');
      const entry = entryOf(id);
      const other = byName.get(name);
      if (other !== undefined && other !== id) throw new RuntimeError('NameTaken', `the name ${name} is taken`);
      byName.delete(entry.container.name);
      byName.set(name, id);
      entry.container = { ...entry.container, name };
    },
    async stop(id, graceSeconds) {
      called('stop');
      const entry = entries.get(id);
      if (entry?.container.state !== 'running') return;
      const delayMs = options.stopDelayMs ?? 0;
      if (delayMs === 0) {
        end(entry, 143);
        return;
      }
      const late = delayMs > graceSeconds * 1000;
      await new Promise<void>((resolve) => {
        entry.onEnd.add(resolve);
        clock.after(late ? graceSeconds * 1000 : delayMs, () => {
          end(entry, late ? 137 : 143);
        });
      });
    },
    async kill(id, signal) {
      called('kill');
      const entry = entries.get(id);
      if (entry !== undefined) end(entry, signal === 'SIGKILL' ? 137 : 143);
    },
    async remove(id) {
      called('remove');
      const entry = entries.get(id);
      if (entry === undefined) return;
      end(entry, 137);
      entries.delete(entry.container.id);
      byName.delete(entry.container.name);
      tell('destroy', entry);
    },
    async prepare() {
      called('prepare');
    },
    async imagePresent(image): Promise<ImageInfo | undefined> {
      called('imagePresent');
      return images === undefined || images.has(image) ? { id: imageIdOf(image), sizeBytes: 1 } : undefined;
    },
    async pull(image, _, auth): Promise<ImageInfo> {
      called('pull');
      const failure = failures.get(image) ?? runtime.onPull?.(image, auth);
      if (failure !== undefined) throw failure;
      images?.add(image);
      return { id: imageIdOf(image), sizeBytes: 1 };
    },
    async diskUsage(id) {
      called('diskUsage');
      entryOf(id);
      return { writtenBytes: runtime.written.get(id) ?? 0, logBytes: 0 };
    },
    async images(): Promise<readonly HeldImage[]> {
      called('images');
      const used = new Set([...entries.values()].map(({ spec }) => spec.image));
      return [...(images ?? [])].map((name) => ({
        ...{ id: imageIdOf(name), sizeBytes: 1, names: [name], inUse: used.has(name) },
      }));
    },
    async removeImage(image) {
      called('removeImage');
      const name = [...(images ?? [])].find((held) => held === image || imageIdOf(held) === image);
      if (name === undefined) return;
      if ([...entries.values()].some(({ spec }) => spec.image === name))
        throw new RuntimeError('InUse', `image "${name}" is in use by a container`);
      images?.delete(name);
    },
    async exec(id, command) {
      called('exec');
      const { container } = entryOf(id);
      if (container.state !== 'running') throw new RuntimeError('Unavailable', `container ${id} is not running`);
      return runtime.onExec?.(container, command) ?? { exitCode: 0, output: '', timedOut: false };
    },
    async *logs(id, wish: LogOptions, signal) {
      called('logs');
      const entry = entryOf(id);
      let at = wish.tailLines === undefined ? 0 : Math.max(0, entry.lines.length - wish.tailLines);
      if (wish.since !== undefined) at = Math.max(at, Math.round(Number(wish.since) * 1e9) - 1);
      for (;;) {
        if (at < entry.lines.length) {
          const text = entry.lines
            .slice(at)
            .map((line, index) => `${wish.timestamps === true ? fakeTime(at + index) : ''}${line}\n`)
            .join('');
          at = entry.lines.length;
          yield Buffer.from(text);
          continue; // more may have come while the reader was busy
        }
        if (wish.follow !== true || entry.container.state !== 'running' || signal.aborted) return;
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            entry.onLine.delete(wake);
            signal.removeEventListener('abort', wake);
            resolve();
          };
          entry.onLine.add(wake);
          signal.addEventListener('abort', wake, { once: true });
        });
      }
    },
    ...fakeStreams({
      find(verb, id) {
        called(verb);
        return entryOf(id).container;
      },
      answer: (container, command) =>
        runtime.onExec?.(container, command) ?? { exitCode: 0, output: '', timedOut: false },
      onEnd(id, run) {
        const { onEnd } = entryOf(id);
        onEnd.add(run);
        return () => onEnd.delete(run);
      },
    }),
    events(onEvent, onGap, signal) {
      const listener = { onEvent, onGap };
      listeners.add(listener);
      signal.addEventListener('abort', () => listeners.delete(listener), { once: true });
    },
    async info() {
      called('info');
      return {
        version: 'fake://1.0',
        kernelVersion: 'fake',
        osImage: 'fake',
        cpus: options.cpus ?? 4,
        memoryBytes: options.memoryBytes ?? 8 * 2 ** 30,
        rootDir: '/',
        liveRestore: true,
        lateHostnames: options.lateHostnames ?? false,
        cgroupDriver: 'none',
        cgroupVersion: '2',
      };
    },
    crash(id, exitCode = 137, how = {}) {
      end(entryOf(id), exitCode, how.oom ?? false);
    },
    say(id, line) {
      const entry = entryOf(id);
      entry.lines.push(line);
      if (entry.lines.length > maxLines) entry.lines.shift();
      for (const wake of [...entry.onLine]) wake();
    },
    failPulls(image, error) {
      if (error === undefined) failures.delete(image);
      else failures.set(image, error);
    },
    setAvailable(next) {
      const back = next && !available;
      available = next;
      if (back) for (const listener of [...listeners]) listener.onGap();
    },
    specOf: (id) => entries.get(id)?.spec,
  };
  return runtime;
}

const imageIdOf = (image: string): string =>
  `sha256:${Buffer.from(image).toString('hex').padEnd(64, '0').slice(0, 64)}`;

/** The n-th line was written in the n-th nanosecond. */
const fakeTime = (at: number): string => `1970-01-01T00:00:00.${String(at + 1).padStart(9, '0')}Z `;
