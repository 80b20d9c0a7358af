import { readlink, readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Duplex } from 'node:stream';
import Docker from 'dockerode';
import tar from 'tar-stream';
import { backoffMs } from '../../lib/base/backoff.ts';
import { systemClock, wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { pullName } from '../images/reference.ts';
import { createOptions, logFiles, ownLabels, sandboxNetworkLabel } from './docker-options.ts';
import { dockerStreams } from './docker-streams.ts';
import { lateHostnameRuntime } from './late-hostname.ts';
import { statusOf, textOf } from './engine-error.ts';
import { infraCommand, infraImageName, infraProgram } from './infra-image.ts';
import { unframed } from './log-frames.ts';
import {
  RuntimeError,
  type ContainerDisk,
  type ContainerRuntime,
  type ContainerSpec,
  type ExecResult,
  type HeldImage,
  type ImageInfo,
  type LogOptions,
  type RuntimeContainer,
  type RegistryAuth,
  type RuntimeEvent,
  type RuntimeInfo,
} from './runtime.ts';

export interface DockerRuntimeOptions {
  readonly socketPath: string;
  readonly cluster: string;
  readonly node: string;
  /** The image of sandboxes; ours (`troupe/infra:1`) is made here when it is missing, any other must be there or be pulled. */
  readonly infraImage?: string;
  readonly clock?: Clock;
}

/** How long the engine may take for anything but a pull, a stop or a stream. */
const callTimeoutMs = 60_000;
const execOutputBytes = 64 * 1024;

/** A container engine behind Docker's API (1.40 and later), on this machine: it must share our /proc and network namespace. */
export function newDockerRuntime(options: DockerRuntimeOptions): ContainerRuntime {
  const clock = options.clock ?? systemClock;
  const infraImage = options.infraImage ?? infraImageName;
  const labels = ownLabels(options.cluster, options.node);
  const docker = new Docker({ socketPath: options.socketPath, timeout: callTimeoutMs });
  /** For streams and for what may take minutes: no time-out of the socket. */
  const patient = new Docker({ socketPath: options.socketPath });
  /** The last inspection of each of our containers: a list only looks again at what changed its state since. */
  let known = new Map<string, RuntimeContainer>();
  let mayLowerOomScore: Promise<boolean> | undefined;

  const ours = (labelsOfIt: Readonly<Record<string, string>>): boolean =>
    Object.entries(labels).every(([key, value]) => labelsOfIt[key] === value);

  async function inspect(id: string): Promise<RuntimeContainer | undefined> {
    try {
      const found = containerOf(await docker.getContainer(id).inspect());
      if (!ours(found.labels)) return undefined;
      known.set(found.id, found);
      return found;
    } catch (error) {
      if (statusOf(error) === 404) {
        known.delete(id);
        return undefined;
      }
      throw runtimeError(error, 'Unavailable');
    }
  }

  async function list(): Promise<readonly RuntimeContainer[]> {
    const label = Object.entries(labels).map(([key, value]) => `${key}=${value}`);
    const summaries = await docker
      .listContainers({ all: true, filters: { label } })
      .catch((error: unknown) => Promise.reject(runtimeError(error, 'Unavailable')));
    const found: RuntimeContainer[] = [];
    for (const batch of inBatches(summaries, 8)) {
      const looked = batch.map((summary) => {
        const before = known.get(summary.Id);
        return before !== undefined && before.state === stateOf(summary.State)
          ? Promise.resolve(before)
          : inspect(summary.Id);
      });
      for (const container of await Promise.all(looked)) if (container !== undefined) found.push(container);
    }
    known = new Map(found.map((container) => [container.id, container]));
    return found;
  }

  async function create(spec: ContainerSpec): Promise<string> {
    mayLowerOomScore ??= hasCapability(capSysResource);
    const wish = createOptions(spec, {
      labels,
      ownInfraImage: infraImageName,
      mayLowerOomScore: await mayLowerOomScore,
    });
    try {
      return (await docker.createContainer(wish)).id;
    } catch (error) {
      if (statusOf(error) === 404 && /no such image/i.test(messageOf(error))) {
        throw new RuntimeError('ImageNotFound', `image "${spec.image}" is not on this machine`, { cause: error });
      }
      if (statusOf(error) !== 409) throw runtimeError(error, 'CannotCreate');
      const existing = await inspect(spec.name); // the engine finds containers by name too
      if (existing === undefined) throw runtimeError(error, 'CannotCreate');
      return existing.id;
    }
  }

  async function start(id: string): Promise<RuntimeContainer | undefined> {
    try {
      await docker.getContainer(id).start();
    } catch (error) {
      // 304: it runs already
      if (statusOf(error) !== 304) throw runtimeError(error, statusOf(error) === 404 ? 'NotFound' : 'CannotStart');
    }
    const container = await inspect(id);
    if (container?.image === infraImageName && container.labels[sandboxNetworkLabel] !== 'host') {
      await hasOwnNetwork(container.pid ?? 0, clock);
    }
    return container;
  }

  async function rename(id: string, name: string): Promise<void> {
    try {
      await docker.getContainer(id).rename({ name });
      known.delete(id);
    } catch (error) {
      if (/the same name as/i.test(messageOf(error))) return;
      const code = statusOf(error) === 404 ? 'NotFound' : statusOf(error) === 409 ? 'NameTaken' : 'Unavailable';
      throw runtimeError(error, code);
    }
  }

  const ended = async (work: Promise<unknown>, id: string): Promise<void> => {
    try {
      await work;
    } catch (error) {
      if (statusOf(error) === 304 || statusOf(error) === 404) return; // had ended, or is gone
      if (statusOf(error) === 409 && /not running|already in progress/i.test(messageOf(error))) return;
      throw runtimeError(error, 'Unavailable', `container ${id.slice(0, 12)}`);
    }
  };

  async function imagePresent(image: string): Promise<ImageInfo | undefined> {
    try {
      const found = await docker.getImage(image).inspect();
      const user = found.Config.User;
      return { id: found.Id, sizeBytes: found.Size, ...(user === '' ? {} : { user }) };
    } catch (error) {
      if (statusOf(error) === 404) return undefined;
      throw runtimeError(error, 'Unavailable');
    }
  }

  async function pull(image: string, signal: AbortSignal, auth?: RegistryAuth): Promise<ImageInfo> {
    try {
      const stream = await patient.pull(pullName(image), auth === undefined ? {} : { authconfig: authConfig(auth) });
      signal.addEventListener('abort', () => (stream as Readable).destroy(signal.reason as Error), { once: true });
      await new Promise<void>((resolve, reject) => {
        patient.modem.followProgress(stream, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error);
        });
      });
    } catch (error) {
      const missing = statusOf(error) === 404 || /not found|manifest unknown|does not exist/i.test(messageOf(error));
      throw new RuntimeError(missing ? 'ImageNotFound' : 'ImagePullFailed', textOf(error), { cause: error });
    }
    const info = await imagePresent(image);
    if (info === undefined)
      throw new RuntimeError('ImagePullFailed', `the engine pulled "${image}" but does not have it`);
    return info;
  }

  async function diskUsage(id: string): Promise<ContainerDisk> {
    try {
      const found = (await patient
        .getContainer(id)
        .inspect({ size: true } as object)) as Docker.ContainerInspectInfo & {
        readonly SizeRw?: number;
      };
      return { writtenBytes: found.SizeRw ?? 0, logBytes: await logBytes(found.LogPath) };
    } catch (error) {
      throw runtimeError(error, statusOf(error) === 404 ? 'NotFound' : 'Unavailable');
    }
  }

  async function images(): Promise<readonly HeldImage[]> {
    try {
      const [list, containers] = await Promise.all([docker.listImages(), docker.listContainers({ all: true })]);
      const used = new Set(containers.map((container) => container.ImageID));
      const names = (some: readonly string[] | null | undefined): readonly string[] =>
        (some ?? []).filter((name) => !name.startsWith('<none>'));
      return list.map((image) => ({
        id: image.Id,
        sizeBytes: image.Size,
        names: [...names(image.RepoTags), ...names(image.RepoDigests)],
        inUse: used.has(image.Id),
      }));
    } catch (error) {
      throw runtimeError(error, 'Unavailable');
    }
  }

  async function removeImage(image: string): Promise<void> {
    try {
      await docker.getImage(image).remove();
    } catch (error) {
      if (statusOf(error) === 404) return;
      throw runtimeError(error, statusOf(error) === 409 ? 'InUse' : 'Unavailable');
    }
  }

  async function exec(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const stopping = new AbortController();
    try {
      const made = await docker.getContainer(id).exec({ Cmd: [...command], AttachStdout: true, AttachStderr: true });
      const stream = await made.start({});
      const cancel = clock.after(timeoutMs, () => {
        stopping.abort();
        stream.destroy();
      });
      const output = await textFrom(stream, execOutputBytes).finally(cancel);
      const state = await made.inspect();
      if (stopping.signal.aborted) {
        endProcess(state.Pid);
        return { exitCode: -1, output, timedOut: true };
      }
      return { exitCode: state.ExitCode ?? -1, output, timedOut: false };
    } catch (error) {
      throw runtimeError(error, statusOf(error) === 404 ? 'NotFound' : 'CannotStart');
    }
  }

  async function* logs(id: string, wish: LogOptions, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const container = patient.getContainer(id);
    let source: Readable;
    let tty: boolean;
    try {
      tty = (await container.inspect()).Config.Tty;
      const asked = {
        stdout: true,
        stderr: true,
        timestamps: wish.timestamps ?? false,
        ...(wish.tailLines === undefined ? {} : { tail: wish.tailLines }),
        ...(wish.since === undefined ? {} : { since: wish.since as unknown as number }), // the engine reads fractions too
      };
      const answer =
        wish.follow === true
          ? await container.logs({ ...asked, follow: true })
          : await container.logs({ ...asked, follow: false });
      source = Buffer.isBuffer(answer) ? Readable.from([answer]) : (answer as Readable);
    } catch (error) {
      throw runtimeError(error, statusOf(error) === 404 ? 'NotFound' : 'Unavailable');
    }
    const stop = (): void => void source.destroy();
    signal.addEventListener('abort', stop, { once: true });
    try {
      yield* tty ? (source as AsyncIterable<Uint8Array>) : unframed(source as AsyncIterable<Uint8Array>);
    } catch (error) {
      if (!signal.aborted) throw runtimeError(error, 'Unavailable');
    } finally {
      signal.removeEventListener('abort', stop);
      source.destroy();
    }
  }

  async function prepare(): Promise<void> {
    if ((await imagePresent(infraImage)) !== undefined) return;
    if (infraImage !== infraImageName) {
      await pull(infraImage, new AbortController().signal);
      return;
    }
    const arch = process.arch === 'arm64' ? 'arm64' : 'x64';
    const pack = tar.pack();
    pack.entry({ name: infraCommand.slice(1), mode: 0o755 }, infraProgram(arch));
    pack.finalize();
    await importImage(patient, Readable.from(pack), infraImageName);
  }

  return {
    list,
    inspect,
    create,
    start,
    rename,
    stop: (id, graceSeconds) => ended(patient.getContainer(id).stop({ t: Math.max(0, Math.ceil(graceSeconds)) }), id),
    kill: (id, name) => ended(docker.getContainer(id).kill({ signal: name }), id),
    remove: (id) => ended(docker.getContainer(id).remove({ force: true, v: true }), id),
    prepare,
    imagePresent,
    pull,
    diskUsage,
    images,
    removeImage,
    exec,
    logs,
    ...dockerStreams(patient, clock, streamError),
    events: (onEvent, onGap, signal) => void followEvents(patient, labels, { onEvent, onGap }, { clock, signal }),
    async info(): Promise<RuntimeInfo> {
      try {
        const found = (await docker.info()) as Record<string, unknown>;
        return {
          version: `docker://${String(found['ServerVersion'])}`,
          kernelVersion: String(found['KernelVersion']),
          osImage: String(found['OperatingSystem']),
          cpus: Number(found['NCPU']),
          memoryBytes: Number(found['MemTotal']),
          rootDir: textIn(found, 'DockerRootDir', '/var/lib/docker'),
          liveRestore: found['LiveRestoreEnabled'] === true,
          lateHostnames: lateHostnameRuntime in ((found['Runtimes'] as object | undefined) ?? {}),
          cgroupDriver: textIn(found, 'CgroupDriver', 'none'),
          cgroupVersion: textIn(found, 'CgroupVersion', '1'),
        };
      } catch (error) {
        throw runtimeError(error, 'Unavailable');
      }
    },
  };
}

interface Listeners {
  readonly onEvent: (event: RuntimeEvent) => void;
  readonly onGap: () => void;
}

/** Follows the engine's events for ever: a broken stream is opened again, and `onGap` says that something may be missing. */
async function followEvents(
  docker: Docker,
  labels: Readonly<Record<string, string>>,
  listeners: Listeners,
  run: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  const filters = {
    type: ['container'],
    event: ['start', 'die', 'oom', 'destroy'],
    label: Object.entries(labels).map(([key, value]) => `${key}=${value}`),
  };
  for (let attempt = 0, first = true; !run.signal.aborted; first = false) {
    try {
      const stream = (await docker.getEvents({ filters: JSON.stringify(filters) as never })) as Readable;
      attempt = 0;
      if (!first) listeners.onGap();
      const stop = (): void => void stream.destroy();
      run.signal.addEventListener('abort', stop, { once: true });
      if (run.signal.aborted) stop();
      try {
        await eachLine(stream, (line) => {
          const event = eventOf(line);
          if (event !== undefined) listeners.onEvent(event);
        });
      } finally {
        run.signal.removeEventListener('abort', stop);
      }
    } catch {
      // The engine is away or broke the stream; whoever needs it says so by its own calls.
    }
    if (run.signal.aborted) return;
    await wait(run.clock, backoffMs(attempt++, { firstMs: 50, maxMs: 2_000 }), run.signal).catch(() => undefined);
  }
}

async function eachLine(stream: Readable, onLine: (line: string) => void): Promise<void> {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  }
}

interface DockerEvent {
  readonly Action?: string;
  readonly Actor?: { readonly ID?: string; readonly Attributes?: Readonly<Record<string, string>> };
}

function eventOf(line: string): RuntimeEvent | undefined {
  const event = JSON.parse(line) as DockerEvent;
  const type = event.Action;
  const containerId = event.Actor?.ID;
  if (containerId === undefined) return undefined;
  if (type !== 'start' && type !== 'die' && type !== 'oom' && type !== 'destroy') return undefined;
  return { type, containerId, name: event.Actor?.Attributes?.['name'] ?? '', labels: event.Actor?.Attributes ?? {} };
}

/** Makes an image from a stream in tar form, without a registry. */
export async function importImage(docker: Docker, layer: NodeJS.ReadableStream, name: string): Promise<void> {
  const stream = await docker.importImage(layer, { fromSrc: '-', repo: name }); // the engine reads the tag out of it
  await new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(stream, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

/** As the engine's API wants it. */
const authConfig = ({ server, username, password, identityToken }: RegistryAuth): object => ({
  serveraddress: server,
  ...(identityToken === undefined ? { username, password } : { identitytoken: identityToken }),
});

/** The file that is written and those that it was turned over to. */
async function logBytes(path: string | undefined): Promise<number> {
  if (path === undefined || path === '') return 0;
  const files = Array.from({ length: logFiles }, (_, turn) => (turn === 0 ? path : `${path}.${turn}`));
  const sizes = await Promise.all(
    files.map((file) =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

const stateOf = (state: string): RuntimeContainer['state'] =>
  state === 'running' || state === 'paused' || state === 'restarting'
    ? 'running'
    : state === 'created'
      ? 'created'
      : 'exited';

function containerOf(found: Docker.ContainerInspectInfo): RuntimeContainer {
  const { State: state } = found;
  const started = timeOf(state.StartedAt);
  const finished = timeOf(state.FinishedAt);
  const now = stateOf(state.Status);
  return {
    id: found.Id,
    name: found.Name.replace(/^\//, ''),
    image: found.Config.Image,
    imageId: found.Image,
    labels: found.Config.Labels,
    state: now,
    ...(state.Pid > 0 ? { pid: state.Pid } : {}),
    ...(now === 'exited' || state.Error !== '' ? { exitCode: state.ExitCode } : {}),
    ...(state.OOMKilled ? { oomKilled: true } : {}),
    ...(state.Error === '' ? {} : { error: state.Error }),
    createdAtMs: timeOf(found.Created) ?? 0,
    ...(started === undefined ? {} : { startedAtMs: started }),
    ...(finished === undefined || now === 'running' ? {} : { finishedAtMs: finished }),
  };
}

const textIn = (found: Readonly<Record<string, unknown>>, name: string, otherwise: string): string =>
  typeof found[name] === 'string' ? found[name] : otherwise;

/** Docker writes the year 1 for "not yet". */
function timeOf(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) || ms <= 0 ? undefined : ms;
}

function runtimeError(error: unknown, code: RuntimeError['code'], what?: string): RuntimeError {
  if (error instanceof RuntimeError) return error;
  const status = statusOf(error);
  const text = what === undefined ? textOf(error) : `${what}: ${textOf(error)}`;
  if (status === undefined)
    return new RuntimeError('Unavailable', `the container engine does not answer: ${text}`, { cause: error });
  return new RuntimeError(code, text, { cause: error });
}

const streamError = (error: unknown, what: string): RuntimeError => {
  if (statusOf(error) === 404) return runtimeError(error, 'NotFound', what);
  const isDown = statusOf(error) === 409 || /is not running/i.test(messageOf(error));
  return isDown
    ? new RuntimeError('NotRunning', 'the container does not run', { cause: error })
    : runtimeError(error, 'Unavailable', what);
};

async function textFrom(stream: Duplex, maxBytes: number): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of unframed(stream as AsyncIterable<Uint8Array>)) {
      if (size < maxBytes) parts.push(part.subarray(0, maxBytes - size));
      size += part.length;
    }
  } catch {
    // destroyed by our own time-out; what came until then counts
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The engine cannot end what it runs inside a container; the kernel can. */
function endProcess(pid: number): void {
  if (pid <= 1) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it ended by itself
  }
}

/** Waits (microseconds, as a rule) until the infra program has its own network namespace: nobody may join before. */
async function hasOwnNetwork(pid: number, clock: Clock): Promise<void> {
  const ours = await readlink('/proc/self/ns/net');
  const until = clock.monotonic() + 5_000;
  for (;;) {
    const its = await readlink(`/proc/${pid}/ns/net`).catch(() => undefined);
    if (its === undefined)
      throw new RuntimeError('CannotStart', 'the infra container ended at once: may it make a network namespace?');
    if (its !== ours) return;
    if (clock.monotonic() > until)
      throw new RuntimeError('CannotStart', 'the infra container made no network namespace');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const capSysResource = 24n;

/** Whether this process (and so, as a rule, the engine beside it) has a capability. */
async function hasCapability(bit: bigint): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const mask = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> bit) & 1n) === 1n;
}

function* inBatches<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
