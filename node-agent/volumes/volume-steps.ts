import {
  containersThatFollow,
  onConfigChangeAnnotation,
  reloadSignalAnnotation,
  wishAbout,
} from '../../lib/api/config-change.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { configReader } from '../config-reader.ts';
import { ConfigMissing } from '../environment.ts';
import type { PodContainer } from '../labels.ts';
import { podReference, type AgentParts } from '../parts.ts';
import type { PodMemory } from '../pod-memory.ts';
import { RuntimeError } from '../runtime/runtime.ts';
import { VolumeError, type ConfigReader } from './driver.ts';
import { volumeReferences } from './projection.ts';

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
    const changed = await withWord(parts, memory, () =>
      parts.storage.update(pod, readerFor(parts, memory), endOf(parts, memory)),
    );
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

/**
 * Changes files, then tells the containers that asked to be told. Noted before, so that a death in between, of the agent or of the call
 * to the engine, costs a second signal at worst and never the only one. Resolves to whether anything differed.
 */
async function withWord(
  parts: AgentParts,
  memory: PodMemory,
  update: () => Promise<readonly string[]>,
): Promise<boolean> {
  const { pod, uid } = memory;
  const volumes = await volumesToTell(pod, readerFor(parts, memory));
  if (volumes.length === 0) return (await update()).length > 0;
  const isOwed = await parts.storage.owesWord(uid);
  if (!isOwed) await parts.storage.oweWord(uid, true);
  const running = [...memory.containers.values()].filter(
    ({ kind, is }) => kind !== 'sandbox' && is.state === 'running',
  );
  const changed = await update();
  const about = isOwed ? volumes : volumes.filter((name) => changed.includes(name));
  await tell(parts, pod, running, about);
  await parts.storage.oweWord(uid, false);
  return changed.length > 0;
}

/** The volumes of a pod whose changes it wants a signal for. */
async function volumesToTell(pod: Pod, config: ConfigReader): Promise<readonly string[]> {
  if (pod.metadata.annotations?.[onConfigChangeAnnotation] === undefined) return [];
  const found = await Promise.all(
    (pod.spec.volumes ?? []).map(async (volume) => {
      for (const { resource, name } of volumeReferences([volume])) {
        const object = await (resource === 'secrets' ? config.secret(name) : config.configMap(name));
        if (wishAbout(pod.metadata, object?.metadata) === 'signal') return [volume.name];
      }
      return [];
    }),
  );
  return found.flat();
}

/** Those that ran before the change; containers that start later read the new files anyway. */
async function tell(
  parts: AgentParts,
  pod: Pod,
  running: readonly PodContainer[],
  volumes: readonly string[],
): Promise<void> {
  if (volumes.length === 0) return;
  const signal = pod.metadata.annotations?.[reloadSignalAnnotation] ?? 'SIGHUP';
  const names = new Set(containersThatFollow(pod, volumes));
  for (const { name, is } of running) {
    if (!names.has(name)) continue;
    try {
      await parts.runtime.kill(is.id, signal);
    } catch (error) {
      if (error instanceof RuntimeError && error.code === 'Unavailable') throw error;
      continue; // it has just ended
    }
    const words = `Sent ${signal} to container ${name}: new files in ${volumes.map((each) => `"${each}"`).join(', ')}`;
    parts.telling.event(podReference(pod, name), 'Normal', 'ConfigReloaded', words);
  }
}

const isTold = (error: unknown): error is Error => error instanceof VolumeError || error instanceof ConfigMissing;

const readerFor = (parts: AgentParts, { pod }: PodMemory): ConfigReader =>
  parts.followed.reader(pod, configReader(parts, pod, pod.status.podIP ?? ''));

const endOf = (parts: AgentParts, memory: PodMemory): AbortSignal =>
  AbortSignal.any([memory.ending.signal, parts.signal]);
