import { podContainerOf, type PodContainer } from './labels.ts';
import type { RuntimeContainer } from './runtime/runtime.ts';
import type { AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';

/** Looks at a container and files what it is now; forgets it where it is gone. */
export async function inspect(parts: AgentParts, memory: PodMemory, id: string): Promise<PodContainer | undefined> {
  return fileFound(memory, id, await parts.runtime.inspect(id));
}

/** Files what the engine says that a container is. */
export function fileFound(
  memory: PodMemory,
  id: string,
  found: RuntimeContainer | undefined,
): PodContainer | undefined {
  const container = found === undefined ? undefined : podContainerOf(found);
  if (container === undefined) memory.forget(id);
  else memory.file(container);
  return container;
}
