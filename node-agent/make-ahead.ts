import { createContainer, type Attempt } from './create-container.ts';
import { podContainerOf } from './labels.ts';
import type { AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';
import { RuntimeError } from './runtime/runtime.ts';

/** Makes an attempt of `attemptAhead`, as far as that works: what is wrong the real start will meet, and tell. */
export async function makeAhead(parts: AgentParts, memory: PodMemory, wish: Attempt): Promise<void> {
  const sandbox = memory.sandbox();
  if (sandbox === undefined) return;
  const joined = { sandboxId: sandbox.is.id, ip: sandbox.ip ?? parts.node.hostIp, warm: sandbox.warm !== undefined };
  try {
    const { id, spec } = await createContainer(parts, memory, wish, joined);
    const { name, image, labels } = spec;
    const is = { id, name, image, imageId: '', labels, state: 'created' as const, createdAtMs: parts.clock.now() };
    const made = podContainerOf(is);
    if (made !== undefined) memory.file(made);
    memory.created.set(`${wish.container.name}_${wish.attempt}`, id);
  } catch (error) {
    // It may have been made though nobody said so.
    memory.aheadInDoubt ||= error instanceof RuntimeError && error.code === 'Unavailable';
  }
}

/** Finds what may have been made ahead when the engine went away. Rejects while it is. */
export async function resolveAhead(parts: AgentParts, memory: PodMemory): Promise<void> {
  if (!memory.aheadInDoubt) return;
  for (const is of await parts.runtime.list()) {
    const found = podContainerOf(is);
    if (found?.uid === memory.uid && found.ahead === true) memory.file(found);
  }
  memory.aheadInDoubt = false;
}
