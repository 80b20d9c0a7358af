import type { Key } from '../lib/api/keys.ts';
import type { Pod } from '../lib/api/objects.ts';
import { allContainers } from '../lib/api/container-choice.ts';
import { isTerminal } from '../lib/api/pods.ts';
import { podReference, type AgentParts } from './parts.ts';
import { planContainer, setbackTurnsAt, type PodState } from './plan.ts';
import type { StatusEntry } from './status-writer.ts';

/** How long the first status may wait for the pod to be running, which is then the one to tell. */
const firstStatusMs = 300;

/** Whose news these are. */
interface Subject extends StatusEntry {
  readonly key: Key;
  readonly pod: Pod;
}

/** When the status of a pod is told, and what of its course becomes an Event. */
export class PodNews {
  readonly #parts: Pick<AgentParts, 'clock' | 'statuses' | 'metrics' | 'telling'>;
  readonly #worker: Subject;
  readonly #firstSeenMs: number;
  readonly #told = new Set<string>();
  #started: boolean;
  #cancelFirst: (() => void) | undefined;
  #toldFirst = false;

  constructor(parts: Pick<AgentParts, 'clock' | 'statuses' | 'metrics' | 'telling'>, worker: Subject) {
    this.#parts = parts;
    this.#worker = worker;
    this.#firstSeenMs = parts.clock.monotonic();
    const { phase } = worker.pod.status;
    this.#started = phase !== undefined && phase !== 'Pending';
  }

  /** All containers have been started once. */
  get started(): boolean {
    return this.#started;
  }

  /** Tells what is new in a state; nothing where the API has the pod no more. */
  tell(state: PodState): void {
    this.#tellBackOffs(state);
    if (!state.gone) this.#tellStatus(state);
  }

  close(): void {
    this.#cancelFirst?.();
  }

  /**
   * A change is written at once. The one exception is a pod that is just being started and has nothing to tell: it waits a moment,
   * since "running" comes soon and says more.
   */
  #tellStatus(state: PodState): void {
    const { clock, statuses, metrics } = this.#parts;
    if (this.#isStarting(state)) {
      if (this.#toldFirst) return statuses.put(this.#worker);
      this.#cancelFirst ??= clock.after(firstStatusMs, () => {
        this.#toldFirst = true;
        if (this.#worker.latest() !== undefined) statuses.put(this.#worker);
      });
      return;
    }
    if (!this.#started && !isTerminal(state.pod)) {
      this.#started = true;
      metrics.podStartSeconds.record((clock.monotonic() - this.#firstSeenMs) / 1000);
    }
    this.#cancelFirst?.();
    statuses.put(this.#worker);
  }

  #isStarting(state: PodState): boolean {
    if (this.#started || state.endingSinceMs !== undefined || state.ending !== undefined) return false;
    if (isTerminal(state.pod) || state.setbacks.size > 0) return false;
    const names = new Set(state.containers.filter((c) => c.is.startedAtMs !== undefined).map((c) => c.name));
    const crashed = state.containers.some(
      (c) => c.kind !== 'ephemeral' && (c.is.error !== undefined || (c.is.state === 'exited' && c.is.exitCode !== 0)),
    );
    return !crashed && !state.pod.spec.containers.every((container) => names.has(container.name));
  }

  #tellBackOffs(state: PodState): void {
    if (state.endingSinceMs !== undefined || state.ending !== undefined || isTerminal(state.pod)) return;
    const nowMs = this.#parts.clock.now();
    for (const container of allContainers(state.pod.spec)) {
      const plan = planContainer(state, container, nowMs);
      if (plan.step === 'backOff' && plan.crashed) {
        const { attempt } = plan.current;
        this.#tellOnce(
          `${container.name}/${attempt}`,
          container.name,
          `Back-off restarting failed container ${container.name} in pod ${this.#worker.key}`,
        );
      } else if (
        plan.step === 'setback' &&
        plan.setback.reason === 'ErrImagePull' &&
        nowMs >= setbackTurnsAt(plan.setback)
      ) {
        this.#tellOnce(
          `${container.name}/pull/${plan.setback.failures}`,
          container.name,
          `Back-off pulling image "${container.image}"`,
        );
      }
    }
  }

  #tellOnce(what: string, container: string, message: string): void {
    if (this.#told.has(what)) return;
    if (this.#told.size > 100) this.#told.clear(); // the recorder counts repetitions up; this only keeps it quiet
    this.#told.add(what);
    this.#parts.telling.event(podReference(this.#worker.pod, container), 'Warning', 'BackOff', message);
  }
}
