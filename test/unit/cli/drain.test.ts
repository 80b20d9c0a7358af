import assert from 'node:assert/strict';
import { sortPods } from '../../../cli/drain/decide.ts';
import { decideStep, markLastsMs, type Sight } from '../../../lib/api/replacing.ts';
import { leavingAnnotation } from '../../../lib/api/leaving.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { aPod, type PodOptions } from '../../support/builders.ts';

const nowMs = Date.parse('2026-01-01T00:05:00Z');
const marked = (forMs: number): PodOptions => ({
  annotations: { [leavingAnnotation]: new Date(nowMs + forMs).toISOString() },
});
const owned = (name: string, options: PodOptions = {}): Pod =>
  aPod({ name, ownerUid: 'rc', nodeName: 'n2', ...options });
const names = (pods: readonly { readonly metadata: { readonly name: string } }[]): readonly string[] =>
  pods.map(({ metadata }) => metadata.name);

function step(going: readonly Pod[], others: readonly Pod[], more: Partial<Sight> = {}): readonly unknown[] {
  const { mark, evict, wait } = decideStep({
    ...{ going, siblings: [...going, ...others], replicas: new Map([['rc', 2]]), nowMs },
    ...more,
  });
  return [names(mark), names(evict), wait.map(({ pod, why }) => `${pod.metadata.name}: ${why}`)];
}

describe('cli/drain decide', () => {
  const a = owned('a', { nodeName: 'n1', ...marked(markLastsMs) });
  const b = owned('b');

  it('asks for a replacement first, and evicts when as many as wanted are ready besides', () => {
    const fresh = owned('a', { nodeName: 'n1' });
    assert.deepEqual(step([fresh], [b]), [['a'], [], ['a: its replacement is still to be made']]);
    assert.deepEqual(step([a], [b]), [[], [], ['a: its replacement is still to be made']]);
    const starting = owned('c', { ready: false });
    assert.deepEqual(step([a], [b, starting]), [...[[], []], ['a: its replacement default/c on n2 is not ready yet']]);
    assert.deepEqual(step([a], [b, owned('c')]), [[], ['a'], []]);
  });

  it('evicts as many at one time as are ready besides, and no more', () => {
    const two = [a, owned('d', { nodeName: 'n1', ...marked(markLastsMs) })];
    assert.deepEqual(step(two, [b]), [[], ['a'], ['d: its replacement is still to be made']]);
  });

  it('says what a replacement lacks that finds no place', () => {
    const message = '0/2 nodes are available: 1 insufficient cpu, 1 unschedulable.';
    const homeless = aPod({
      ...{ name: 'c', ownerUid: 'rc' },
      status: { conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }] },
    });
    assert.deepEqual(step([a], [b, homeless]), [
      ...[[], []],
      ['a: its replacement default/c has no place: 0/2 nodes are available: 1 insufficient cpu, 1 unschedulable'],
    ]);
  });

  it('renews its marks, and lets go at once what serves nobody or is made anew by nobody', () => {
    const late = owned('a', { nodeName: 'n1', ...marked(markLastsMs / 2 - 1) });
    assert.deepEqual(step([late], [b])[0], ['a']);
    assert.deepEqual(step([owned('a', { nodeName: 'n1', ready: false })], [b]), [[], ['a'], []]);
    assert.deepEqual(step([a], [b], { replicas: new Map() }), [[], ['a'], []]);
    assert.deepEqual(step([owned('a', { nodeName: 'n1', deleted: true })], [b]), [
      ...[[], []],
      ['a: its containers are ending'],
    ]);
  });

  it('leaves pods that have finished, whoever they belong to: their logs would go with them', () => {
    const pods = [
      owned('done', { phase: 'Succeeded', spec: { volumes: [{ name: 'data', emptyDir: {} }] } }),
      aPod({ name: 'failed', nodeName: 'n1', phase: 'Failed' }),
      owned('going', { phase: 'Succeeded', deleted: true }),
    ];
    const { go, stay, against } = sortPods(pods, { force: false, emptyDirData: false });
    assert.deepEqual([names(go), against], [['going'], []]);
    assert.deepEqual(
      stay.map(({ pod, why }) => `${pod.metadata.name} ${why}`),
      [
        'done has finished (Succeeded), and its logs can be read until it is removed',
        'failed has finished (Failed), and its logs can be read until it is removed',
      ],
    );
  });

  it('touches no pod of a DaemonSet, and none that would be lost unless it may', () => {
    const daemon = aPod({ name: 'daemon', nodeName: 'n1' });
    const controlled: Pod = {
      ...daemon,
      metadata: {
        ...daemon.metadata,
        ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'logs', uid: 'd', controller: true }],
      },
    };
    const alone = aPod({ name: 'alone', nodeName: 'n1' });
    const keeper = owned('keeper', { spec: { volumes: [{ name: 'data', emptyDir: {} }] } });
    const pods = [controlled, alone, keeper, owned('plain')];
    const strict = sortPods(pods, { force: false, emptyDirData: false });
    assert.deepEqual(
      [
        names(strict.go),
        strict.stay.map(({ pod }) => pod.metadata.name),
        strict.against.map(({ pod }) => pod.metadata.name),
      ],
      [['plain'], ['daemon'], ['alone', 'keeper']],
    );
    assert.deepEqual(names(sortPods(pods, { force: true, emptyDirData: true }).go), ['alone', 'keeper', 'plain']);
  });
});
