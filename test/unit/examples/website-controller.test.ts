import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { V1Deployment } from '@kubernetes/client-node';
import { isWithin, merged, statusOf, stepTo } from '../../../examples/website-controller/decide.ts';
import {
  generationAnnotation,
  wantedDeployment,
  wantedService,
  type Website,
} from '../../../examples/website-controller/website.ts';

const aSite = (spec: Partial<Website['spec']> = {}, metadata: Partial<Website['metadata']> = {}): Website => ({
  apiVersion: 'example.com/v1',
  kind: 'Website',
  metadata: { namespace: 'default', name: 'shop', uid: 'u1', generation: 2, ...metadata },
  spec: { image: 'shop:1', port: 8080, replicas: 2, ...spec },
});

/** What the API gives back: what was wanted, with defaults and a revision. */
function stored(site: Website, metadata: Partial<Website['metadata']> = {}): V1Deployment {
  const wanted = wantedDeployment(site);
  const defaults = { spec: { strategy: { type: 'RollingUpdate' }, template: { spec: { restartPolicy: 'Always' } } } };
  const object = merged(wanted, defaults) as V1Deployment;
  return { ...object, metadata: { ...object.metadata, resourceVersion: '7', ...metadata } };
}

describe('examples/website-controller', () => {
  const site = aSite();
  const wanted = wantedDeployment(site);

  const cases = [
    { it: 'creates what is missing', observed: undefined, want: 'create' },
    { it: 'rests when all is so, whatever else is filled in', observed: stored(site), want: 'nothing' },
    { it: 'replaces what differs', observed: stored(aSite({ image: 'shop:0' })), want: 'replace' },
    { it: 'takes away a command that is wanted no more', observed: stored(aSite({ command: ['a'] })), want: 'replace' },
    {
      it: 'leaves alone what a copy that knows more has written',
      observed: stored(aSite({ image: 'shop:3' }, { generation: 3 })),
      want: 'nothing',
    },
    {
      it: 'waits for the end of one that is going',
      observed: stored(aSite({ replicas: 9 }), { deletionTimestamp: new Date(0) }),
      want: 'nothing',
    },
    { it: 'refuses what belongs to nobody', observed: stored(site, { ownerReferences: [] }), want: 'refuse' },
    { it: 'refuses what a former one of the name owned', observed: stored(aSite({}, { uid: 'u0' })), want: 'refuse' },
  ];
  for (const each of cases) {
    it(each.it, () => assert.equal(stepTo(site, wanted, each.observed).type, each.want));
  }

  it('makes nothing for a Website that is going', () => {
    const going = aSite({}, { deletionTimestamp: new Date(0) });
    assert.equal(stepTo(going, wanted, undefined).type, 'nothing');
  });

  it('replaces with the revision that was seen and what others have set', () => {
    const step = stepTo(
      site,
      wanted,
      stored(aSite({ replicas: 9 }, { generation: 1 }), { annotations: { theirs: 'x' } }),
    );
    assert.ok(step.type === 'replace');
    assert.equal(step.object.metadata?.resourceVersion, '7');
    assert.deepEqual(step.object.metadata?.annotations, { theirs: 'x', [generationAnnotation]: '2' });
    assert.equal(step.object.spec?.strategy?.type, 'RollingUpdate');
    assert.equal(step.object.spec?.replicas, 2);
  });

  it('says what is so, and what is in the way', () => {
    const service = { ...wantedService(site), spec: { clusterIP: '10.0.0.7' } };
    const deployment = { ...stored(site), status: { replicas: 2, readyReplicas: 1 } };
    assert.deepEqual(statusOf(site, deployment, service, ''), {
      ...{ observedGeneration: 2, replicas: 2, readyReplicas: 1 },
      ...{ selector: 'example.com/website=shop', address: '10.0.0.7', message: '' },
    });
    assert.equal(statusOf(site, undefined, undefined, 'taken').message, 'taken');
  });

  it('rests after any one replacement', () => {
    const values = fc.record({
      image: fc.constantFrom('a', 'b'),
      port: fc.constantFrom(80, 8080),
      replicas: fc.nat(5),
      command: fc.array(fc.constantFrom('x', 'y'), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(values, values, (before, after) => {
        const now = aSite(after);
        const step = stepTo(now, wantedDeployment(now), stored(aSite(before, { generation: 1 })));
        if (step.type === 'nothing') return;
        assert.ok(step.type === 'replace');
        assert.equal(stepTo(now, wantedDeployment(now), step.object).type, 'nothing');
      }),
    );
  });

  it('what is merged is within', () => {
    const values = [fc.nat(3), fc.constant('x'), fc.constant(null)];
    const anything = fc.anything({ key: fc.constantFrom('a', 'b', 'c'), values, maxDepth: 3 });
    fc.assert(
      fc.property(anything, anything, (one, other) => {
        assert.ok(isWithin(one, merged(one, other)));
      }),
    );
  });
});
