import type { Counter, Meter } from '@opentelemetry/api';
import type { Clock } from '../../../lib/base/clock.ts';
import type { Log } from '../../../lib/base/log.ts';

/** A rule that fails for one node fails for thousands. */
const logEveryMs = 30_000;

/** Counts how often rules of a module fail, and tells it in the log, now and then. */
export class ModuleFailures {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #counter: Counter;
  /** By rule; a module has a fixed number of them. */
  readonly #loggedMs = new Map<string, number>();

  constructor({ clock, log, meter }: { readonly clock: Clock; readonly log: Log; readonly meter: Meter }) {
    this.#clock = clock;
    this.#log = log;
    this.#counter = meter.createCounter('troupe_scheduler_module_failures', {
      description:
        'Rules of the scheduling module that threw or answered nonsense, by rule; the empty one: all together took too long',
    });
  }

  add(rule: string, message: string): void {
    this.#counter.add(1, { rule });
    const now = this.#clock.monotonic();
    if (now - (this.#loggedMs.get(rule) ?? -Infinity) < logEveryMs) return;
    this.#loggedMs.set(rule, now);
    this.#log.warn({ rule, error: message }, 'a rule of the scheduling module failed');
  }
}
