import { allContainers } from '../lib/api/container-choice.ts';
import type { AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';

const logTailBytes = 2048;

/**
 * What a container left when it ended belongs into its status: the file that it wrote, or the end of its output where
 * it asks for that. Each is read once.
 */
export async function readLastWords(parts: AgentParts, memory: PodMemory): Promise<void> {
  const { containers, messages, pod, uid } = memory;
  for (const { is, kind, name, attempt } of containers.values()) {
    if (kind === 'sandbox' || is.state !== 'exited' || messages.has(is.id)) continue;
    let message = await parts.storage.message(uid, name, attempt);
    const spec = allContainers(pod.spec).find((c) => c.name === name);
    const wantsLogs = spec?.terminationMessagePolicy === 'FallbackToLogsOnError' && is.exitCode !== 0;
    if (message === '' && wantsLogs) message = await lastLines(parts, is.id).catch(() => '');
    messages.set(is.id, message);
  }
}

async function lastLines(parts: Pick<AgentParts, 'runtime' | 'signal'>, id: string): Promise<string> {
  const stop = AbortSignal.any([parts.signal, AbortSignal.timeout(2_000)]);
  let tail = Buffer.alloc(0);
  for await (const part of parts.runtime.logs(id, { tailLines: 80 }, stop)) {
    tail = Buffer.concat([tail, part]).subarray(-logTailBytes);
  }
  return tail.toString('utf8').replace(/^\uFFFD+/, ''); // what the cut has left of a character
}
