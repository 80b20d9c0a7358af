import type { Container, Pod } from '../lib/api/objects.ts';
import { asMap, expanded } from './environment.ts';
import { containerName, labelsFor, type ContainerKind } from './labels.ts';
import { uname } from './pod-files.ts';
import type { ContainerSecurity } from './security/container-security.ts';
import { dottedName, scopeOf } from './security/sysctls.ts';
import { engineResources, oomScore } from './resource-amount.ts';
import type { ContainerSpec } from './runtime/runtime.ts';

/** The infra container that holds the pod's namespaces (F45, F46). */
export function sandboxSpec(
  pod: Pod,
  attempt: number,
  ip: string | undefined,
  node: { readonly image: string; readonly clusterDomain: string },
): ContainerSpec {
  const { hostNetwork, hostIPC } = pod.spec;
  const sysctls = (pod.spec.securityContext.sysctls ?? []).filter(({ name }) => scopeOf(name) === 'ipc');
  return {
    name: containerName(pod, undefined, attempt),
    image: node.image,
    labels: labelsFor(pod, { kind: 'sandbox', attempt, ...(ip === undefined ? {} : { ip }) }),
    env: [],
    mounts: [],
    hostname: uname(pod, node.clusterDomain),
    ...(hostNetwork === true ? { hostNetwork: true } : {}),
    ...(hostIPC === true ? { hostIpc: true } : {}),
    ...(sysctls.length === 0
      ? {}
      : { sysctls: Object.fromEntries(sysctls.map(({ name, value }) => [dottedName(name), value])) }),
    oomScoreAdj: -998,
  };
}

export interface ContainerInputs {
  readonly kind: ContainerKind;
  readonly container: Container;
  readonly attempt: number;
  readonly crashes: number;
  readonly ahead?: boolean;
  readonly sandboxId: string;
  readonly environment: readonly string[];
  readonly mounts: ContainerSpec['mounts'];
  readonly security: ContainerSecurity;
  readonly nodeMemoryBytes: number;
  /** In a sandbox that was made in advance: the pod's host name. */
  readonly lateHostname?: string | undefined;
  readonly cgroupParent?: string | undefined;
  /** The id of the container whose processes it sees, where these are no more than its own. */
  readonly targetId?: string | undefined;
}

/** One attempt at one container, as the engine is asked for it. */
export function containerSpec(pod: Pod, inputs: ContainerInputs): ContainerSpec {
  const { container, kind, attempt, crashes, ahead, sandboxId } = inputs;
  const values = asMap(inputs.environment);
  return {
    name: containerName(pod, container.name, attempt),
    image: container.image,
    labels: labelsFor(pod, { kind, container, attempt, crashes, sandboxId, ahead }),
    sandboxId,
    ...(some(container.command) ? { command: container.command.map((word) => expanded(word, values)) } : {}),
    ...(some(container.args) ? { args: container.args.map((word) => expanded(word, values)) } : {}),
    ...(inputs.lateHostname === undefined ? {} : { lateHostname: true }),
    env:
      inputs.lateHostname === undefined || values.has('HOSTNAME')
        ? inputs.environment
        : [...inputs.environment, `HOSTNAME=${inputs.lateHostname}`],
    ...(container.workingDir === undefined || container.workingDir === '' ? {} : { workingDir: container.workingDir }),
    mounts: inputs.mounts,
    ...(pod.spec.hostNetwork === true ? { hostNetwork: true } : {}),
    ...(pod.spec.hostPID === true ? { hostPid: true } : {}),
    ...(pod.spec.hostIPC === true ? { hostIpc: true } : {}),
    ...(pod.spec.shareProcessNamespace === true ? { sharedPid: true } : {}),
    ...(inputs.targetId === undefined ? {} : { pidOf: inputs.targetId }),
    ...engineResources(container),
    ...(inputs.cgroupParent === undefined ? {} : { cgroupParent: inputs.cgroupParent }),
    oomScoreAdj: oomScore(pod, container, inputs.nodeMemoryBytes),
    ...inputs.security,
    ...(container.lifecycle?.stopSignal === undefined ? {} : { stopSignal: container.lifecycle.stopSignal }),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
  };
}

const some = (list: readonly string[] | undefined): list is readonly string[] => list !== undefined && list.length > 0;
