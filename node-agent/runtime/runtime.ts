import type { RuntimeStreams } from './streams.ts';

/**
 * What the agent needs of a container engine. Verbs are idempotent: creating what exists, stopping what
 * stopped and removing what is gone succeed. Containers are found again by their labels alone, so that an agent may
 * die at any moment. Only containers that carry the owner label (`troupe.cluster` and `troupe.node`, given to the
 * implementation) are ever listed or touched. Methods reject with RuntimeError.
 */
export interface ContainerRuntime extends RuntimeStreams {
  /** Every container of ours, running or not. */
  list(): Promise<readonly RuntimeContainer[]>;
  inspect(id: string): Promise<RuntimeContainer | undefined>;
  /** Creates without starting; the name is unique, and an existing container of that name is returned as it is. */
  create(spec: ContainerSpec): Promise<string>;
  /** Resolves to what it is then; undefined where it is gone already. One that `create` came upon, and that has ended, is not run again. */
  start(id: string): Promise<RuntimeContainer | undefined>;
  /** Gives it another name, at once and for all who look; again with the same name does nothing. `NameTaken`, `NotFound`. */
  rename(id: string, name: string): Promise<void>;
  /** SIGTERM (or the image's stop signal), then SIGKILL after `graceSeconds`. Resolves when it has ended. */
  stop(id: string, graceSeconds: number): Promise<void>;
  kill(id: string, signal: string): Promise<void>;
  /** Removes it, ending it at once where it still runs. */
  remove(id: string): Promise<void>;

  /** Sees to it that sandboxes can be made: makes their image where it is ours and missing. */
  prepare(): Promise<void>;
  imagePresent(image: string): Promise<ImageInfo | undefined>;
  /**
   * Fetches it anew from its registry, where the name may mean another image by now. Fails with code `ImageNotFound` or
   * `ImagePullFailed`, the message being the registry's own; credentials are in no message.
   */
  pull(image: string, signal: AbortSignal, auth?: RegistryAuth): Promise<ImageInfo>;

  /** What a container has on the engine's disk. The engine has to count it file by file: not for often. */
  diskUsage(id: string): Promise<ContainerDisk>;

  /** Every image on the machine, whoever brought it. */
  images(): Promise<readonly HeldImage[]>;
  /** By name: takes that name off, and removes the image with its last. By id: removes it. `InUse` where a container has it. */
  removeImage(image: string): Promise<void>;

  /**
   * Runs a command inside; bounded output; the exit code. `timedOut` when it took longer. Where it rejects, `Unavailable` and
   * `NotFound` say nothing of the command: the engine is away, was restarted meanwhile, or has no such container.
   */
  exec(id: string, command: readonly string[], timeoutMs: number): Promise<ExecResult>;

  /** Lines of output, oldest first; with `follow`, new ones until aborted. */
  logs(id: string, options: LogOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;

  /** Pushes: `onEvent` for each start, death, OOM kill of our containers; `onGap` when events may have been missed. Stops when aborted. */
  events(onEvent: (event: RuntimeEvent) => void, onGap: () => void, signal: AbortSignal): void;

  info(): Promise<RuntimeInfo>;
}

export interface ContainerMount {
  /** A path of the machine that exists. */
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** What is mounted later below the source is seen inside (`slave`), and what is mounted inside is seen outside too (`shared`). */
  readonly propagation?: 'slave' | 'shared' | undefined;
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  /** ENTRYPOINT and CMD; undefined keeps the image's own. */
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env: readonly string[];
  readonly workingDir?: string;
  readonly hostname?: string;
  /**
   * On a sandbox: its pod's host name is not known yet. On those who join such a one: theirs is what the file says that is
   * mounted at /etc/hostname, and HOSTNAME is set by `env`. Only where `RuntimeInfo.lateHostnames`.
   */
  readonly lateHostname?: boolean;
  /** The sandbox whose network and IPC namespaces to join; undefined: this is the sandbox itself. */
  readonly sandboxId?: string;
  readonly hostNetwork?: boolean;
  readonly hostPid?: boolean;
  readonly hostIpc?: boolean;
  /** Sees the processes of the whole pod (needs `sandboxId`). */
  readonly sharedPid?: boolean;
  /** Sees the processes of this container, which runs; neither `hostPid` nor `sharedPid`. Ends with it. */
  readonly pidOf?: string;
  readonly mounts: readonly ContainerMount[];
  /** CPU shares and CFS quota from millicores; memory limit in bytes. */
  readonly cpuShares?: number;
  /** In each 100 ms. */
  readonly cpuQuotaMicros?: number;
  readonly memoryBytes?: number;
  /** The group of the kernel's in which it is made, as `PodCgroups` names it; undefined: where the engine puts it. */
  readonly cgroupParent?: string;
  readonly oomScoreAdj?: number;
  readonly user?: string;
  /** Supplementary groups, by number. */
  readonly groups?: readonly string[];
  readonly privileged?: boolean;
  readonly readOnlyRoot?: boolean;
  readonly noNewPrivileges?: boolean;
  readonly capAdd?: readonly string[];
  readonly capDrop?: readonly string[];
  /** `unconfined`, or the text of a profile; undefined: the engine's own. */
  readonly seccomp?: string;
  /** `unconfined`, or the name of a profile that is loaded; undefined: the engine's own. */
  readonly appArmor?: string;
  /** All of /proc as it is, without the engine's covers. */
  readonly unmaskedProc?: boolean;
  /** Kernel settings of a sandbox's IPC namespace. */
  readonly sysctls?: Readonly<Record<string, string>>;
  /** What `stop` sends first; undefined: the image's, else SIGTERM. */
  readonly stopSignal?: string;
  readonly tty?: boolean;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
}

export interface RuntimeContainer {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'created' | 'running' | 'exited';
  readonly pid?: number;
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** What the engine said when it could not start it. */
  readonly error?: string;
  readonly createdAtMs: number;
  readonly startedAtMs?: number;
  readonly finishedAtMs?: number;
}

/** Who we are for a registry. */
export interface RegistryAuth {
  readonly server: string;
  readonly username: string;
  readonly password: string;
  /** In place of a password, where the registry gave one. */
  readonly identityToken?: string;
}

export interface ContainerDisk {
  /** Beside what its image brings. */
  readonly writtenBytes: number;
  /** Its kept output, as far as that is in sight. */
  readonly logBytes: number;
}

/** An image on this machine. */
export interface HeldImage extends ImageInfo {
  /** Tags and digests, such as `busybox:1` and `busybox@sha256:…`. */
  readonly names: readonly string[];
  /** A container is made of it, running or not, ours or not. */
  readonly inUse: boolean;
}

export interface ImageInfo {
  readonly id: string;
  /** Whom its containers run as unless told otherwise: `1000`, `www`, `1000:100`; undefined for root. */
  readonly user?: string;
  readonly sizeBytes: number;
}
export interface ExecResult {
  readonly exitCode: number;
  readonly output: string;
  readonly timedOut: boolean;
}
export interface LogOptions {
  readonly follow?: boolean;
  readonly tailLines?: number;
  /** Seconds since 1970, with nanoseconds after a point: lines of that moment and later. */
  readonly since?: string;
  readonly timestamps?: boolean;
}
export interface RuntimeEvent {
  readonly type: 'start' | 'die' | 'oom' | 'destroy';
  readonly containerId: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}
export interface RuntimeInfo {
  readonly version: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Where it keeps images and what containers write. */
  readonly rootDir: string;
  /** Containers run on while the engine is away. */
  readonly liveRestore: boolean;
  /** Containers can be given a host name that was not known when their sandbox was made. */
  readonly lateHostnames: boolean;
  /** How it keeps the kernel's control groups: `cgroupfs`, `systemd` or none; version `1` or `2`. */
  readonly cgroupDriver: string;
  readonly cgroupVersion: string;
}

/** What the engine could not do; `code` decides the pod's waiting reason. */
export class RuntimeError extends Error {
  readonly code:
    | 'ImageNotFound'
    | 'ImagePullFailed'
    | 'NotFound'
    | 'CannotCreate'
    | 'CannotStart'
    | 'Unavailable'
    | 'NotRunning'
    | 'NoSuchFile'
    | 'ReadOnly'
    | 'NoSpace'
    | 'BadTar'
    | 'NameTaken'
    | 'InUse';
  constructor(code: RuntimeError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RuntimeError';
    this.code = code;
  }
}
