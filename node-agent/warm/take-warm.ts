import { isDeepStrictEqual } from 'node:util';
import { podContainerOf, type PodContainer } from '../labels.ts';
import type { AgentParts } from '../parts.ts';
import type { PodMemory } from '../pod-memory.ts';
import { RuntimeError, type ContainerSpec } from '../runtime/runtime.ts';
import { warmSpec, type WarmSandbox } from './warm-pool.ts';

/** Whether a pod's sandbox is like every other: only its name differs from one that was made in advance. */
function fits(wish: ContainerSpec, { pod }: PodMemory): boolean {
  const { name: _, labels: __, hostname: ___, ...rest } = wish;
  const { lateHostname: ____, ...warm } = warmSpec(wish.image);
  const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
  // The host name reaches the containers by way of this file.
  const ownFile = containers.some(({ volumeMounts }) =>
    volumeMounts?.some(({ mountPath }) => mountPath === '/etc/hostname'),
  );
  return !ownFile && isDeepStrictEqual(rest, warm);
}

/**
 * Takes a sandbox that was made in advance for this pod, where there is one and the pod's wishes allow it. `beside` does what can be
 * done while it changes hands. From then on it is the pod's, over any death of the agent. Undefined: make one.
 */
export async function takeWarm(
  parts: AgentParts,
  memory: PodMemory,
  wish: ContainerSpec,
  beside: (taken: WarmSandbox) => Promise<void>,
): Promise<PodContainer | undefined> {
  const { warm, runtime, network } = parts;
  // One that an earlier try began goes on being the pod's.
  if (memory.sandbox() !== undefined || !fits(wish, memory)) return undefined;
  const taken = (await resolved(parts, memory, wish.name)) ?? warm.take();
  if (taken === undefined) return undefined;
  const begun = beside(taken);
  try {
    await runtime.rename(taken.is.id, wish.name);
  } catch (error) {
    await begun;
    memory.inDoubt = taken; // it may have happened: the next try looks
    if (!(error instanceof RuntimeError) || error.code !== 'NameTaken') throw error;
    await resolved(parts, memory, wish.name); // an earlier try did make one, and was not told so
    return undefined;
  }
  network.hand(taken.owner, memory.uid);
  await begun;
  const container = podContainerOf({ ...taken.is, name: wish.name });
  if (container !== undefined) memory.file(container);
  return container;
}

/** What became of one that was being taken when the engine went away: the pod's own, or nobody's again. */
async function resolved(parts: AgentParts, memory: PodMemory, name: string): Promise<WarmSandbox | undefined> {
  const { runtime, warm } = parts;
  const doubt = memory.inDoubt;
  if (doubt === undefined) return undefined;
  const is = await runtime.inspect(doubt.is.id);
  if (is?.name !== name) {
    for (const [key, id] of memory.created) {
      await runtime.remove(id); // made to join it
      memory.created.delete(key);
    }
    if (is !== undefined) warm.putBack({ ...doubt, is });
  }
  memory.inDoubt = undefined;
  return is?.name === name ? doubt : undefined;
}
