import assert from 'node:assert/strict';
import type { EffectState } from '../../../lib/api/effects.ts';
import { systemClock } from '../../../lib/base/clock.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import { newLog } from '../../../lib/base/log.ts';
import { askEffects, serveEffects, type EffectsQuestion } from '../../../lib/bus/effects.ts';
import { MemoryBus } from '../../../lib/bus/memory-bus.ts';

const state = (part: string, node: string): EffectState => ({
  ...{ part, node, instance: node, mode: 'nftables', servicesRevision: 1, endpointsRevision: 2 },
  ...{ behindMs: 0, services: 3, drift: 0 },
});

describe('bus/effects', () => {
  const log = newLog('test', { level: 'silent' });
  let bus: MemoryBus;
  let stop: AbortController;
  beforeEach(() => {
    bus = new MemoryBus();
    stop = new AbortController();
  });
  afterEach(async () => {
    stop.abort();
    await bus.close();
  });

  const serve = (said: EffectState, heard: EffectsQuestion[] = []): void =>
    serveEffects(new MemoryBus(bus.broker), { cluster: 'c', signal: stop.signal, log }, (question) => {
      heard.push(question);
      return said;
    });
  const ask = (nodes: readonly string[], timeoutMs: number, question = {}): Promise<readonly EffectState[]> =>
    askEffects(bus, { cluster: 'c', clock: systemClock, timeoutMs, nodes: new Set(nodes) }, question);

  it('gathers what all say, and waits no longer than for the proxies it counts on', async () => {
    const heard: EffectsQuestion[] = [];
    serve(state('proxy', 'n1'), heard);
    serve(state('proxy', 'n2'));
    serve(state('dns', 'n1'));
    const begun = performance.now();
    const states = await ask(['n1', 'n2'], 10_000, { service: 'default/web' });
    assert(performance.now() - begun < 5_000);
    assert.deepEqual(states.map(({ part, node }) => `${part} ${node}`).sort(), ['dns n1', 'proxy n1', 'proxy n2']);
    assert.deepEqual(heard, [{ service: 'default/web' }]);
  });

  it('leaves out who does not answer in time, and what is no answer', async () => {
    serve(state('proxy', 'n1'));
    const noise = new MemoryBus(bus.broker);
    noise.subscribe(
      'c.effects',
      ({ reply = '' }) => {
        for (const text of ['{', 'null', '{"part":1}'])
          noise.publish({ subject: reply, headers: {}, data: Buffer.from(text) });
      },
      () => undefined,
    );
    assert.deepEqual(await ask(['n1', 'n2'], 60), [state('proxy', 'n1')]);
  });

  it('answers nobody any more once it has stopped', async () => {
    serve(state('proxy', 'n1'));
    stop.abort();
    assert.deepEqual(await ask(['n1'], 30), []);
  });

  it('says so when the bus is away', async () => {
    await bus.close();
    await assert.rejects(ask(['n1'], 30), (error) => hasReason(error, 'ServiceUnavailable'));
  });
});
