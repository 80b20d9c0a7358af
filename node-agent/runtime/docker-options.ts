import type { ContainerCreateOptions } from 'dockerode';
import { lateHostname, lateHostnameRuntime } from './late-hostname.ts';
import { infraCommand } from './infra-image.ts';
import type { ContainerSpec } from './runtime.ts';

/** Marks what belongs to this agent; nothing else is ever listed or touched. */
export const ownLabels = (cluster: string, node: string): Readonly<Record<string, string>> => ({
  'troupe.cluster': cluster,
  'troupe.node': node,
});

/** Marks sandboxes on the host's own network. */
export const sandboxNetworkLabel = 'troupe.network';

export interface OptionsContext {
  readonly labels: Readonly<Record<string, string>>;
  /** Sandboxes of this image make their network namespace themselves. */
  readonly ownInfraImage: string;
  /** Whether an oom_score_adj below zero can be given; where it cannot, the container would not start. */
  readonly mayLowerOomScore: boolean;
}

type HostConfig = NonNullable<ContainerCreateOptions['HostConfig']>;

/** Output is kept in so many files of 10 MB at most. */
export const logFiles = 3;

/** What to ask of the engine for a container. */
export function createOptions(spec: ContainerSpec, context: OptionsContext): ContainerCreateOptions {
  const oomScore = spec.oomScoreAdj ?? 0;
  return {
    name: spec.name,
    Image: spec.image,
    Labels: {
      ...spec.labels,
      ...context.labels,
      ...(isSandbox(spec) && spec.hostNetwork === true ? { [sandboxNetworkLabel]: 'host' } : {}),
    },
    ...commandOf(spec, context.ownInfraImage),
    Env: [...spec.env],
    ...(spec.workingDir === undefined ? {} : { WorkingDir: spec.workingDir }),
    ...(spec.hostname === undefined || spec.hostNetwork === true ? {} : { Hostname: spec.hostname }),
    ...(spec.lateHostname === true && isSandbox(spec) ? { Hostname: lateHostname } : {}),
    ...(spec.user === undefined ? {} : { User: spec.user }),
    ...(spec.stopSignal === undefined ? {} : { StopSignal: spec.stopSignal }),
    Tty: spec.tty ?? false,
    OpenStdin: spec.stdin ?? false,
    StdinOnce: spec.stdinOnce ?? false,
    HostConfig: {
      ...namespaces(spec, context.ownInfraImage),
      ...security(spec),
      RestartPolicy: { Name: 'no' },
      ...(spec.lateHostname === true && !isSandbox(spec) ? { Runtime: lateHostnameRuntime } : {}),
      Mounts: spec.mounts.map((mount) => ({
        Type: 'bind' as const,
        Source: mount.source,
        Target: mount.target,
        ReadOnly: mount.readOnly,
        ...(mount.propagation === undefined ? {} : { BindOptions: { Propagation: `r${mount.propagation}` as const } }),
      })),
      OomScoreAdj: oomScore < 0 && !context.mayLowerOomScore ? 0 : oomScore,
      ...(spec.cpuShares === undefined ? {} : { CpuShares: spec.cpuShares }),
      ...(spec.cpuQuotaMicros === undefined ? {} : { CpuPeriod: 100_000, CpuQuota: spec.cpuQuotaMicros }),
      ...(spec.cgroupParent === undefined ? {} : { CgroupParent: spec.cgroupParent }),
      // No swap on top: a limit is a limit.
      ...(spec.memoryBytes === undefined ? {} : { Memory: spec.memoryBytes, MemorySwap: spec.memoryBytes }),
      LogConfig: isSandbox(spec)
        ? { Type: 'none', Config: {} }
        : { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': String(logFiles) } },
    },
  };
}

const isSandbox = (spec: ContainerSpec): boolean => spec.sandboxId === undefined;

function commandOf(spec: ContainerSpec, ownInfraImage: string): Pick<ContainerCreateOptions, 'Entrypoint' | 'Cmd'> {
  if (isSandbox(spec) && spec.image === ownInfraImage) {
    return { Entrypoint: [infraCommand], Cmd: spec.hostNetwork === true ? ['host'] : [] };
  }
  return {
    // An entrypoint of one's own drops the image's CMD, in Docker as in a pod.
    ...(spec.command === undefined ? {} : { Entrypoint: [...spec.command] }),
    ...(spec.args === undefined ? {} : { Cmd: [...spec.args] }),
  };
}

function namespaces(spec: ContainerSpec, ownInfraImage: string): HostConfig {
  if (spec.sandboxId !== undefined) {
    const sandbox = `container:${spec.sandboxId}`;
    return {
      NetworkMode: spec.hostNetwork === true ? 'host' : sandbox,
      IpcMode: spec.hostIpc === true ? 'host' : sandbox,
      ...pidMode(spec, sandbox),
    };
  }
  const makesItsOwn = spec.image === ownInfraImage;
  return {
    NetworkMode: spec.hostNetwork === true || makesItsOwn ? 'host' : 'none',
    IpcMode: spec.hostIpc === true ? 'host' : 'shareable',
    ...(makesItsOwn ? { CapDrop: ['ALL'], ...(spec.hostNetwork === true ? {} : { CapAdd: ['SYS_ADMIN'] }) } : {}),
    ...(spec.sysctls === undefined ? {} : { Sysctls: { ...spec.sysctls } }),
    ReadonlyRootfs: true,
  };
}

function pidMode({ hostPid, sharedPid, pidOf }: ContainerSpec, sandbox: string): HostConfig {
  if (hostPid === true) return { PidMode: 'host' };
  if (sharedPid === true) return { PidMode: sandbox };
  return pidOf === undefined ? {} : { PidMode: `container:${pidOf}` };
}

function security(spec: ContainerSpec): HostConfig {
  if (isSandbox(spec)) return { SecurityOpt: ['no-new-privileges'] };
  const profiles = [
    ...(spec.noNewPrivileges === true ? ['no-new-privileges'] : []),
    ...(spec.seccomp === undefined ? [] : [`seccomp=${spec.seccomp}`]),
    ...(spec.appArmor === undefined ? [] : [`apparmor=${spec.appArmor}`]),
  ];
  return {
    Privileged: spec.privileged ?? false,
    ReadonlyRootfs: spec.readOnlyRoot ?? false,
    ...(spec.capAdd === undefined ? {} : { CapAdd: [...spec.capAdd] }),
    ...(spec.capDrop === undefined ? {} : { CapDrop: [...spec.capDrop] }),
    ...(spec.groups === undefined ? {} : { GroupAdd: [...spec.groups] }),
    ...(profiles.length === 0 ? {} : { SecurityOpt: profiles }),
    ...(spec.unmaskedProc === true ? { MaskedPaths: [], ReadonlyPaths: [] } : {}),
  };
}
