import assert from 'node:assert/strict';
import fc from 'fast-check';
import { leavingAnnotation } from '../../../lib/api/leaving.ts';
import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { controllerOf, isActive } from '../../../lib/api/pods.ts';
import { matchesMap } from '../../../lib/api/labels.ts';
import { rollingUpdateAnnotation, takesOverAnnotation } from '../../../lib/api/rolling-updates.ts';
import { cheapestToLoseFirst, overlapping, reconcile } from '../../../services/replication-controller/reconcile.ts';
import { adopted, released } from '../../../services/replication-controller/template.ts';
import { anRc, aPod, type PodOptions } from '../../support/builders.ts';

const rc = anRc({ replicas: 2 });
const labels = { app: 'web' };
const ours = (options: PodOptions = {}): Pod => aPod({ labels, ownerUid: rc.metadata.uid, nodeName: 'n1', ...options });

interface Row {
  it: string;
  pods: Pod[];
  replicas?: number;
  adopt?: string[];
  release?: string[];
  create?: number;
  remove?: string[];
}
const rows: Row[] = [
  { it: 'rests when the count is right', pods: [ours({ name: 'a' }), ours({ name: 'b' })] },
  { it: 'makes what is missing', pods: [ours()], create: 1 },
  { it: 'makes no more than a burst at once', pods: [], replicas: 9, create: 5 },
  { it: 'removes what is too much', pods: ['a', 'b', 'c'].map((name) => ours({ name })), remove: ['a'] },
  { it: 'replaces a failed pod', pods: [ours({ name: 'a', phase: 'Failed' }), ours({ name: 'b' })], create: 1 },
  {
    it: 'replaces one that has ended well',
    pods: [ours({ name: 'a', phase: 'Succeeded' }), ours({ name: 'b' })],
    create: 1,
  },
  { it: 'replaces one on its way out', pods: [ours({ name: 'a', deleted: true }), ours({ name: 'b' })], create: 1 },
  {
    it: 'adopts what matches and belongs to nobody',
    pods: [aPod({ name: 'a', labels }), ours({ name: 'b' })],
    adopt: ['a'],
  },
  {
    it: 'leaves alone what matches but belongs to another',
    pods: [ours({ name: 'a', ownerUid: 'other' }), ours()],
    create: 1,
  },
  { it: 'does not adopt what is going', pods: [aPod({ labels, deleted: true }), ours({ name: 'b' })], create: 1 },
  { it: 'does not adopt what has ended', pods: [aPod({ labels, phase: 'Failed' }), ours({ name: 'b' })], create: 1 },
  {
    it: 'releases a pod whose label was taken away, and replaces it',
    pods: [ours({ name: 'a', labels: {} }), ours({ name: 'b' })],
    release: ['a'],
    create: 1,
  },
  {
    it: 'removes an adopted one when there are too many',
    pods: [aPod({ name: 'z', labels }), ours({ name: 'a' }), ours({ name: 'b' })],
    adopt: ['z'],
    remove: ['z'],
  },
  {
    it: 'removes all of them for zero',
    pods: [ours({ name: 'a' }), ours({ name: 'b' })],
    replicas: 0,
    remove: ['a', 'b'],
  },
];

describe('replication-controller/reconcile', () => {
  it('makes another for a pod that leaves, and neither counts nor removes it until its time is over', () => {
    const nowMs = Date.parse('2026-01-01T00:05:00Z');
    const leaving = aPod({
      ...{ name: 'leaving', ownerUid: 'rc', labels: { app: 'web' }, nodeName: 'n1' },
      annotations: { [leavingAnnotation]: '2026-01-01T00:06:00Z' },
    });
    const rc = anRc({ uid: 'rc', replicas: 1 });
    const other = aPod({ name: 'other', ownerUid: 'rc', labels: { app: 'web' }, nodeName: 'n2' });
    assert.equal(reconcile(rc, [leaving], 5, nowMs).create, 1);
    assert.deepEqual(reconcile(rc, [leaving, other], 5, nowMs), { adopt: [], release: [], create: 0, remove: [] });
    assert.equal(reconcile(rc, [leaving, other], 5, nowMs + 120_000).remove.length, 1);
  });

  const names = (pods: readonly Pod[]): string[] => pods.map(({ metadata }) => metadata.name);
  for (const row of rows) {
    it(row.it, () => {
      const plan = reconcile(anRc({ replicas: row.replicas ?? 2 }), row.pods, 5);
      const want = {
        adopt: row.adopt ?? [],
        release: row.release ?? [],
        create: row.create ?? 0,
        remove: row.remove ?? [],
      };
      const got = { ...plan, adopt: names(plan.adopt), release: names(plan.release), remove: names(plan.remove) };
      assert.deepEqual(got, want);
    });
  }

  const losing: { it: string; first: PodOptions; then: PodOptions }[] = [
    {
      it: 'one without a node before one with',
      first: { phase: 'Pending', spec: {} },
      then: { nodeName: 'n1', phase: 'Pending' },
    },
    {
      it: 'a pending one before a running one',
      first: { nodeName: 'n1', phase: 'Pending' },
      then: { nodeName: 'n1', ready: false },
    },
    { it: 'an unready one before a ready one', first: { nodeName: 'n1', ready: false }, then: { nodeName: 'n1' } },
    {
      it: 'a cheap one before a dear one',
      first: { nodeName: 'n1', annotations: { 'controller.kubernetes.io/pod-deletion-cost': '-5' } },
      then: { nodeName: 'n1' },
    },
    {
      it: 'a dear one after, also when it is younger',
      first: { nodeName: 'n1' },
      then: {
        nodeName: 'n1',
        annotations: { 'controller.kubernetes.io/pod-deletion-cost': '7' },
        creationTimestamp: '2026-02-01T00:00:00Z',
      },
    },
    {
      it: 'one ready for a short time before one ready for long',
      first: { nodeName: 'n1', readySince: '2026-01-02T00:00:00Z' },
      then: { nodeName: 'n2' },
    },
    {
      it: 'one that was restarted often before one that was not',
      first: { nodeName: 'n1', restarts: 3 },
      then: { nodeName: 'n2' },
    },
    {
      it: 'a young one before an old one',
      first: { nodeName: 'n1', creationTimestamp: '2026-01-03T00:00:00Z' },
      then: { nodeName: 'n2' },
    },
    { it: 'the first by name among equals', first: { nodeName: 'n1' }, then: { nodeName: 'n2' } },
  ];
  for (const { it: what, first, then } of losing) {
    it(`loses ${what}`, () => {
      const pods = [aPod({ name: 'first', ...first }), aPod({ name: 'then', ...then })];
      assert.deepEqual(names(cheapestToLoseFirst(pods)), ['first', 'then']);
      assert.deepEqual(names(cheapestToLoseFirst(pods.toReversed())), ['first', 'then']);
    });
  }

  it('leaves the pods that remain spread over the nodes', () => {
    const on = (node: string, count: number): Pod[] =>
      Array.from({ length: count }, (_, i) => ours({ name: `${node}-${i}`, nodeName: node }));
    const kept = cheapestToLoseFirst([...on('a', 3), ...on('b', 2), ...on('c', 1)]).slice(3);
    assert.deepEqual(kept.map(({ spec }) => spec.nodeName).sort(), ['a', 'b', 'c']);
  });

  it('names the controllers that would take each other’s pods', () => {
    const web = anRc({ name: 'web', selector: { app: 'web' }, template: { labels: { app: 'web', version: '1' } } });
    const canary = anRc({ name: 'canary', selector: { app: 'web', version: '1' } });
    const other = anRc({ name: 'db', selector: { app: 'db' } });
    const stable = anRc({
      name: 'stable',
      selector: { app: 'web', version: '0' },
      template: { labels: { app: 'web', version: '0' } },
    });
    assert.deepEqual(
      overlapping(web, [web, canary, other]).map(({ metadata }) => metadata.name),
      ['canary'],
    );
    assert.deepEqual(
      overlapping(canary, [web, stable]).map(({ metadata }) => metadata.name),
      ['web'],
    );
    assert.deepEqual(overlapping(stable, [canary]), []);
  });

  it('does not name the two of an update that is about to tell them apart, nor one that is to take over', () => {
    const old = anRc({ name: 'web', uid: 'old', selector: { app: 'web' } });
    const next = (annotation: string, value: object) =>
      anRc({
        name: 'web-2',
        selector: { app: 'web', version: '2' },
        template: { labels: { app: 'web', version: '2' } },
        annotations: { [annotation]: JSON.stringify(value) },
      });
    const names = (rc: ReplicationController): readonly string[] => [
      ...overlapping(rc, [old]).map(({ metadata }) => metadata.name),
      ...overlapping(old, [rc]).map(({ metadata }) => metadata.name),
    ];
    const label = { key: 'version', value: '1' };
    assert.deepEqual(names(next(rollingUpdateAnnotation, { from: 'web', replicas: 1, label })), []);
    assert.deepEqual(names(next(rollingUpdateAnnotation, { from: 'web', replicas: 1 })), ['web', 'web-2']);
    assert.deepEqual(names(next(rollingUpdateAnnotation, { from: 'api', replicas: 1, label })), ['web', 'web-2']);
    assert.deepEqual(names(next(takesOverAnnotation, { name: 'web', uid: 'old' })), []);
  });

  // ---- Properties ------------------------------------------------------------------------------

  const arbitraryPod = fc.record({
    labels: fc.constantFrom<Record<string, string>>({ app: 'web' }, { app: 'web', x: 'y' }, {}, { app: 'db' }),
    ownerUid: fc.constantFrom('ours', 'another', undefined),
    phase: fc.constantFrom('Pending' as const, 'Running' as const, 'Failed' as const, 'Succeeded' as const),
    deleted: fc.boolean(),
  });
  const arbitraryPods = fc.array(arbitraryPod, { maxLength: 25 }).map((all) =>
    all.map(({ ownerUid, ...pod }, i) =>
      aPod({
        name: `p${i}`,
        ...pod,
        ...(ownerUid === undefined ? {} : { ownerUid: ownerUid === 'ours' ? rc.metadata.uid : ownerUid }),
      }),
    ),
  );
  let made = 0;
  const applied = (owner: ReplicationController, pods: readonly Pod[]): Pod[] => {
    const plan = reconcile(owner, pods, 5);
    const kept = pods
      .map((pod) =>
        plan.adopt.includes(pod) ? adopted(owner, pod) : plan.release.includes(pod) ? released(owner, pod) : pod,
      )
      .filter(({ metadata }) => !plan.remove.some((gone) => gone.metadata.name === metadata.name));
    return [...kept, ...Array.from({ length: plan.create }, () => ours({ name: `new${made++}` }))];
  };

  it('reaches the desired count from any start, then rests, and never touches another’s pods', () => {
    fc.assert(
      fc.property(fc.nat(20), arbitraryPods, (replicas, start) => {
        const owner = anRc({ replicas });
        let pods: Pod[] = start;
        for (let round = 0; round < 12; round++) pods = applied(owner, pods);
        const active = pods.filter(
          (pod) =>
            isActive(pod) && controllerOf(pod)?.uid === owner.metadata.uid && matchesMap(labels, pod.metadata.labels),
        );
        assert.equal(active.length, replicas);
        assert.deepEqual(reconcile(owner, pods, 5), { adopt: [], release: [], create: 0, remove: [] });
        const others = (all: readonly Pod[]): readonly Pod[] =>
          all.filter((pod) => controllerOf(pod)?.uid === 'another');
        assert.deepEqual(others(pods), others(start));
      }),
    );
  });

  it('does not depend on the order in which pods are seen', () => {
    fc.assert(
      fc.property(fc.nat(10), arbitraryPods, (replicas, pods) => {
        assert.deepEqual(reconcile(anRc({ replicas }), pods, 5), reconcile(anRc({ replicas }), pods.toReversed(), 5));
      }),
    );
  });
});
