import assert from 'node:assert/strict';
import type { Pod } from '../../../lib/api/objects.ts';
import { Fallen } from '../../../services/endpoints-controller/removal/fallen.ts';
import { aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('endpoints-controller/fallen', () => {
  const clock = new FakeClock(0);
  const pods = new Map<string, Pod>();
  const changed: string[] = [];
  const made: Fallen[] = [];
  const file = (name: string, ready: boolean): Pod => {
    const pod = aPod({ name, ready, ip: '10.0.0.1', labels: { app: 'web' } });
    pods.set(pod.metadata.uid, pod);
    return pod;
  };
  const newFallen = (): Fallen => {
    const fallen = new Fallen({
      clock,
      pod: (uid) => pods.get(uid),
      onChange: ({ metadata }) => void changed.push(metadata.name),
    });
    made.push(fallen);
    return fallen;
  };
  const changes = (): string => changed.splice(0).join();
  afterEach(() => {
    for (const each of made.splice(0)) each.close();
    pods.clear();
    changed.length = 0;
  });

  it('has a ready pod as down from its node’s word until its node takes it back', () => {
    const fallen = newFallen();
    const pod = file('a', true);
    fallen.down([pod.metadata.uid, 'never-heard-of']);
    assert.equal(fallen.has(pod), true);
    assert.equal(changes(), 'a');
    fallen.up([pod.metadata.uid]);
    assert.equal(fallen.has(pod), false);
    assert.equal(changes(), 'a');
    fallen.up([pod.metadata.uid]);
    assert.equal(changes(), '');
  });
  it('leaves it to the API once that says so itself, so that a later Ready counts at once', () => {
    const fallen = newFallen();
    const pod = file('a', true);
    fallen.down([pod.metadata.uid]);
    fallen.heard(pod, file('a', false));
    assert.equal(fallen.has(file('a', true)), false);
  });
  it('has nothing to say of a pod that is unready anyway', () => {
    const fallen = newFallen();
    const pod = file('a', false);
    fallen.down([pod.metadata.uid]);
    assert.equal(fallen.has(pod), false);
    assert.equal(changes(), '');
  });
  it('outlives a word that nobody took back', async () => {
    const fallen = newFallen();
    const pod = file('a', true);
    fallen.down([pod.metadata.uid]);
    changes();
    await clock.advance(3_100);
    assert.equal(fallen.has(pod), false);
    assert.equal(changes(), 'a');
  });
});
