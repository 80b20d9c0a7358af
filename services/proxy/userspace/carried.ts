import type { Clock } from '../../../lib/base/clock.ts';
import type { Log } from '../../../lib/base/log.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** A client's connection, whatever carries it. */
export interface Carried {
  /** Nothing new is accepted here any more: end as soon as nothing is under way. */
  rest(): void;
  /** End at once. */
  reset(): void;
}

export interface CarrierOptions {
  /** How long an open TCP connection to a backend that left may go on. */
  readonly drainMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** Where clients wait whose Service has no endpoint and lets them. */
  readonly waiting: WaitingRoom;
}
