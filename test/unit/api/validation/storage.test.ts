import { validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import type { Json } from '../../../../lib/api/json.ts';
import type { BuiltIn } from '../../../../lib/api/kinds.ts';
import { aClaim, aClass, aVolume } from '../../../support/storage-builders.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, short } from './rows.ts';

/** A change to the stored object, and the rule that it breaks. */
type Step = readonly [next: Json, previous: Json, field?: string, message?: string];

function updates(resource: BuiltIn, valid: object, list: readonly Step[]): void {
  for (const [next, previous, field, message] of list)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () => {
      const [now, then] = [changed(valid, next), changed(valid, previous)];
      for (const object of [now, then]) applyDefaults(resource, object);
      expectCauses(validateUpdate(resource, now, then), field, message);
    });
}

describe('api/validation: persistent volumes', () => {
  const at = 'spec.nodeAffinity.required.nodeSelectorTerms';
  const requirement = `${at}[0].matchExpressions[0]`;
  rows('persistentvolumes', aVolume({ node: 'n1' }), [
    [{}],
    [{ 'spec.local': undefined, 'spec.hostPath': { path: '/srv' } }],
    [{ 'spec.local': undefined, 'spec.nfs': { server: 's', path: '/e' } }],
    [{ 'spec.local': undefined, 'spec.gcePersistentDisk': { pdName: 'd' } }],
    [{ 'spec.local': undefined }, 'spec', 'must specify a volume type'],
    [{ 'spec.hostPath': { path: '/srv' } }, 'spec.hostPath', 'may not specify more than 1 volume type'],
    [{ 'spec.local': { path: 'srv' } }, 'spec.local.path', 'absolute path'],
    [{ 'spec.local': { path: '/a/../b' } }, 'spec.local.path', "without '..'"],
    [{ 'spec.nodeAffinity': undefined }, 'spec.nodeAffinity', 'names the node it is on'],
    [{ [at]: [] }, at, 'at least one'],
    [{ [`${requirement}.operator`]: 'Near' }, `${requirement}.operator`, 'Unsupported value'],
    [{ [`${requirement}.values`]: [] }, `${requirement}.values`, 'must be specified'],
    [{ 'spec.capacity': {} }, 'spec.capacity[storage]', 'Required value'],
    [{ 'spec.capacity.storage': '0' }, 'spec.capacity[storage]', 'greater than zero'],
    [{ 'spec.capacity.storage': 'much' }, 'spec.capacity[storage]', 'must be a number'],
    [{ 'spec.capacity.cpu': '1' }, 'spec.capacity', 'supported values: "storage"'],
    [{ 'spec.accessModes': [] }, 'spec.accessModes', 'at least 1'],
    [{ 'spec.accessModes': ['Any'] }, 'spec.accessModes[0]', 'Unsupported value'],
    [{ 'spec.accessModes': ['ReadWriteOncePod', 'ReadOnlyMany'] }, 'spec.accessModes', 'ReadWriteOncePod'],
    [
      { 'spec.persistentVolumeReclaimPolicy': 'Recycle' },
      'spec.persistentVolumeReclaimPolicy',
      'supported values: "Retain", "Delete"',
    ],
    [{ 'spec.volumeMode': 'Block' }, 'spec.volumeMode', 'supported values: "Filesystem"'],
    [{ 'spec.claimRef': { namespace: 'default', name: 'a' } }],
    [{ 'spec.claimRef': { name: 'a' } }, 'spec.claimRef.namespace', 'Required value'],
    [{ 'metadata.namespace': 'default' }, 'metadata.namespace', 'not allowed on this type'],
  ]);
  updates('persistentvolumes', aVolume({ node: 'n1' }), [
    [{ 'spec.persistentVolumeReclaimPolicy': 'Delete' }, {}],
    [{ 'spec.claimRef': { namespace: 'default', name: 'a' } }, {}],
    [{ 'spec.local.path': '/other' }, {}, 'spec.local', 'immutable after creation'],
    [{ [`${requirement}.values`]: ['n2'] }, {}, 'spec.nodeAffinity', 'immutable'],
  ]);
});

describe('api/validation: persistent volume claims', () => {
  rows('persistentvolumeclaims', aClaim(), [
    [{}],
    [{ 'spec.storageClassName': undefined }],
    [{ 'spec.storageClassName': 'Local' }, 'spec.storageClassName', 'RFC 1123'],
    [{ 'spec.accessModes': undefined }, 'spec.accessModes', 'at least 1'],
    [{ 'spec.resources': undefined }, 'spec.resources.requests[storage]', 'Required value'],
    [{ 'spec.selector': { matchLabels: { a: 'b' } } }],
    [{ 'spec.selector': { matchLabels: { 'a b': 'c' } } }, 'spec.selector.matchLabels', 'a space'],
    [
      { 'spec.selector': { matchExpressions: [{ key: 'a', operator: 'In' }] } },
      'spec.selector.matchExpressions[0].values',
      'must be specified',
    ],
    [{ 'spec.volumeMode': 'Block' }, 'spec.volumeMode', 'supported values: "Filesystem"'],
    [{ 'spec.dataSource': { kind: 'VolumeSnapshot', name: 's' } }, 'spec.dataSource', 'not supported'],
  ]);
  const [a, b] = [{ 'spec.volumeName': 'a' }, { 'spec.volumeName': 'b' }];
  updates('persistentvolumeclaims', aClaim(), [
    [a, {}],
    [b, a, 'spec.volumeName', 'it is "a"'],
    [{}, a, 'spec.volumeName', 'immutable'],
    [{ 'spec.storageClassName': 'local' }, { 'spec.storageClassName': undefined }],
    [{ 'spec.storageClassName': 'local' }, {}, 'spec.storageClassName', 'immutable'],
    [{ 'spec.resources.requests.storage': '2Gi' }, {}, 'spec.resources', 'immutable'],
    [{ 'metadata.annotations': { a: 'b' } }, {}],
  ]);
  it('refuses a phase that there is not', () => {
    const next = changed(aClaim(), { 'status.phase': 'Happy' });
    expectCauses(validateStatusUpdate('persistentvolumeclaims', next, aClaim()), 'status.phase', 'Unsupported value');
  });
});

describe('api/validation: storage classes', () => {
  rows('storageclasses', aClass(), [
    [{}],
    [{ reclaimPolicy: undefined, volumeBindingMode: undefined }],
    [{ provisioner: undefined }, 'provisioner', 'Required value'],
    [{ provisioner: 'a b' }, 'provisioner', 'a space'],
    [{ volumeBindingMode: 'Later' }, 'volumeBindingMode', 'WaitForFirstConsumer'],
    [{ parameters: { fsType: 'ext4' } }],
    [{ parameters: { fsType: 'fat' } }, 'parameters[fsType]', 'supported values: "ext4"'],
    [{ parameters: { speed: 'high' } }, 'parameters[speed]', 'Unsupported value'],
    [{ provisioner: 'example.com/fast', parameters: { speed: 'high' }, allowVolumeExpansion: true }],
    [{ allowVolumeExpansion: true }, 'allowVolumeExpansion', 'do not grow'],
  ]);
  updates('storageclasses', aClass(), [
    [{ 'metadata.annotations': { a: 'b' } }, {}],
    [{ reclaimPolicy: 'Retain' }, {}, 'reclaimPolicy', 'forbidden'],
    [{ provisioner: 'example.com/fast' }, {}, 'provisioner', 'forbidden'],
  ]);
});
