import type { EffectState } from '../api/effects.ts';
import type { Key } from '../api/keys.ts';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { EventBus } from './bus.ts';
import { gather } from './gather.ts';
import { effectsSubject } from './subjects.ts';

/**
 * What each proxy and DNS server has in effect, asked of all of them at once:
 *
 *   <cluster>.effects   EffectsQuestion  ->  EffectState, one from each, to the reply subject
 */
export interface EffectsQuestion {
  /** Also what there is for this Service, `namespace/name`. */
  readonly service?: Key;
}

export interface Asking {
  readonly cluster: string;
  readonly clock: Clock;
  /** How long to wait for those that are expected. */
  readonly timeoutMs: number;
  /** Nodes whose proxies should answer. */
  readonly nodes: ReadonlySet<string>;
}

/**
 * Gathers answers until every expected proxy has given one, or until the time is over; whoever is late is left out. Rejects with
 * ServiceUnavailable when the bus is away.
 */
export async function askEffects(
  bus: EventBus,
  at: Asking,
  question: EffectsQuestion,
): Promise<readonly EffectState[]> {
  const missing = new Set(at.nodes);
  return gather<EffectState>(bus, { ...at, subject: effectsSubject(at.cluster) }, question, (data) => {
    const state = stateIn(data);
    if (state?.part === 'proxy') missing.delete(state.node);
    return { answer: state, complete: missing.size === 0 };
  });
}

/** Answers for this process until aborted. */
export function serveEffects(
  bus: EventBus,
  at: { readonly cluster: string; readonly signal: AbortSignal; readonly log: Log },
  answer: (question: EffectsQuestion) => EffectState,
): void {
  const subscription = bus.subscribe(
    effectsSubject(at.cluster),
    ({ reply, data }) => {
      if (reply === undefined || !bus.connected) return;
      const bytes = Buffer.from(JSON.stringify(answer(questionIn(data))));
      if (bytes.length <= bus.maxMessageBytes) bus.publish({ subject: reply, headers: {}, data: bytes });
      else at.log.warn({ bytes: bytes.length }, 'an answer is larger than the bus takes');
    },
    () => undefined, // who asked and hears nothing asks again
  );
  at.signal.addEventListener('abort', () => {
    subscription.close();
  });
}

/** What cannot be understood asks about no service. */
function questionIn(data: Uint8Array): EffectsQuestion {
  const service = objectIn(data)?.['service'];
  return typeof service === 'string' ? { service } : {};
}

function stateIn(data: Uint8Array): EffectState | undefined {
  const said = objectIn(data);
  const named = typeof said?.['part'] === 'string' && typeof said['node'] === 'string';
  return named ? (said as unknown as EffectState) : undefined;
}

function objectIn(data: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
