import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { EventBus } from './bus.ts';
import { programmedSubject, tell, type Programmed } from './traffic-facts.ts';

/** Whoever sends traffic by Endpoints. */
export interface Sender {
  /** What is in effect now. */
  readonly programmed: Pick<Programmed, 'epoch' | 'services' | 'endpoints'>;
  /** Calls when that has grown. */
  onProgrammed(listener: () => void): void;
}

export interface TellerOptions {
  readonly bus: EventBus;
  readonly cluster: string;
  readonly who: Pick<Programmed, 'kind' | 'name'>;
  readonly sender: Sender;
  readonly mode: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

const beatMs = 1_000;
/** As long as it is not known to which life of the chain our revisions belong, nobody can make use of them. */
const untilKnownMs = 100;
/** Syncs in quick succession are told together. */
const restMs = 20;

/** Tells everybody what is in effect here: after each sync, every second, and whenever the bus comes back. */
export function tellProgrammed({ bus, cluster, who, sender, mode, clock, signal }: TellerOptions): void {
  const instance = randomBytes(6).toString('hex');
  let cancelBeat = (): void => undefined;
  let toldMs = -Infinity;
  let waits = false;

  const say = (): void => {
    cancelBeat();
    if (signal.aborted) return;
    toldMs = clock.monotonic();
    const { programmed } = sender;
    tell(bus, programmedSubject(cluster, who), { ...who, instance, mode, ...programmed });
    cancelBeat = clock.after(programmed.epoch === '' ? untilKnownMs : beatMs, say);
  };
  sender.onProgrammed(() => {
    if (waits) return;
    const leftMs = toldMs + restMs - clock.monotonic();
    if (leftMs <= 0) return say();
    waits = true;
    clock.after(leftMs, () => {
      waits = false;
      say();
    });
  });
  const stopStatus = bus.onStatus((connected) => {
    if (connected) say();
  });
  signal.addEventListener('abort', () => {
    cancelBeat();
    stopStatus();
  });
  if (!bus.connected) say(); // which only sets the beat going
}
