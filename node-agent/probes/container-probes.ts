import type { Container, Probe } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { ProbeVerdict } from '../plan.ts';
import type { Checker, Target } from './checks.ts';
import type { Outcome } from './outcome.ts';
import { advance, firstProgress, intervalMs, type Progress } from './progress.ts';

export type ProbeKind = 'Startup' | 'Readiness' | 'Liveness';

export interface ContainerProbesOptions {
  readonly target: Target;
  readonly startedAtMs: number;
  /** What is known from before the agent's own restart; nothing flips because of it. */
  readonly known: { readonly started: boolean; readonly ready: boolean };
  readonly check: Checker;
  readonly clock: Clock;
  /** Called when the verdict has changed. */
  readonly onVerdict: () => void;
  /** Called for each failure that counts. */
  readonly onFailure: (kind: ProbeKind, outcome: Outcome) => void;
}

/** A program gets this long from its start until it listens, before a liveness probe that fails counts against it. */
const listenGraceMs = 1_000;

const periodMsOf = (probe: Probe): number => probe.periodSeconds * 1000;

export const hasProbes = ({ startupProbe, readinessProbe, livenessProbe }: Container): boolean =>
  (startupProbe ?? readinessProbe ?? livenessProbe) !== undefined;

/**
 * Probes one container while it runs (F74 to F79). First the startup probe alone; once it has passed, readiness and
 * liveness, each by its own timings. One try at a time for each kind.
 */
export class ContainerProbes {
  readonly #options: ContainerProbesOptions;
  #started: boolean;
  #ready: boolean;
  #alive = true;
  #closed = false;
  #cancels = new Map<ProbeKind, () => void>();

  constructor(options: ContainerProbesOptions) {
    this.#options = options;
    const { startupProbe, readinessProbe } = options.target.container;
    this.#started = startupProbe === undefined || options.known.started;
    this.#ready = readinessProbe === undefined || options.known.ready;
    if (this.#started) this.#whenStarted();
    else if (startupProbe !== undefined)
      this.#run('Startup', startupProbe, firstProgress(false, periodMsOf(startupProbe)));
  }

  get verdict(): ProbeVerdict {
    return { started: this.#started, ready: this.#started && this.#ready, alive: this.#alive };
  }

  /** How long the container has run; never below zero, whatever was done to the clock. */
  #ageMs(): number {
    const { startedAtMs, clock } = this.#options;
    return Math.max(0, clock.now() - startedAtMs);
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }

  #whenStarted(): void {
    const { readinessProbe, livenessProbe } = this.#options.target.container;
    if (readinessProbe !== undefined) {
      const eagerMs = this.#ready ? 0 : periodMsOf(readinessProbe);
      this.#run('Readiness', readinessProbe, firstProgress(this.#ready, eagerMs));
    }
    if (livenessProbe !== undefined) {
      const delayMs = (livenessProbe.initialDelaySeconds ?? 0) * 1000;
      const leftMs = listenGraceMs - Math.max(this.#ageMs(), delayMs);
      this.#run('Liveness', livenessProbe, firstProgress(true, Math.max(0, leftMs)));
    }
  }

  #run(kind: ProbeKind, probe: Probe, first: Progress): void {
    const { clock, target, check, onFailure } = this.#options;
    let progress = first;
    let firstTryMs: number | undefined;
    const attempt = async (): Promise<void> => {
      const beganMs = clock.monotonic();
      const firstMs = (firstTryMs ??= beganMs);
      const outcome = await check(probe, target, probe.timeoutSeconds * 1000);
      if (this.#closed) return;
      const restMs = (): number =>
        Math.max(0, intervalMs(progress, probe, beganMs - firstMs) - (clock.monotonic() - beganMs));
      const again = (): void =>
        void this.#cancels.set(
          kind,
          clock.after(restMs(), () => void attempt()),
        );
      // An engine that is away says nothing of what runs: no verdict changes while it is (live-restore).
      if (outcome.unknown === true) return again();
      const sinceFirstMs = clock.monotonic() - firstMs;
      const counts = sinceFirstMs >= progress.eagerMs;
      progress = advance(progress, outcome.ok, probe, sinceFirstMs);
      // A first failure of what has only just been started says little: it counts, and the second one is told.
      const isEarly = kind === 'Liveness' && !progress.passed && !progress.failed && this.#ageMs() < periodMsOf(probe);
      if (!outcome.ok && counts && !isEarly) onFailure(kind, outcome);
      if (this.#apply(kind, progress)) return; // nothing more to find out
      again();
    };
    const delayMs = Math.max(0, (probe.initialDelaySeconds ?? 0) * 1000 - this.#ageMs());
    if (delayMs === 0) void attempt();
    else
      this.#cancels.set(
        kind,
        clock.after(delayMs, () => void attempt()),
      );
  }

  /** Takes an outcome over into the verdict; whether this kind of probe is over. */
  #apply(kind: ProbeKind, progress: Progress): boolean {
    const { onVerdict } = this.#options;
    const gaveUp = progress.failed && kind !== 'Readiness';
    if (gaveUp) {
      this.#alive = false;
      onVerdict();
      return true;
    }
    if (kind === 'Readiness' && progress.passing !== this.#ready) {
      this.#ready = progress.passing;
      onVerdict();
    }
    if (kind !== 'Startup' || !progress.passing) return false;
    this.#started = true;
    this.#whenStarted();
    onVerdict();
    return true;
  }
}
