import { containerStatusIn } from '../lib/api/container-choice.ts';
import type { PodContainer } from './labels.ts';
import { podReference, type AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';
import { runHook, stopContainer } from './stop-container.ts';

/** A hook prepares a container, which may take long; one that never ends must not keep its pod from failing visibly. */
const hookTimeoutMs = 600_000;

/**
 * Runs the post-start hook of a container that has just been started. Until the hook is through the container does not count as
 * started: it is not ready nor probed, and the new containers behind it wait. A hook that fails ends its container, which counts
 * as a crash. Wakes the pod when it is over.
 */
export function runPostStart(parts: AgentParts, memory: PodMemory, started: PodContainer, wake: () => void): void {
  const { pod } = memory;
  const { id } = started.is;
  const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(
    ({ name }) => name === started.name,
  );
  const hook = container?.lifecycle?.postStart;
  if (container === undefined || hook === undefined || started.is.state !== 'running' || memory.hooking.has(id)) return;
  memory.hooking.add(id);
  const podIp = pod.status.podIP ?? memory.sandbox()?.ip ?? parts.node.hostIp;
  void runHook(parts, { hook, container, containerId: id, podIp, timeoutMs: hookTimeoutMs })
    .then((outcome) => {
      const runs = memory.containers.get(id)?.is.state === 'running';
      if (outcome.ok || !runs || parts.signal.aborted) return;
      parts.telling.event(podReference(pod, container.name), 'Warning', 'FailedPostStartHook', outcome.message);
      const deadlineMs = parts.clock.now() + pod.spec.terminationGracePeriodSeconds * 1000;
      stopContainer(parts, memory, { container: started, deadlineMs, why: 'hookFailed' }, wake);
    })
    .finally(() => {
      memory.hooking.delete(id);
      wake();
    });
}

/** After a restart of the agent: hooks that were not known to be through are run again (a hook is run at least once). */
export function resumePostStart(parts: AgentParts, memory: PodMemory, wake: () => void): void {
  for (const container of memory.containers.values()) {
    const known = containerStatusIn(memory.pod, container.name);
    const isThrough = known?.containerID === `docker://${container.is.id}` && known.started === true;
    if (!isThrough) runPostStart(parts, memory, container, wake);
  }
}
