import type { Container, LifecycleHandler } from '../lib/api/objects.ts';
import { wait } from '../lib/base/clock.ts';
import { messageOf } from '../lib/base/errors.ts';
import { inspect } from './inspect-container.ts';
import type { PodContainer } from './labels.ts';
import { podReference, type AgentParts } from './parts.ts';
import type { PodMemory } from './pod-memory.ts';
import type { Outcome } from './probes/outcome.ts';
import type { StopReason } from './plan.ts';

export interface Stop {
  readonly container: PodContainer;
  /** SIGKILL at this moment, ms since 1970. */
  readonly deadlineMs: number;
  readonly why: StopReason;
}

const hookTimeoutMs = 30_000;
/** A program gets at least this long after its pre-stop hook has used up the grace. */
const afterHookMs = 1_000;

/** Starts to end a container: pre-stop hook, SIGTERM, SIGKILL at the deadline. Wakes the pod when it has ended. */
export function stopContainer(parts: AgentParts, memory: PodMemory, stop: Stop, wake: () => void): void {
  const { id } = stop.container.is;
  if (memory.stopping.has(id)) return;
  memory.stopping.set(id, { sinceMs: parts.clock.now(), deadlineMs: stop.deadlineMs });
  memory.stopped.set(id, stop.why);
  parts.telling.event(podReference(memory.pod, stop.container.name), 'Normal', 'Killing', words(stop));
  void end(parts, memory, stop)
    .catch((error: unknown) => {
      parts.log.warn(
        { pod: memory.uid, container: stop.container.name, error: messageOf(error) },
        'a container could not be stopped',
      );
      return wait(parts.clock, 1_000, parts.signal).catch(() => undefined);
    })
    .finally(() => {
      memory.stopping.delete(id);
      wake();
    });
}

async function end(parts: AgentParts, memory: PodMemory, { container: running, deadlineMs, why }: Stop): Promise<void> {
  const { pod } = memory;
  const spec = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find(({ name }) => name === running.name);
  const hook = spec?.lifecycle?.preStop;
  const graceMs = deadlineMs - parts.clock.now();
  let hooked = false;
  if (spec !== undefined && hook !== undefined && graceMs > 0 && why !== 'sandboxLost') {
    hooked = true;
    const target = { hook, container: spec, containerId: running.is.id, podIp: pod.status.podIP ?? '' };
    const outcome = await runHook(parts, { ...target, timeoutMs: graceMs });
    if (!outcome.ok)
      parts.telling.event(podReference(pod, running.name), 'Warning', 'FailedPreStopHook', outcome.message);
  }
  const leftMs = Math.max(hooked ? afterHookMs : 0, deadlineMs - parts.clock.now());
  await parts.runtime.stop(running.is.id, leftMs / 1000);
  await inspect(parts, memory, running.is.id);
}

function words({ container: { name }, why }: Stop): string {
  switch (why) {
    case 'unhealthy':
      return `Container ${name} failed liveness probe, will be restarted`;
    case 'startupFailed':
      return `Container ${name} failed startup probe, will be restarted`;
    case 'hookFailed':
      return `Stopping container ${name}: its post-start hook failed`;
    case 'imageChanged':
      return `Container ${name} definition changed, will be restarted`;
    case 'deadline':
      return `Stopping container ${name}: the pod's activeDeadlineSeconds are over`;
    case 'sandboxLost':
      return `Stopping container ${name}: the pod's sandbox has ended, the pod will be started again`;
    case 'evicted':
      return `Stopping container ${name}: its pod is being evicted`;
    case 'deleted':
    case 'podEnded':
      return `Stopping container ${name}`;
  }
}

export interface Hook {
  readonly hook: LifecycleHandler;
  readonly container: Container;
  readonly containerId: string;
  readonly podIp: string;
  readonly timeoutMs?: number;
}

/** Runs a hook of a container's life; one that takes longer than its time has failed. */
export async function runHook(
  parts: AgentParts,
  { hook, timeoutMs = hookTimeoutMs, ...target }: Hook,
): Promise<Outcome> {
  if (hook.sleep !== undefined) {
    await wait(parts.clock, Math.min(hook.sleep.seconds * 1000, timeoutMs), parts.signal).catch(() => undefined);
    return { ok: true, message: '' };
  }
  const { sleep: _, ...handler } = hook;
  return parts.check(handler, target, timeoutMs);
}
