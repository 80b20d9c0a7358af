import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Programmed, StoppingPod } from '../../../lib/bus/traffic-facts.ts';
import { Collector, collectorTimes, type World } from '../../../services/endpoints-controller/removal/collector.ts';

const pod: StoppingPod = { key: 'default/web-1', uid: 'u1', revision: 10 };
const fact = (name: string, endpoints: number, epoch = 'e1'): Programmed => ({
  ...{ kind: 'proxy', name, instance: 'i', epoch, services: endpoints, endpoints, mode: 'nftables' },
});
const world = (leftAt: number | undefined, epoch = 'e1'): World => ({ epoch, leftAt: () => leftAt });
/** By then everybody who speaks has been heard. */
const learntMs = collectorTimes.learnMs;

describe('endpoints-controller/removal/collector', () => {
  const asking = (...facts: readonly Programmed[]): Collector => {
    const collector = new Collector(0);
    for (const each of facts) collector.programmed(each, learntMs);
    collector.asked('n1', pod, learntMs);
    return collector;
  };
  const confirmed = [{ node: 'n1', uid: 'u1', waitingFor: [], waitedMs: 0 }];

  const cases: readonly { it: string; when: Collector; world: World; want: readonly object[]; atMs?: number }[] = [
    {
      it: 'confirms once all have the revision',
      when: asking(fact('a', 20), fact('b', 25)),
      world: world(20),
      want: confirmed,
    },
    { it: 'confirms at once where nobody sends traffic', when: asking(), world: world(0), want: confirmed },
    { it: 'waits for the one that is behind', when: asking(fact('a', 20), fact('b', 19)), world: world(20), want: [] },
    {
      it: 'waits until the pod has left the Endpoints',
      when: asking(fact('a', 90)),
      world: world(undefined),
      want: [],
    },
    {
      it: 'trusts no revision of another life of the chain',
      when: asking(fact('a', 90, 'before the store was restored')),
      world: world(20),
      want: [],
    },
    {
      it: 'says whom a pod waits for when that takes long',
      when: asking(fact('a', 20), fact('b', 19)),
      world: world(20),
      atMs: learntMs + 1_000,
      want: [{ node: 'n1', uid: 'u1', waitingFor: ['proxy/b'], waitedMs: 1_000 }],
    },
    {
      it: 'names itself while the Endpoints still have the pod',
      when: asking(fact('a', 20)),
      world: world(undefined),
      atMs: learntMs + 1_000,
      want: [{ node: 'n1', uid: 'u1', waitingFor: ['endpoints-controller'], waitedMs: 1_000 }],
    },
  ];
  for (const each of cases)
    it(each.it, () => assert.deepEqual(each.when.answers(each.world, each.atMs ?? learntMs), each.want));

  it('answers nobody before it has listened long enough to know who sends traffic', () => {
    const collector = new Collector(0);
    collector.asked('n1', pod, 0);
    assert.deepEqual(collector.answers(world(5), 500), []);
    collector.asked('n1', pod, learntMs);
    assert.equal(collector.answers(world(5), learntMs).length, 1);
    collector.interrupted(learntMs);
    collector.asked('n1', pod, learntMs);
    assert.deepEqual(collector.answers(world(5), learntMs + 10), []);
  });

  it('waits for one that fell silent, but not for ever', () => {
    const collector = asking(fact('a', 20), fact('silent', 3));
    const keepOn = (ms: number): readonly object[] => {
      collector.programmed(fact('a', 20), ms);
      collector.asked('n1', pod, ms);
      return collector.answers(world(20), ms).filter(({ waitingFor }) => waitingFor.length === 0);
    };
    const endMs = learntMs + collectorTimes.forgetMs;
    for (let ms = learntMs + 100; ms <= endMs; ms += 500) assert.deepEqual(keepOn(ms), [], `at ${ms} ms`);
    assert.equal(keepOn(endMs + 500).length, 1);
  });

  it('waits for nobody on a node that is lost', () => {
    const collector = asking(fact('a', 20), fact('gone', 3));
    collector.lost('gone');
    assert.equal(collector.answers(world(20), learntMs).length, 1);
  });

  it('answers again whoever asks again, and forgets who asks no more', () => {
    const collector = asking(fact('a', 20));
    assert.equal(collector.answers(world(20), learntMs).length, 1);
    assert.deepEqual(collector.answers(world(20), learntMs), []);
    collector.asked('n1', pod, learntMs + 200);
    assert.equal(collector.answers(world(20), learntMs + 200).length, 1);
    collector.asked('n1', pod, learntMs + 400);
    collector.answers(world(undefined), learntMs + 400 + collectorTimes.askedMs + 1);
    assert.equal(collector.waiting, 0);
  });

  it('never confirms while somebody who was heard lately is behind', () => {
    const step = fc.oneof(
      fc.record({
        type: fc.constant('told' as const),
        who: fc.nat(3),
        endpoints: fc.nat(40),
        epoch: fc.constantFrom('e1', 'e2'),
      }),
      fc.record({
        type: fc.constant('asked' as const),
        uid: fc.nat(3),
        leftAt: fc.option(fc.nat(40), { nil: undefined }),
      }),
      fc.record({ type: fc.constant('passed' as const), ms: fc.nat(4_000) }),
      fc.record({ type: fc.constant('restored' as const), epoch: fc.constantFrom('e1', 'e2') }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const collector = new Collector(0);
        const heard = new Map<string, { readonly fact: Programmed; readonly ms: number }>();
        const left = new Map<string, number | undefined>();
        let nowMs = 0;
        let epoch = 'e1';
        const now: World = {
          get epoch() {
            return epoch;
          },
          leftAt: ({ uid }) => left.get(uid),
        };
        for (const each of steps) {
          if (each.type === 'passed') nowMs += each.ms;
          if (each.type === 'restored') epoch = each.epoch;
          if (each.type === 'told') {
            const said = fact(`n${each.who}`, each.endpoints, each.epoch);
            heard.set(said.name, { fact: said, ms: nowMs });
            collector.programmed(said, nowMs);
          }
          if (each.type === 'asked') {
            const uid = `u${each.uid}`;
            if (left.get(uid) === undefined) left.set(uid, each.leftAt);
            collector.asked('n1', { key: `default/${uid}`, uid, revision: 1 }, nowMs);
          }
          for (const { uid, waitingFor } of collector.answers(now, nowMs)) {
            if (waitingFor.length > 0) continue;
            const from = left.get(uid) ?? Infinity;
            for (const { fact: said, ms } of heard.values()) {
              if (nowMs - ms > collectorTimes.forgetMs) continue;
              assert.ok(
                said.epoch === epoch && said.endpoints >= from,
                `${said.name} is at ${said.endpoints} of ${from}`,
              );
            }
          }
        }
      }),
    );
  });
});
