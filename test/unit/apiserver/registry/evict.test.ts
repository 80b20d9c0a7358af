import assert from 'node:assert/strict';
import type { PodDisruptionBudget } from '../../../../lib/api/objects.ts';
import { hasReason, isApiError } from '../../../../lib/base/errors.ts';
import { newRegistry } from '../../../../services/apiserver/registry/index.ts';
import type { Registry } from '../../../../services/apiserver/registry/registry.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { aRegistry, closeAll, objectOf, podDraft, rejects } from './a-registry.ts';

const app = { app: 'web' };
const keyOf = (name: string): string => `default/${name}`;

async function aServingPod(registry: Registry, name: string, ready = true): Promise<void> {
  await registry.create('pods', 'default', podDraft({ name, labels: app }), {});
  await registry.bind({ metadata: { name, namespace: 'default' }, target: { name: 'n1' } }, {});
  const conditions = [{ type: 'Ready', status: ready ? 'True' : 'False' }];
  await registry.patch('pods', keyOf(name), { status: { phase: 'Running', conditions } }, { subresource: 'status' });
}

interface Counts {
  readonly disruptionsAllowed: number;
  readonly currentHealthy?: number;
  readonly desiredHealthy?: number;
  readonly observedGeneration?: number;
}

async function aBudget(registry: Registry, name: string, counts: Counts, spec: object = {}): Promise<void> {
  const draft = { metadata: { name }, spec: { minAvailable: 2, selector: { matchLabels: app }, ...spec } };
  await registry.create('poddisruptionbudgets', 'default', draft, {});
  const status = { observedGeneration: 1, currentHealthy: 2, desiredHealthy: 2, expectedPods: 3, ...counts };
  await registry.patch('poddisruptionbudgets', keyOf(name), { status }, { subresource: 'status' });
}

async function budgetIn(registry: Registry): Promise<PodDisruptionBudget['status']> {
  const served = await registry.get('poddisruptionbudgets', keyOf('web'));
  return (JSON.parse(served?.json.toString('utf8') ?? '{}') as PodDisruptionBudget).status;
}

describe('apiserver/registry evict', () => {
  afterEach(closeAll);

  it('deletes a pod that no budget selects, and says why on the pod', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'web', { disruptionsAllowed: 0 }, { selector: { matchLabels: { app: 'other' } } });
    const { metadata, status } = objectOf(await registry.evict(keyOf('a'), { gracePeriodSeconds: 7 }));
    assert.equal(metadata.deletionGracePeriodSeconds, 7);
    assert.deepEqual((status.conditions as { type: string; reason?: string }[]).at(-1), {
      ...{ type: 'DisruptionTarget', status: 'True', reason: 'EvictionByEvictionAPI' },
      ...{ message: 'Eviction API: evicting', lastTransitionTime: '2026-01-01T00:00:00Z' },
    });
    await rejects(registry.evict(keyOf('nobody'), {}), 'NotFound');
    await rejects(registry.evict(keyOf('a'), { preconditions: { uid: 'of another' } }), 'Conflict');
  });

  it('takes what it is granted off the budget in the same commit', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'web', { disruptionsAllowed: 2 });
    const written = await registry.evict(keyOf('a'), {});
    assert.equal(written.served.revision, (await registry.list('poddisruptionbudgets', {})).items[0]?.revision);
    const { disruptionsAllowed, disruptedPods } = await budgetIn(registry);
    assert.deepEqual([disruptionsAllowed, disruptedPods], [1, { a: '2026-01-01T00:00:00Z' }]);
    await registry.evict(keyOf('a'), {}); // it is going: nothing more is taken
    assert.equal((await budgetIn(registry)).disruptionsAllowed, 1);
  });

  it('refuses what the budget does not allow, naming it and its counts, and changes nothing', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'web', { disruptionsAllowed: 0 });
    const error = await rejects(registry.evict(keyOf('a'), {}), 'TooManyRequests', /needs 2 healthy pods and has 2/);
    assert.deepEqual(error.details, {
      causes: [
        {
          field: '',
          reason: 'DisruptionBudget',
          message: 'The disruption budget web needs 2 healthy pods and has 2 currently',
        },
      ],
    });
    assert.equal((await registry.get('pods', keyOf('a')))?.json.includes('deletionTimestamp'), false);
  });

  it('waits for the first count of a budget and of each change of it', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'web', { disruptionsAllowed: 1 });
    await registry.patch('poddisruptionbudgets', keyOf('web'), { spec: { minAvailable: 3 } }, {});
    const error = await rejects(registry.evict(keyOf('a'), {}), 'TooManyRequests');
    assert.equal(error.details.retryAfterSeconds, 1);
    assert.match(error.details.causes?.[0]?.message ?? '', /still being processed/);
  });

  it('asks no budget about pods that serve nobody', async () => {
    const { registry } = await aRegistry();
    await aBudget(registry, 'web', { disruptionsAllowed: 0 });
    await registry.create('pods', 'default', podDraft({ name: 'new', labels: app }), {});
    assert.equal((await registry.evict(keyOf('new'), {})).gone, true);
    await aServingPod(registry, 'over');
    await registry.patch('pods', keyOf('over'), { status: { phase: 'Failed' } }, { subresource: 'status' });
    assert.equal((await registry.evict(keyOf('over'), {})).gone, true);
  });

  it('lets pods go that are not ready while enough others are, or where the budget says so', async () => {
    const cases: readonly (readonly [counts: Counts, spec: object, granted: boolean])[] = [
      [{ disruptionsAllowed: 0, currentHealthy: 2, desiredHealthy: 2 }, {}, true],
      [{ disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2 }, {}, false],
      [
        { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2 },
        { unhealthyPodEvictionPolicy: 'IfHealthyBudget' },
        false,
      ],
      [
        { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 2 },
        { unhealthyPodEvictionPolicy: 'AlwaysAllow' },
        true,
      ],
    ];
    for (const [counts, spec, granted] of cases) {
      const { registry } = await aRegistry();
      await aServingPod(registry, 'sick', false);
      await aBudget(registry, 'web', counts, spec);
      if (granted) await registry.evict(keyOf('sick'), {});
      else await rejects(registry.evict(keyOf('sick'), {}), 'TooManyRequests');
      assert.equal((await budgetIn(registry)).disruptionsAllowed, 0, JSON.stringify([counts, spec]));
    }
  });

  it('tells whose selectors overlap', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'all', { disruptionsAllowed: 1 }, { selector: {} });
    await aBudget(registry, 'web', { disruptionsAllowed: 1 });
    await rejects(registry.evict(keyOf('a'), {}), 'InternalError', /more than one PodDisruptionBudget \(all, web\)/);
  });

  it('tries without doing it', async () => {
    const { registry } = await aRegistry();
    await aServingPod(registry, 'a');
    await aBudget(registry, 'web', { disruptionsAllowed: 1 });
    await registry.evict(keyOf('a'), { dryRun: true });
    assert.equal((await budgetIn(registry)).disruptionsAllowed, 1);
    assert.equal((await registry.get('pods', keyOf('a')))?.json.includes('deletionTimestamp'), false);
  });

  it('never grants more than there is, to forty at once by two servers on one store', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore({ clock });
    const servers = [await newRegistry({ store, clock }), await newRegistry({ store, clock })];
    try {
      const [first] = servers;
      assert.ok(first !== undefined);
      const names = Array.from({ length: 40 }, (_, i) => `p${i}`);
      for (const name of names) await aServingPod(first, name);
      await aBudget(first, 'web', { disruptionsAllowed: 7, currentHealthy: 40, desiredHealthy: 33 });
      const outcomes = await Promise.all(
        names.map(async (name, i) => {
          try {
            await servers[i % 2]?.evict(keyOf(name), {});
            return 'granted';
          } catch (error) {
            return hasReason(error, 'TooManyRequests') ? 'refused' : String(isApiError(error) && error.reason);
          }
        }),
      );
      assert.deepEqual(
        [outcomes.filter((each) => each === 'granted').length, outcomes.filter((each) => each === 'refused').length],
        [7, 33],
        outcomes.join(),
      );
      await first.fresh();
      const status = await budgetIn(first);
      assert.equal(status.disruptionsAllowed, 0);
      const granted = names.filter((_, i) => outcomes[i] === 'granted');
      assert.deepEqual(Object.keys(status.disruptedPods ?? {}).sort(), granted.toSorted());
    } finally {
      for (const server of servers) await server.close();
      await store.close();
    }
  });
});
