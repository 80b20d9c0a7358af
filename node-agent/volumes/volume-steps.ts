import { messageOf } from '../../lib/base/errors.ts';
import { configReader } from '../config-reader.ts';
import { ConfigMissing } from '../environment.ts';
import { podReference, type AgentParts } from '../parts.ts';
import type { PodMemory } from '../pod-memory.ts';
import { VolumeError, type ConfigReader } from './driver.ts';

/** Makes the pod's volumes. What the pod or the node is to blame for becomes a setback; the rest is thrown. */
export async function prepareVolumes(parts: AgentParts, memory: PodMemory): Promise<boolean> {
  const { pod } = memory;
  parts.followed.follow(pod);
  memory.volumesStale = false;
  const signal = endOf(parts, memory);
  try {
    await parts.storage.prepare(pod, readerFor(parts, memory), signal);
  } catch (error) {
    if (signal.aborted) return true; // it was given up, which says nothing about the volume
    if (!isTold(error)) throw error;
    parts.telling.event(podReference(pod), 'Warning', 'FailedMount', error.message);
    memory.failed('', { reason: 'ContainerCreating', message: error.message, atMs: parts.clock.now() });
    return true;
  }
  memory.volumesReady = true;
  memory.setbacks.delete('');
  return true;
}

/**
 * Makes the files of the pod's volumes what the API has now. Where something of it is not there any more, the volume keeps what it
 * had, and an event says so: a running pod is not to lose its configuration to a slip.
 */
export async function updateVolumes(parts: AgentParts, memory: PodMemory): Promise<boolean> {
  const { pod } = memory;
  memory.volumesStale = false;
  try {
    const changed = await parts.storage.update(pod, readerFor(parts, memory), endOf(parts, memory));
    parts.metrics.volumeUpdates.add(1, { outcome: changed ? 'changed' : 'same' });
  } catch (error) {
    parts.metrics.volumeUpdates.add(1, { outcome: 'failed' });
    if (!isTold(error)) {
      memory.volumesStale = true;
      throw error;
    }
    const message = `a volume keeps the files that it has: ${messageOf(error)}`;
    parts.telling.event(podReference(pod), 'Warning', 'FailedMount', message);
  }
  return false;
}

const isTold = (error: unknown): error is Error => error instanceof VolumeError || error instanceof ConfigMissing;

const readerFor = (parts: AgentParts, { pod }: PodMemory): ConfigReader =>
  parts.followed.reader(pod, configReader(parts, pod, pod.status.podIP ?? ''));

const endOf = (parts: AgentParts, memory: PodMemory): AbortSignal =>
  AbortSignal.any([memory.ending.signal, parts.signal]);
