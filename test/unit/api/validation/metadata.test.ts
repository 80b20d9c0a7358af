import fc from 'fast-check';
import assert from 'node:assert/strict';
import { invalid } from '../../../../lib/base/errors.ts';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import { copyJson, type Json, type MutableJson } from '../../../../lib/api/json.ts';
import { resources } from '../../../../lib/api/kinds.ts';
import { validateCreate, validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aNamespace, aPod, aService } from '../../../support/builders.ts';
import { kindSamples } from '../../../support/kind-samples.ts';
import { changed } from '../../../support/changed.ts';
import { expectCauses, rows, short } from './rows.ts';

const valid = kindSamples;

describe('api/validation: every kind', () => {
  for (const resource of resources)
    it(`finds nothing wrong with a good one of ${resource}, defaulted or not changed`, () => {
      const object = copyJson(valid[resource]) as MutableJson;
      applyDefaults(resource, object);
      assert.deepEqual(validateCreate(resource, object), []);
      assert.deepEqual(validateUpdate(resource, object, object), []);
      assert.deepEqual(validateStatusUpdate(resource, object, object), []);
    });

  it('never crashes on an odd shape', () => {
    const paths = fc.constantFrom(
      'metadata',
      'metadata.labels',
      'metadata.annotations',
      'metadata.ownerReferences',
      'metadata.finalizers',
      'metadata.name',
      'spec',
      'status',
      'data',
      'subsets',
      'involvedObject',
      'spec.containers',
      'spec.containers[0]',
      'spec.containers[0].ports',
      'spec.containers[0].env',
      'spec.containers[0].resources',
      'spec.containers[0].resources.limits',
      'spec.containers[0].livenessProbe',
      'spec.containers[0].lifecycle.preStop',
      'spec.containers[0].volumeMounts',
      'spec.volumes',
      'spec.volumes[0].configMap',
      'spec.tolerations',
      'spec.dnsConfig',
      'spec.securityContext',
      'spec.template',
      'spec.template.spec',
      'spec.selector',
      'spec.ports',
      'spec.ports[0].targetPort',
      'spec.sessionAffinityConfig',
      'spec.taints',
      'spec.podCIDRs',
      'status.conditions',
      'status.containerStatuses',
      'status.capacity',
      'status.addresses',
      'spec.activeDeadlineSeconds',
    );
    const odd = fc.oneof(fc.constantFrom(null, 0, -1, 1e99, '', 'x', ' ', true, {}, []), fc.jsonValue({ maxDepth: 2 }));
    fc.assert(
      fc.property(
        fc.constantFrom(...resources),
        fc.array(fc.tuple(paths, odd), { maxLength: 3 }),
        fc.boolean(),
        (resource, changes, defaulted) => {
          let object: MutableJson;
          try {
            object = changed(valid[resource], Object.fromEntries(changes));
          } catch {
            return; // two changes that contradict each other
          }
          if (defaulted) applyDefaults(resource, object);
          for (const cause of [
            ...validateCreate(resource, object),
            ...validateUpdate(resource, object, valid[resource]),
            ...validateUpdate(resource, valid[resource], object),
            ...validateStatusUpdate(resource, object, valid[resource]),
            ...validateStatusUpdate(resource, valid[resource], object),
          ]) {
            assert.equal(typeof cause.field, 'string');
            assert.match(
              cause.message,
              /^(Required|Invalid|Duplicate|Unsupported) value|^Forbidden: |^Too long: |^Not found: /,
            );
          }
        },
      ),
      { numRuns: 600 },
    );
  });

  it('keeps an error small, however much is wrong', () => {
    const labels = Object.fromEntries(
      Array.from({ length: 5000 }, (_, index) => [`bad key ${index}`, 'x'.repeat(5000)]),
    );
    const causes = validateCreate('pods', changed(aPod(), { 'metadata.labels': labels }));
    assert.ok(causes.length <= 64);
    assert.ok(invalid('Pod', 'web', causes).message.length < 64 * 600);
  });
});

describe('api/validation: metadata', () => {
  const owner = { apiVersion: 'v1', kind: 'ReplicationController', name: 'a', uid: 'u', controller: true };
  rows('pods', aPod(), [
    [{ 'metadata.name': 'a'.repeat(253) }],
    [{ 'metadata.name': 'a'.repeat(254) }, 'metadata.name', 'no more than 253 characters'],
    [{ 'metadata.name': 'web.example.com' }],
    [
      { 'metadata.name': 'Web' },
      'metadata.name',
      /^Invalid value: "Web": must be a lowercase RFC 1123 subdomain.*'W' at position 1/,
    ],
    [{ 'metadata.name': undefined }, 'metadata.name', 'Required value: name or generateName is required'],
    [{ 'metadata.generateName': 'web-' }],
    [{ 'metadata.generateName': 'Web-' }, 'metadata.generateName', 'RFC 1123'],
    [{ 'metadata.generateName': 'a'.repeat(300) }],
    [{ 'metadata.namespace': undefined }, 'metadata.namespace', 'Required value'],
    [{ 'metadata.namespace': 'a.b' }, 'metadata.namespace', 'RFC 1123 label'],
    [{ 'metadata.labels': { 'example.com/tier': 'web', a: '' } }],
    [{ 'metadata.labels': { ['a'.repeat(63)]: 'b'.repeat(63) } }],
    [{ 'metadata.labels': { ['a'.repeat(64)]: 'b' } }, 'metadata.labels', 'label key must be no more than 63'],
    [{ 'metadata.labels': { a: 'b'.repeat(64) } }, 'metadata.labels', 'value of label "a" must be no more than 63'],
    [{ 'metadata.labels': { [`${'a'.repeat(253)}/b`]: 'c' } }],
    [{ 'metadata.labels': { [`${'a'.repeat(254)}/b`]: 'c' } }, 'metadata.labels', 'no more than 253'],
    [
      { 'metadata.labels': { 'my tier': 'web' } },
      'metadata.labels',
      "label key must consist of letters, digits, '-', '_' and '.', with a letter or digit at both ends, such as 'MyName' or 'my.name' (a space at position 3 is not allowed)",
    ],
    [
      { 'metadata.labels': { tier: 'my web' } },
      'metadata.labels',
      /value of label "tier" must be empty or consist of .*\(a space at position 3 is not allowed\)/,
    ],
    [{ 'metadata.annotations': { 'Example.COM/Any': 'any value at all, ä \n' } }],
    [{ 'metadata.annotations': { 'a b': '' } }, 'metadata.annotations', 'annotation key'],
    [{ 'metadata.annotations': { a: 'x'.repeat(262_143) } }],
    [
      { 'metadata.annotations': { a: 'x'.repeat(262_144) } },
      'metadata.annotations',
      'Too long: may not be more than 262144 bytes, and this has 262145',
    ],
    [{ 'metadata.annotations': { a: 'ä'.repeat(131_072) } }, 'metadata.annotations', 'Too long'],
    [{ 'metadata.finalizers': ['example.com/a', 'orphan'] }],
    [{ 'metadata.finalizers': ['mine'] }, 'metadata.finalizers[0]', "such as 'example.com/mine'"],
    [{ 'metadata.finalizers': ['example.com/a b'] }, 'metadata.finalizers[0]', 'a space'],
    [
      { 'metadata.finalizers': ['orphan', 'foregroundDeletion'] },
      'metadata.finalizers',
      'both orphan and foregroundDeletion',
    ],
    [{ 'metadata.ownerReferences': [owner, { ...owner, controller: false }] }],
    [
      { 'metadata.ownerReferences': [owner, { ...owner, name: 'b' }] },
      'metadata.ownerReferences',
      'only one reference may have controller set to true',
    ],
    [{ 'metadata.ownerReferences': [{ ...owner, uid: '' }] }, 'metadata.ownerReferences[0].uid', 'Required value'],
    [
      { 'metadata.ownerReferences': [{ ...owner, apiVersion: undefined }] },
      'metadata.ownerReferences[0].apiVersion',
      'Required value',
    ],
    [
      { 'metadata.ownerReferences': [{ ...owner, kind: 'Event' }] },
      'metadata.ownerReferences[0]',
      'an Event may not own anything',
    ],
    [{ 'metadata.generation': -1 }, 'metadata.generation', 'greater than or equal to 0'],
  ]);
  rows('services', aService(), [
    [{ 'metadata.name': 'a'.repeat(63) }],
    [{ 'metadata.name': 'a'.repeat(64) }, 'metadata.name', '63'],
    [{ 'metadata.name': '1a' }, 'metadata.name', 'DNS-1035'],
  ]);
  rows('namespaces', aNamespace(), [
    [{ 'metadata.name': 'a'.repeat(63) }],
    [{ 'metadata.name': 'a.b' }, 'metadata.name', 'RFC 1123 label'],
    [{ 'metadata.namespace': 'x' }, 'metadata.namespace', 'Forbidden: not allowed on this type'],
  ]);
});

describe('api/validation: metadata on update', () => {
  const finalized = {
    'metadata.finalizers': ['example.com/a'],
    'metadata.deletionTimestamp': '2026-01-01T00:00:30Z',
    'metadata.deletionGracePeriodSeconds': 30,
  };
  const cases: readonly (readonly [next: Json, previous: Json, field?: string, message?: string])[] = [
    [{ 'metadata.labels': { a: 'b' } }, {}],
    [{ 'metadata.name': 'other' }, {}, 'metadata.name', 'field is immutable'],
    [{ 'metadata.namespace': 'other' }, {}, 'metadata.namespace', 'field is immutable'],
    [{ 'metadata.uid': 'other' }, {}, 'metadata.uid', 'field is immutable'],
    [{ 'metadata.uid': undefined, 'metadata.creationTimestamp': undefined }, {}],
    [{ 'metadata.creationTimestamp': '2020-01-01T00:00:00Z' }, {}, 'metadata.creationTimestamp', 'field is immutable'],
    [{ 'metadata.deletionTimestamp': '2020-01-01T00:00:00Z' }, {}, 'metadata.deletionTimestamp', 'field is immutable'],
    [
      { 'metadata.deletionGracePeriodSeconds': 1 },
      finalized,
      'metadata.deletionGracePeriodSeconds',
      'field is immutable',
    ],
    [
      { 'metadata.generation': 2 },
      { 'metadata.generation': 3 },
      'metadata.generation',
      'must not be lowered (it is 3)',
    ],
    [{ 'metadata.generation': 4 }, { 'metadata.generation': 3 }],
    [{ 'metadata.finalizers': ['example.com/a', 'example.com/b'] }, { 'metadata.finalizers': ['example.com/a'] }],
    [{ ...finalized, 'metadata.finalizers': [] }, finalized],
    [
      { ...finalized, 'metadata.finalizers': ['example.com/a', 'example.com/b'] },
      finalized,
      'metadata.finalizers',
      'found new finalizers ["example.com/b"]',
    ],
  ];
  for (const [next, previous, field, message] of cases)
    it(`${field === undefined ? 'takes' : 'refuses'} ${short(next)} after ${short(previous)}`, () =>
      expectCauses(validateUpdate('pods', changed(aPod(), next), changed(aPod(), previous)), field, message));
});
