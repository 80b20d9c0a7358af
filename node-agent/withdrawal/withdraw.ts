import { keyOf } from '../../lib/api/keys.ts';
import { messageOf } from '../../lib/base/errors.ts';
import { wait } from '../../lib/base/clock.ts';
import { podReference, type AgentParts } from '../parts.ts';
import type { PodMemory } from '../pod-memory.ts';
import type { Confirmation } from './withdrawals.ts';

const firstLookMs = 20;
const mostLookMs = 200;

/**
 * Starts to take a pod out of traffic: waits until nobody sends to it any more, then until nothing is under way on the connections
 * that it has, in all until `untilMs` by the agent's clock. Wakes the pod when it may be stopped.
 */
export function withdraw(parts: AgentParts, memory: PodMemory, untilMs: number, wake: () => void): void {
  if (memory.withdrawal !== undefined) return;
  memory.withdrawal = 'underWay';
  void wholeWay(parts, memory, untilMs).finally(() => {
    memory.withdrawal = 'done';
    wake();
  });
}

async function wholeWay(parts: AgentParts, memory: PodMemory, untilMs: number): Promise<void> {
  const { clock, metrics, log } = parts;
  const sinceMs = clock.now();
  const confirmation = await parts.withdrawals.confirmed(memory.pod, untilMs - sinceMs);
  const confirmedMs = clock.now();
  const busy = await untilAtRest(parts, memory, untilMs).catch((error: unknown) => {
    log.warn({ pod: memory.uid, error: messageOf(error) }, 'the connections of a pod could not be looked at');
    return 0;
  });
  const outcome = confirmation.outcome === 'confirmed' && busy > 0 ? 'busy' : confirmation.outcome;
  metrics.withdrawalSeconds.record((confirmedMs - sinceMs) / 1000, { phase: 'traffic', outcome: confirmation.outcome });
  metrics.withdrawalSeconds.record((clock.now() - confirmedMs) / 1000, { phase: 'connections', outcome });
  log.debug(
    { pod: keyOf(memory.pod), outcome, busy, trafficMs: confirmedMs - sinceMs, restMs: clock.now() - confirmedMs },
    'a pod is out of traffic',
  );
  tell(parts, memory, confirmation, busy);
}

/** What people should know: requests may have been lost, and why. */
function tell({ telling }: AgentParts, { pod }: PodMemory, { outcome, waitingFor }: Confirmation, busy: number): void {
  if (outcome === 'late') {
    const who = waitingFor.length === 0 ? 'the endpoints-controller did not answer' : waitingFor.join(', ');
    const message = `Stopping although not everybody has confirmed to send no more traffic here: ${who}`;
    telling.event(podReference(pod), 'Warning', 'WithdrawalNotConfirmed', message);
  }
  if (busy > 0) {
    const some = busy === 1 ? '1 connection' : `${busy} connections`;
    telling.event(podReference(pod), 'Normal', 'ConnectionsBusy', `Stopping with ${some} still busy: the time is over`);
  }
}

/** Resolves to how many connections are busy when the time is over: 0 as soon as none is. Looks less often the longer it takes. */
async function untilAtRest(parts: AgentParts, memory: PodMemory, untilMs: number): Promise<number> {
  const { clock, signal } = parts;
  for (let pauseMs = firstLookMs; ; pauseMs = Math.min(mostLookMs, pauseMs * 1.5)) {
    const pid = memory.sandbox()?.is.pid;
    const runs = [...memory.containers.values()].some(({ kind, is }) => kind !== 'sandbox' && is.state === 'running');
    // On the machine's own network the connections of all are together, and whose they are is not known.
    if (pid === undefined || !runs || memory.gone || memory.pod.spec.hostNetwork === true) return 0;
    const { busy } = await parts.network.connections(pid);
    const leftMs = untilMs - clock.now();
    if (busy === 0 || leftMs <= 0 || signal.aborted) return busy;
    await wait(clock, Math.min(pauseMs, leftMs), signal).catch(() => undefined);
  }
}
