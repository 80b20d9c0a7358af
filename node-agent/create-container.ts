import type { Container, EphemeralContainer } from '../lib/api/objects.ts';
import { groupFor } from './cgroups/group-for.ts';
import { environmentOf } from './config-reader.ts';
import { containerSpec } from './container-spec.ts';
import type { ContainerKind } from './labels.ts';
import type { AgentParts } from './parts.ts';
import { uname } from './pod-files.ts';
import type { PodMemory } from './pod-memory.ts';
import type { ContainerSpec } from './runtime/runtime.ts';
import { securityOf } from './security/container-security.ts';

/** One attempt at one container. */
export interface Attempt {
  readonly kind: ContainerKind;
  readonly container: Container;
  readonly attempt: number;
  readonly crashes: number;
  /** Made before it was known how the one before it ended. */
  readonly ahead?: boolean;
}

export interface JoinedSandbox {
  readonly sandboxId: string;
  readonly ip: string;
  readonly warm?: boolean;
}

/** Has the engine make a container. Rejects with what its configuration lacks, or what the engine or the storage said. */
export async function createContainer(
  parts: AgentParts,
  memory: PodMemory,
  wish: Attempt,
  sandbox: JoinedSandbox,
): Promise<{ readonly id: string; readonly spec: ContainerSpec }> {
  const { pod } = memory;
  const { container, attempt } = wish;
  const environment = await environmentOf(parts, pod, container, sandbox.ip);
  const mounts = await parts.storage.mounts(pod, container, { attempt, environment });
  const security = await securityOf(parts, pod, container);
  const node = { nodeMemoryBytes: parts.node.memoryBytes, cgroupParent: await groupFor(parts, pod) };
  const targetId = targetIdOf(memory, container);
  const lateHostname = sandbox.warm === true ? uname(pod, parts.dns.clusterDomain) : undefined;
  const spec = containerSpec(pod, {
    ...{ ...wish, ...node, sandboxId: sandbox.sandboxId, environment, mounts, security, lateHostname, targetId },
  });
  return { id: await parts.runtime.create(spec), spec };
}

/** The container whose processes an ephemeral one sees; undefined where these are its own, its pod's or the node's. */
function targetIdOf({ pod, containers }: PodMemory, container: EphemeralContainer): string | undefined {
  const { targetContainerName: target = '' } = container;
  if (target === '' || pod.spec.hostPID === true || pod.spec.shareProcessNamespace === true) return undefined;
  return [...containers.values()].find(({ name, is }) => name === target && is.state === 'running')?.is.id;
}
