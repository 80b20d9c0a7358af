import assert from 'node:assert/strict';
import type { Endpoints, Pod } from '../../../lib/api/objects.ts';
import { Departures, endpointsIndexes } from '../../../services/endpoints-controller/removal/departures.ts';
import { aPod, anEndpoints } from '../../support/builders.ts';
import { FakeView } from '../../support/fake-view.ts';

describe('endpoints-controller/removal/departures', () => {
  let pods: FakeView<Pod>;
  let endpoints: FakeView<Endpoints>;
  let departures: Departures;
  let podsKnown: number;
  const asked = { key: 'default/web-1', uid: 'u1', revision: 10 };

  beforeEach(() => {
    pods = new FakeView();
    endpoints = new FakeView(endpointsIndexes);
    podsKnown = 5;
    departures = new Departures({ pods, endpoints, podsKnown: () => podsKnown, matching: () => ['default/web'] });
    endpoints.onChange((change) => departures.changed(change));
    pods.wrote(aPod({ name: 'web-1', uid: 'u1', nodeName: 'n1', labels: { app: 'web' } }));
  });
  const having = (resourceVersion: string, ...uids: readonly string[]): void => {
    const addresses = uids.map((uid) => ({ ip: `10.244.0.${uid.slice(1)}`, targetRef: { kind: 'Pod', uid } }));
    const subsets = uids.length === 0 ? [] : [{ addresses, ports: [{ port: 80, protocol: 'TCP' as const }] }];
    endpoints.wrote(anEndpoints({ subsets, resourceVersion }));
  };
  const deletion = (): void =>
    pods.wrote(aPod({ name: 'web-1', uid: 'u1', nodeName: 'n1', labels: { app: 'web' }, deleted: true }));

  it('knows at which revision a pod left, once its deletion is known and no Endpoints have it', () => {
    having('7', 'u1', 'u2');
    assert.equal(departures.leftAt(asked), undefined, 'it is there, and not known to go');
    deletion();
    assert.equal(departures.leftAt(asked), undefined, 'it is there still');
    having('12', 'u2');
    assert.equal(departures.leftAt(asked), 12);
  });

  it('says nothing while a write that began before may bring the pod back', () => {
    having('7', 'u2');
    departures.begun('default/web');
    deletion();
    assert.equal(departures.leftAt(asked), undefined);
    departures.settled('default/web');
    assert.equal(departures.leftAt(asked), 7);
  });

  it('takes the last of several Endpoints that a pod left', () => {
    having('7', 'u1');
    endpoints.wrote(
      anEndpoints({
        name: 'other',
        subsets: [{ addresses: [{ ip: '10.244.0.1', targetRef: { kind: 'Pod', uid: 'u1' } }] }],
        resourceVersion: '8',
      }),
    );
    deletion();
    having('12');
    assert.equal(departures.leftAt(asked), undefined);
    endpoints.wrote(anEndpoints({ name: 'other', subsets: [], resourceVersion: '15' }));
    assert.equal(departures.leftAt(asked), 15);
  });

  it('takes a pod for gone only when its view has come so far', () => {
    const held = pods.get('default/web-1');
    assert.ok(held);
    pods.wroteDeletion(held);
    assert.equal(departures.leftAt(asked), undefined);
    podsKnown = 10;
    assert.equal(departures.leftAt(asked), 0);
  });
});
