import type { Container, Pod } from '../lib/api/objects.ts';
import { asMap, expanded } from './environment.ts';
import { containerName, labelsFor, type ContainerKind } from './labels.ts';
import { hostnameOf } from './pod-files.ts';
import { engineResources, oomScore } from './resource-amount.ts';
import type { ContainerSpec } from './runtime/runtime.ts';

/** The infra container that holds the pod's namespaces (F45, F46). */
export function sandboxSpec(pod: Pod, attempt: number, ip: string | undefined, image: string): ContainerSpec {
  const { hostNetwork, hostIPC } = pod.spec;
  return {
    name: containerName(pod, undefined, attempt),
    image,
    labels: labelsFor(pod, { kind: 'sandbox', attempt, ...(ip === undefined ? {} : { ip }) }),
    env: [],
    mounts: [],
    hostname: hostnameOf(pod),
    ...(hostNetwork === true ? { hostNetwork: true } : {}),
    ...(hostIPC === true ? { hostIpc: true } : {}),
    oomScoreAdj: -998,
  };
}

export interface ContainerInputs {
  readonly kind: ContainerKind;
  readonly container: Container;
  readonly attempt: number;
  readonly crashes: number;
  readonly sandboxId: string;
  readonly environment: readonly string[];
  readonly mounts: ContainerSpec['mounts'];
  readonly nodeMemoryBytes: number;
  readonly cgroupParent?: string | undefined;
}

/** One attempt at one container, as the engine is asked for it. */
export function containerSpec(pod: Pod, inputs: ContainerInputs): ContainerSpec {
  const { container, kind, attempt, crashes } = inputs;
  const values = asMap(inputs.environment);
  const own = container.securityContext;
  const shared = pod.spec.securityContext;
  const user = own?.runAsUser ?? shared.runAsUser;
  const group = own?.runAsGroup ?? shared.runAsGroup;
  const groups = [...(shared.supplementalGroups ?? []), ...(shared.fsGroup === undefined ? [] : [shared.fsGroup])];
  return {
    name: containerName(pod, container.name, attempt),
    image: container.image,
    labels: labelsFor(pod, { kind, container, attempt, crashes, sandboxId: inputs.sandboxId }),
    sandboxId: inputs.sandboxId,
    ...(some(container.command) ? { command: container.command.map((word) => expanded(word, values)) } : {}),
    ...(some(container.args) ? { args: container.args.map((word) => expanded(word, values)) } : {}),
    env: inputs.environment,
    ...(container.workingDir === undefined || container.workingDir === '' ? {} : { workingDir: container.workingDir }),
    mounts: inputs.mounts,
    ...(pod.spec.hostNetwork === true ? { hostNetwork: true } : {}),
    ...(pod.spec.hostPID === true ? { hostPid: true } : {}),
    ...(pod.spec.hostIPC === true ? { hostIpc: true } : {}),
    ...(pod.spec.shareProcessNamespace === true ? { sharedPid: true } : {}),
    ...engineResources(container),
    ...(inputs.cgroupParent === undefined ? {} : { cgroupParent: inputs.cgroupParent }),
    oomScoreAdj: oomScore(pod, container, inputs.nodeMemoryBytes),
    ...(user === undefined && group === undefined
      ? {}
      : { user: `${user ?? 0}${group === undefined ? '' : `:${group}`}` }),
    ...(groups.length === 0 ? {} : { groups: groups.map(String) }),
    privileged: own?.privileged ?? false,
    readOnlyRoot: own?.readOnlyRootFilesystem ?? false,
    noNewPrivileges: own?.allowPrivilegeEscalation === false,
    ...(some(own?.capabilities?.add) ? { capAdd: own.capabilities.add } : {}),
    ...(some(own?.capabilities?.drop) ? { capDrop: own.capabilities.drop } : {}),
    tty: container.tty ?? false,
    stdin: container.stdin ?? false,
    stdinOnce: container.stdinOnce ?? false,
  };
}

const some = (list: readonly string[] | undefined): list is readonly string[] => list !== undefined && list.length > 0;
