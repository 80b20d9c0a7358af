import assert from 'node:assert/strict';
import type { Endpoints, Pod } from '../../../lib/api/objects.ts';
import { reconcile } from '../../../services/endpoints-controller/reconcile.ts';
import { triggerTime } from '../../../services/endpoints-controller/trigger-time.ts';
import { anEndpoints, aPod, aService } from '../../support/builders.ts';

const at = (second: number): string => `2026-01-01T00:10:${String(second).padStart(2, '0')}Z`;
const service = aService();
const behind = (name: string, since: string, ready = true): Pod => {
  const pod = aPod({ name, ip: `10.0.0.${name.length}`, nodeName: 'n1', labels: { app: 'web' }, ready });
  const conditions = (pod.status.conditions ?? []).map((each) =>
    each.type === 'Ready' ? { ...each, lastTransitionTime: since } : each,
  );
  return { ...pod, status: { ...pod.status, conditions } };
};
/** What is stored once `reconcile` has said what to write. */
function stored(pods: readonly Pod[], current?: Endpoints): Endpoints | undefined {
  const action = reconcile(service, pods, current);
  if (action === undefined) return current;
  if (action.type === 'update') return action.endpoints;
  return { ...anEndpoints(), ...(action.draft as Partial<Endpoints>) };
}
const timeOf = (endpoints: Endpoints | undefined): string | undefined => endpoints?.metadata.annotations?.[triggerTime];

describe('endpoints-controller/trigger-time', () => {
  const first = stored([behind('a', at(1))]);

  it('is that of the Service at first', () => assert.equal(timeOf(first), service.metadata.creationTimestamp));

  it('is when a pod became ready, the earliest of several', () => {
    assert.equal(timeOf(stored([behind('a', at(1)), behind('bb', at(8)), behind('ccc', at(7))], first)), at(7));
  });

  it('is when a pod stopped being ready', () => {
    assert.equal(timeOf(stored([behind('a', at(9), false)], first)), at(9));
  });

  it('is when a pod was asked to go, not when its grace is over', () => {
    const pod = behind('a', at(1));
    const metadata = { ...pod.metadata, deletionTimestamp: at(40), deletionGracePeriodSeconds: 30 };
    assert.equal(timeOf(stored([{ ...pod, metadata }], first)), at(10));
  });

  it('is not told where nobody knows', () => assert.equal(timeOf(stored([], first)), undefined));

  it('is nothing to write by itself', () => {
    assert.equal(reconcile(service, [behind('a', at(30))], first), undefined);
  });
});
