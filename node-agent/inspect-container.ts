import { podContainerOf, type PodContainer } from './labels.ts';
import type { AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';

/** Looks at a container and files what it is now; forgets it where it is gone. */
export async function inspect(parts: AgentParts, memory: PodMemory, id: string): Promise<PodContainer | undefined> {
  const found = await parts.runtime.inspect(id);
  const container = found === undefined ? undefined : podContainerOf(found);
  if (container === undefined) memory.forget(id);
  else memory.file(container);
  return container;
}
