import assert from 'node:assert/strict';
import type { ApiObject, OwnerReference } from '../../../lib/api/objects.ts';
import { formatOwner, parseOwner, referredOwner } from '../../../services/garbage-collector/owner-key.ts';
import { finished, reconcile, stripped, type Dependent } from '../../../services/garbage-collector/reconcile.ts';
import { withRemains } from '../../../services/garbage-collector/remains.ts';
import { aNamespace, anRc, aPod, epochMs } from '../../support/builders.ts';

const ref = (uid: string, options: Partial<OwnerReference> = {}): OwnerReference => ({
  apiVersion: 'v1',
  kind: 'ReplicationController',
  name: uid,
  uid,
  blockOwnerDeletion: true,
  ...options,
});
const owned = (name: string, owners: readonly OwnerReference[], deleted = false): Dependent => {
  const pod = aPod({ name, deleted });
  return { resource: 'pods', object: { ...pod, metadata: { ...pod.metadata, ownerReferences: owners } } };
};
const rc = (finalizers: string[], deleted = true): ApiObject => anRc({ name: 'rc', uid: 'rc', finalizers, deleted });

const rows: {
  it: string;
  owner: ApiObject | undefined;
  dependents: Dependent[];
  gone?: string[];
  remove?: string[];
  strip?: string[];
  finish?: string;
}[] = [
  { it: 'leaves the pods of a living owner', owner: rc([], false), dependents: [owned('a', [ref('rc')])] },
  {
    it: 'removes the pods of one that is gone',
    owner: undefined,
    dependents: [owned('a', [ref('rc')])],
    remove: ['a'],
  },
  { it: 'does not remove twice', owner: undefined, dependents: [owned('a', [ref('rc')], true)] },
  {
    it: 'leaves one with another living owner, without the dead one',
    owner: undefined,
    dependents: [owned('a', [ref('rc'), ref('x')])],
    strip: ['a'],
  },
  {
    it: 'removes one whose owners are all gone',
    owner: undefined,
    dependents: [owned('a', [ref('rc'), ref('x')])],
    gone: ['x'],
    remove: ['a'],
  },
  {
    it: 'makes orphans where asked to, then lets the owner go',
    owner: rc(['orphan']),
    dependents: [owned('a', [ref('rc')])],
    strip: ['a'],
    finish: 'orphan',
  },
  { it: 'lets an owner go that has none', owner: rc(['orphan']), dependents: [], finish: 'orphan' },
  {
    it: 'removes dependents first where asked to',
    owner: rc(['foregroundDeletion']),
    dependents: [owned('a', [ref('rc')])],
    remove: ['a'],
  },
  { it: 'and waits for them', owner: rc(['foregroundDeletion']), dependents: [owned('a', [ref('rc')], true)] },
  {
    it: 'but not for those that do not block',
    owner: rc(['foregroundDeletion']),
    dependents: [owned('a', [ref('rc', { blockOwnerDeletion: false })])],
    remove: ['a'],
    finish: 'foregroundDeletion',
  },
  {
    it: 'and lets it go when they are gone',
    owner: rc(['foregroundDeletion']),
    dependents: [],
    finish: 'foregroundDeletion',
  },
  { it: 'leaves an owner to the finalizers of others', owner: rc(['theirs']), dependents: [owned('a', [ref('rc')])] },
];

describe('garbage-collector/reconcile', () => {
  for (const row of rows) {
    it(row.it, () => {
      const plan = reconcile('rc', row.owner, row.dependents, (uid) => row.gone?.includes(uid) === true);
      const names = (all: readonly Dependent[]): string[] => all.map(({ object }) => object.metadata.name);
      const got = { remove: names(plan.remove), strip: names(plan.strip), finish: plan.finish };
      assert.deepEqual(got, { remove: row.remove ?? [], strip: row.strip ?? [], finish: row.finish });
    });
  }

  it('takes off one reference and one finalizer only', () => {
    const { object } = owned('a', [ref('rc'), ref('x')]);
    assert.deepEqual(stripped(object, 'rc').metadata.ownerReferences, [ref('x')]);
    assert.equal('ownerReferences' in stripped(stripped(object, 'rc'), 'x').metadata, false);
    assert.deepEqual(finished(rc(['theirs', 'orphan']), 'orphan').metadata.finalizers, ['theirs']);
  });

  it('names an owner so that it can be found again', () => {
    const id = referredOwner('default', ref('rc'));
    assert.deepEqual(id, { resource: 'replicationcontrollers', key: 'default/rc', uid: 'rc' });
    assert.deepEqual(parseOwner(formatOwner({ resource: 'pods', key: 'default/a', uid: 'u' })), {
      resource: 'pods',
      key: 'default/a',
      uid: 'u',
    });
    assert.equal(referredOwner('default', ref('n', { kind: 'Node', name: 'n1' }))?.key, 'n1');
    assert.equal(
      referredOwner('default', ref('d', { apiVersion: 'apps/v1', kind: 'Deployment' }))?.resource,
      'deployments',
    );
    assert.equal(referredOwner('default', ref('x', { apiVersion: 'apps/v1', kind: 'StatefulSet' })), undefined);
  });
});

describe('garbage-collector/remains', () => {
  it('says what a namespace waits for, once', () => {
    const remains = [
      { resource: 'pods', count: 2, finalizers: new Map([['hold', 1]]) },
      { resource: 'secrets', count: 0, finalizers: new Map() },
    ];
    const namespace = withRemains(aNamespace({ deleted: true }), remains, [], epochMs);
    const said = namespace.status.conditions?.map(({ type, status, message }) => `${type} ${status} ${message}`);
    assert.deepEqual(said, [
      'NamespaceDeletionContentFailure False All content successfully deleted, may be waiting on finalization',
      'NamespaceContentRemaining True Some resources are remaining: pods has 2 resource instances',
      'NamespaceFinalizersRemaining True Some content in the namespace has finalizers remaining: hold in 1 resource instances',
    ]);
    assert.equal(withRemains(namespace, remains, [], epochMs + 5_000), namespace);
  });
});
