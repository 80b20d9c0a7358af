import type { Container, Pod } from '../lib/api/objects.ts';
import { keyOf } from '../lib/api/keys.ts';
import { hostPortsOf } from '../lib/api/pods.ts';
import { hasReason, messageOf } from '../lib/base/errors.ts';
import { sandboxSpec } from './container-spec.ts';
import { createContainer, type Attempt, type JoinedSandbox } from './create-container.ts';
import { ConfigMissing } from './environment.ts';
import { pullImage } from './images/pull-image.ts';
import { fileFound, inspect } from './inspect-container.ts';
import type { PodContainer } from './labels.ts';
import type { PortMapping } from './network/pod-network.ts';
import { podReference, type AgentParts } from './parts.ts';
import { podFiles } from './pod-files.ts';
import type { PodMemory } from './pod-memory.ts';
import type { Action } from './reconcile.ts';
import { RuntimeError } from './runtime/runtime.ts';
import { runPostStart } from './post-start.ts';
import { ConfigRefused } from './security/container-security.ts';
import { scopeOf } from './security/sysctls.ts';
import { stopContainer } from './stop-container.ts';
import { VolumeError, VolumeLost } from './volumes/driver.ts';
import { withdraw } from './withdrawal/withdraw.ts';
import { takeWarm } from './warm/take-warm.ts';
import { prepareVolumes, updateVolumes } from './volumes/volume-steps.ts';

/**
 * Does one action. Resolves to whether something changed that calls for another look at once; what goes on by itself (pulls,
 * stops) wakes the pod when it is over. What the pod's own configuration is to blame for becomes a setback; what is the
 * node's (no engine, no API) is thrown, and tried again by the worker.
 */
export async function perform(
  parts: AgentParts,
  memory: PodMemory,
  action: Action,
  wake: () => void,
): Promise<boolean> {
  switch (action.type) {
    case 'prepareVolumes':
      return prepareVolumes(parts, memory);
    case 'updateVolumes':
      return updateVolumes(parts, memory);
    case 'startSandbox':
      return startSandbox(parts, memory, action.attempt);
    case 'attachNetwork':
      await attach(parts, memory, action.sandbox, true);
      return true;
    case 'removeSandbox':
      await removeSandbox(parts, memory, action.sandbox.is.id);
      return true;
    case 'pull':
      pullImage(parts, memory, action.container, wake);
      return true;
    case 'start':
      return start(parts, memory, action, wake);
    case 'stop':
      stopContainer(parts, memory, action, wake);
      return false;
    case 'withdraw':
      withdraw(parts, memory, action.untilMs, wake);
      return false;
    case 'kill':
      await parts.runtime.kill(action.container.is.id, 'SIGKILL');
      return false; // its death is told by the engine
    case 'remove':
      memory.removing(action.container);
      await parts.runtime.remove(action.container.is.id);
      memory.forget(action.container.is.id);
      return true;
    case 'removeVolumes':
      parts.followed.forget(memory.uid);
      parts.tokens.forget(memory.uid);
      await parts.storage.remove(memory.uid);
      memory.volumesRemoved = true;
      memory.volumesReady = false;
      return true;
    case 'unmountVolumes':
      parts.followed.forget(memory.uid);
      parts.tokens.forget(memory.uid);
      await parts.storage.unmount(memory.uid);
      memory.volumesReady = false;
      return true;
    case 'confirmDeletion':
      await confirmDeletion(parts, memory);
      return true;
  }
}

const isOnHost = (memory: PodMemory): boolean => memory.pod.spec.hostNetwork === true;

async function startSandbox(parts: AgentParts, memory: PodMemory, attempt: number): Promise<boolean> {
  const { pod } = memory;
  const node = { image: parts.infraImage, clusterDomain: parts.dns.clusterDomain };
  const warm = await takeWarm(parts, memory, sandboxSpec(pod, attempt, undefined, node), async ({ is, ip }) => {
    await parts.storage.writeFiles(pod, podFiles(pod, ip, parts.dns));
    await createEarly(parts, memory, { sandboxId: is.id, ip, warm: true });
  });
  if (warm !== undefined) {
    // The network is there; what only this pod wants of it is not.
    const plain = portMappings(memory).length === 0 && (pod.spec.securityContext.sysctls ?? []).length === 0;
    if (plain) memory.attached = true;
    else await attach(parts, memory, warm, true);
    memory.setbacks.delete('');
    return true;
  }
  const ip = isOnHost(memory) ? undefined : parts.network.reserve(memory.uid);
  await parts.storage.writeFiles(pod, podFiles(pod, ip ?? parts.node.hostIp, parts.dns));
  const id = await parts.runtime.create(sandboxSpec(pod, attempt, ip, node));
  const early = createEarly(parts, memory, { sandboxId: id, ip: ip ?? parts.node.hostIp });
  const sandbox = fileFound(memory, id, await parts.runtime.start(id));
  if (sandbox?.is.state === 'running' && !isOnHost(memory)) await attach(parts, memory, sandbox, false);
  await early;
  memory.setbacks.delete('');
  return true;
}

async function removeSandbox(parts: AgentParts, memory: PodMemory, id: string): Promise<void> {
  const isNewest = memory.sandbox()?.is.id === id; // what runs beside an older one is in the same group
  if (!isOnHost(memory)) await parts.network.detach(memory.uid);
  memory.attached = isOnHost(memory);
  await parts.runtime.remove(id);
  if (isNewest) await parts.cgroups?.remove(memory.uid);
  memory.forget(id);
}

/** A container can be created, though not started, while its sandbox starts: that saves its pod some 20 ms. */
async function createEarly(parts: AgentParts, memory: PodMemory, sandbox: JoinedSandbox): Promise<void> {
  const { pod } = memory;
  const isFirst = [...memory.containers.values()].every((container) => container.kind === 'sandbox');
  if (!isFirst || !memory.volumesReady || (pod.spec.initContainers ?? []).length > 0) return;
  for (const container of pod.spec.containers) {
    if (container.imagePullPolicy === 'Always' || pod.status.containerStatuses !== undefined) continue;
    const wish = { kind: 'container' as const, container, attempt: 0, crashes: 0 };
    try {
      const { id } = await createContainer(parts, memory, wish, sandbox);
      memory.created.set(`${container.name}_0`, id);
    } catch {
      return; // the real start meets the same, and tells
    }
  }
}

async function attach(parts: AgentParts, memory: PodMemory, sandbox: PodContainer, adopted: boolean): Promise<void> {
  const { pid } = sandbox.is;
  if (sandbox.warm !== undefined) parts.network.hand(sandbox.warm, memory.uid); // taken, but the engine did not say so
  const ip = sandbox.ip ?? parts.network.reserve(memory.uid);
  if (pid === undefined) throw new RuntimeError('CannotStart', `the sandbox of ${keyOf(memory.pod)} has no process`);
  const sysctls = (memory.pod.spec.securityContext.sysctls ?? []).filter(({ name }) => scopeOf(name) === 'network');
  await parts.network.attach({ podUid: memory.uid, ip, pid, hostPorts: portMappings(memory), sysctls, adopted });
  memory.attached = true;
  memory.unverified = false;
}

/** The ports of the node that lead into a pod. */
export const portMappings = ({ pod }: { readonly pod: Pod }): readonly PortMapping[] =>
  hostPortsOf(pod.spec).map((hostPort) => {
    const port = [...(pod.spec.initContainers ?? []), ...pod.spec.containers]
      .flatMap((container) => container.ports ?? [])
      .find((candidate) => candidate.hostPort === hostPort.port && candidate.protocol === hostPort.protocol);
    return { ...hostPort, containerPort: port?.containerPort ?? hostPort.port };
  });

// ---- Containers --------------------------------------------------------------------------------

async function start(parts: AgentParts, memory: PodMemory, wish: Attempt, wake: () => void): Promise<boolean> {
  const { container, attempt } = wish;
  const { telling, runtime } = parts;
  const about = podReference(memory.pod, container.name);
  const sandbox = memory.sandbox();
  if (sandbox === undefined) return true;
  const known = memory.created.get(`${container.name}_${attempt}`);
  memory.created.delete(`${container.name}_${attempt}`);
  let id: string;
  try {
    const ip = sandbox.ip ?? parts.node.hostIp;
    const joined = { sandboxId: sandbox.is.id, ip, warm: sandbox.warm !== undefined };
    id = known ?? (await createContainer(parts, memory, wish, joined)).id;
  } catch (error) {
    return cannotCreate(parts, memory, container, error);
  }
  if (container.imagePullPolicy !== 'Always' && memory.images.get(container.name) === undefined) {
    telling.event(about, 'Normal', 'Pulled', `Container image "${container.image}" already present on machine`);
  }
  telling.event(about, 'Normal', 'Created', `Created container ${container.name}`);
  let started: PodContainer | undefined;
  try {
    started = fileFound(memory, id, await runtime.start(id));
  } catch (error) {
    if (!(error instanceof RuntimeError) || error.code !== 'CannotStart') throw error;
    telling.event(about, 'Warning', 'Failed', `Error: failed to start container "${container.name}": ${error.message}`);
    await inspect(parts, memory, id); // the engine remembers what went wrong: it counts as a crash
    return true;
  }
  memory.setbacks.delete(container.name);
  memory.images.delete(container.name);
  if (attempt > 0) parts.metrics.restarts.add(1);
  telling.event(about, 'Normal', 'Started', `Started container ${container.name}`);
  if (started !== undefined) runPostStart(parts, memory, started, wake);
  return true;
}

/** What keeps a container from being created, told in the words that people look for. */
function cannotCreate(parts: AgentParts, memory: PodMemory, container: Container, error: unknown): boolean {
  const { name, image, imagePullPolicy } = container;
  if (error instanceof VolumeLost) memory.volumesReady = false; // the next look makes it again
  const isMissing = error instanceof RuntimeError && error.code === 'ImageNotFound';
  if (isMissing && imagePullPolicy !== 'Never') {
    memory.images.set(name, 'absent'); // the next look pulls it
    return true;
  }
  const reason = isMissing
    ? 'ErrImageNeverPull'
    : error instanceof ConfigMissing || error instanceof ConfigRefused
      ? 'CreateContainerConfigError'
      : error instanceof VolumeError || (error instanceof RuntimeError && error.code === 'CannotCreate')
        ? /invalid reference format/i.test(error.message)
          ? 'InvalidImageName'
          : 'CreateContainerError'
        : undefined;
  if (reason === undefined) throw error;
  const message = isMissing
    ? `container image "${image}" is not on this node, and its pull policy is Never`
    : messageOf(error);
  memory.failed(name, { reason, message, atMs: parts.clock.now() });
  parts.telling.event(podReference(memory.pod, name), 'Warning', 'Failed', `Error: ${message}`);
  return true;
}

async function confirmDeletion(parts: AgentParts, memory: PodMemory): Promise<void> {
  const { pod, uid } = memory;
  await parts.statuses.settled(uid, 1_000); // how it ended is told before it is gone
  try {
    await parts.client.delete('pods', keyOf(pod), { gracePeriodSeconds: 0, preconditions: { uid } });
  } catch (error) {
    if (!hasReason(error, 'NotFound', 'Conflict')) throw error; // gone, or another of the same name by now
  }
  memory.gone = true;
  parts.pods.wroteDeletion(pod);
}
