import { podReference, type AgentParts } from '../parts.ts';
import { containerStatusIn } from '../../lib/api/container-choice.ts';
import type { PodMemory } from '../pod-memory.ts';
import { ContainerProbes, hasProbes } from './container-probes.ts';

/**
 * A container that runs is probed, from the moment it is known to run: it is never ready by default. `wake` is called
 * with each change of a verdict.
 */
export function syncProbes(parts: AgentParts, memory: PodMemory, wake: () => void): void {
  const { clock, check, telling, metrics } = parts;
  const ip = memory.pod.spec.hostNetwork === true ? parts.node.hostIp : (memory.sandbox()?.ip ?? '');
  for (const { is, name, at } of memory.containers.values()) {
    if (is.state !== 'running' || memory.endingSinceMs !== undefined) {
      memory.probes.get(is.id)?.close();
      memory.probes.delete(is.id);
      continue;
    }
    if (memory.probes.has(is.id) || memory.hooking.has(is.id)) continue;
    const spec = [...memory.pod.spec.containers, ...(memory.pod.spec.initContainers ?? [])].find(
      (c) => c.name === name,
    );
    if (spec === undefined || !hasProbes(spec)) continue;
    const known = containerStatusIn(memory.pod, name);
    const before = known?.containerID === `docker://${is.id}` ? known : undefined;
    const probes = new ContainerProbes({
      target: { containerId: is.id, container: spec, podIp: ip },
      startedAtMs: at?.startedMs ?? clock.now(),
      known: { started: before?.started ?? false, ready: before?.ready ?? false },
      check,
      clock,
      onVerdict: wake,
      onFailure: (kind, outcome) => {
        metrics.probeFailures.add(1, { kind });
        telling.event(
          podReference(memory.pod, name),
          'Warning',
          'Unhealthy',
          `${kind} probe failed: ${outcome.message}`,
        );
      },
    });
    memory.probes.set(is.id, probes);
  }
}
