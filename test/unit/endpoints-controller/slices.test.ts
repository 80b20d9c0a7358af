import fc from 'fast-check';
import assert from 'node:assert/strict';
import type { Endpoints, EndpointSlice } from '../../../lib/api/objects.ts';
import {
  managedByLabel,
  manager,
  maxPerSlice,
  reconcileSlices,
  serviceNameLabel,
  type SliceAction,
} from '../../../services/endpoints-controller/slices/reconcile.ts';
import { anEndpoints } from '../../support/builders.ts';

/** The slices after some writes. */
function applied(slices: readonly EndpointSlice[], actions: readonly SliceAction[]): EndpointSlice[] {
  let made = slices.length;
  const next = [...slices];
  for (const action of actions) {
    if (action.type === 'create')
      next.push({ ...action.draft, metadata: { ...action.draft.metadata, name: `s-${++made}` } } as EndpointSlice);
    else {
      const at = next.findIndex(({ metadata }) => metadata.name === action.slice.metadata.name);
      if (action.type === 'delete') next.splice(at, 1);
      else next[at] = action.slice;
    }
  }
  return next;
}
const ipsOf = (count: number): string[] => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
const addresses = (slices: readonly EndpointSlice[]): string[] =>
  slices.flatMap(({ endpoints = [] }) => endpoints.flatMap((each) => each.addresses)).sort();
const settle = (endpoints: Endpoints | undefined, from: readonly EndpointSlice[] = []): EndpointSlice[] =>
  applied(from, reconcileSlices(endpoints, from));

describe('endpoints-controller/slices', () => {
  it('says whose they are, which ports there are and how each endpoint is', () => {
    const ready = anEndpoints({ ips: ['10.0.0.1'] });
    const [subset] = ready.subsets ?? [];
    const endpoints = { ...ready, subsets: [{ ...subset, notReadyAddresses: [{ ip: '10.0.0.2' }] }] } as Endpoints;
    const [slice, ...others] = settle(endpoints);
    assert.equal(others.length, 0);
    assert.equal(slice?.metadata.labels?.[serviceNameLabel], endpoints.metadata.name);
    assert.equal(slice?.metadata.labels?.[managedByLabel], manager);
    assert.equal(slice?.addressType, 'IPv4');
    assert.deepEqual(
      slice?.endpoints?.map(({ conditions }) => conditions),
      [
        { ready: true, serving: true, terminating: false },
        { ready: false, serving: false, terminating: false },
      ],
    );
  });

  it('puts at most a hundred into one, and changes only the slice that is concerned', () => {
    const slices = settle(anEndpoints({ ips: ipsOf(250) }));
    assert.deepEqual(
      slices.map(({ endpoints = [] }) => endpoints.length),
      [100, 100, 50],
    );
    const without = anEndpoints({ ips: ipsOf(250).filter((ip) => ip !== '10.0.0.120') });
    const actions = reconcileSlices(without, slices);
    assert.deepEqual(
      actions.map(({ type }) => type),
      ['update'],
    );
  });

  it('removes them with the Endpoints', () => {
    assert.deepEqual(settle(undefined, settle(anEndpoints({ ips: ['10.0.0.1'] }))), []);
  });

  it('says from any start what the Endpoints say, each once, and then rests', () => {
    const some = fc.uniqueArray(fc.integer({ min: 0, max: 400 }), { maxLength: 260 });
    fc.assert(
      fc.property(fc.array(some, { minLength: 1, maxLength: 5 }), (rounds) => {
        let slices: EndpointSlice[] = [];
        for (const round of rounds) {
          const ips = ipsOf(401).filter((_, index) => round.includes(index));
          const endpoints = anEndpoints({ ips });
          slices = settle(endpoints, slices);
          assert.deepEqual(addresses(slices), ips.toSorted());
          assert.ok(slices.every((slice) => (slice.endpoints?.length ?? 0) <= maxPerSlice));
          assert.deepEqual(reconcileSlices(endpoints, slices), []);
        }
      }),
      { numRuns: 30 },
    );
  });
});
