import type { EffectsReply } from '../../../lib/api/effects.ts';
import type { EffectsAsked } from '../effects/effects.ts';
import type { Methods } from './calls.ts';
import { namespaceFor } from '../door/requests.ts';

interface Request {
  readonly namespace: string;
  readonly name: string;
  readonly timeoutMs: number;
}

/** The service `Effects`: what proxies and DNS servers have in effect. */
export const effectsService = (effects: (asked: EffectsAsked) => Promise<EffectsReply>): Methods => ({
  List: ({ namespace, name, timeoutMs }: Request) =>
    effects({
      ...(name === '' ? {} : { service: { namespace: namespaceFor('services', namespace, true) ?? '', name } }),
      ...(timeoutMs === 0 ? {} : { timeoutMs }),
    }),
});
