import { readlink, readFile, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { Duplex } from 'node:stream';
import Docker from 'dockerode';
import tar from 'tar-stream';
import { systemClock, wait, type Clock } from '../../lib/base/clock.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { dockerArchives } from './docker-archives.ts';
import { containerOf, stateOf } from './docker-container.ts';
import { followEvents } from './docker-events.ts';
import { dockerImages, importImage } from './docker-images.ts';
import { createOptions, logFiles, ownLabels, sandboxNetworkLabel } from './docker-options.ts';
import { dockerStreams } from './docker-streams.ts';
import { lateHostnameRuntime } from './late-hostname.ts';
import { endInterruptedStart } from './interrupted-start.ts';
import { runtimeError, statusOf, streamError } from './engine-error.ts';
import { infraCommand, infraImageName, infraProgram } from './infra-image.ts';
import { unframed } from './log-frames.ts';
import {
  RuntimeError,
  type ContainerDisk,
  type ContainerRuntime,
  type ContainerSpec,
  type ExecResult,
  type LogOptions,
  type RuntimeContainer,
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
const leftoverTries = 10;
const leftoverPauseMs = 200;
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
  /** Of those that were there when they were to be created nobody knows yet whether they have been started before. */
  const cameUpon = new Set<string>();
  const images = dockerImages(docker, patient);
  const archives = dockerArchives(patient, streamError);
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
      cameUpon.add(existing.id);
      return existing.id;
    }
  }

  async function start(id: string): Promise<RuntimeContainer | undefined> {
    if (cameUpon.has(id)) {
      // The engine would run again what has ended, when it was asked twice because its first answer was lost.
      const before = await inspect(id);
      cameUpon.delete(id);
      if (before?.state === 'exited') return before;
      if (before?.state === 'created') await endInterruptedStart(id);
    }
    await startAnew(id, 0);
    const container = await inspect(id);
    if (container?.image === infraImageName && container.labels[sandboxNetworkLabel] !== 'host') {
      await hasOwnNetwork(container.pid ?? 0, clock);
    }
    return container;
  }

  /** What an engine that was killed has left of a start takes its containerd a moment to tidy up. */
  async function startAnew(id: string, tries: number): Promise<void> {
    try {
      await docker.getContainer(id).start();
    } catch (error) {
      if (statusOf(error) === 304) return; // it runs already
      if (statusOf(error) === 404) throw runtimeError(error, 'NotFound');
      const isLeft = /failed to start shim|id already in use|already exists/i.test(messageOf(error));
      if (!isLeft || tries >= leftoverTries) throw runtimeError(error, 'CannotStart');
      await endInterruptedStart(id);
      await wait(clock, leftoverPauseMs);
      await startAnew(id, tries + 1);
    }
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
    if ((await images.imagePresent(infraImage)) !== undefined) return;
    if (infraImage !== infraImageName) {
      await images.pull(infraImage, new AbortController().signal);
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
    remove: async (id) => {
      cameUpon.delete(id);
      archives.letGo(id);
      if (known.get(id)?.state === 'created') await endInterruptedStart(id);
      return ended(docker.getContainer(id).remove({ force: true, v: true }), id);
    },
    prepare,
    ...images,
    diskUsage,
    exec,
    logs,
    ...dockerStreams(patient, clock, streamError, archives),
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

const textIn = (found: Readonly<Record<string, unknown>>, name: string, otherwise: string): string =>
  typeof found[name] === 'string' ? found[name] : otherwise;

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
