import assert from 'node:assert/strict';
import fc from 'fast-check';
import { checkFields } from '../../../lib/api/codec/fields.ts';
import { decodeMessage, decodeObject, encodeMessage } from '../../../lib/api/codec/message.ts';
import { fieldsOf } from '../../../lib/api/codec/schema.ts';
import { schema } from '../../../lib/api/gen/schema.ts';
import { kinds, resources } from '../../../lib/api/kinds.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import { messageArbitrary } from './arbitrary.ts';

const kindsWithMessages = [...resources.map((resource) => kinds[resource].kind), 'Scale', 'Binding', 'PodTemplate'];

describe('codec: messages', () => {
  for (const kind of kindsWithMessages) {
    it(`carries every ${kind} to the wire and back`, () => {
      fc.assert(
        fc.property(messageArbitrary(kind), (object) => {
          assert.deepEqual(checkFields(kind, object), { unknown: [], causes: [] });
          assert.deepEqual(decodeMessage(kind, encodeMessage(kind, object)), object);
        }),
        { numRuns: 60 },
      );
    });
  }

  it('carries every member of every message, alone', () => {
    for (const type of Object.keys(schema)) {
      if (isEnvelope(type) || type.includes('.') || special.includes(type)) continue;
      fc.assert(
        fc.property(messageArbitrary(type, 2), (value) => {
          assert.deepEqual(decodeMessage(type, encodeMessage(type, value)), value);
        }),
        { numRuns: 8 },
      );
    }
  });

  const golden: { it: string; type: string; json: object; hex: string }[] = [
    {
      it: 'metadata with a label and a time',
      type: 'ObjectMeta',
      json: { name: 'a', creationTimestamp: '1970-01-01T00:01:40Z', labels: { k: 'v' } },
      // 1: "a", 8: Time{1: 100}, 11: {1: "k", 2: "v"}
      hex: '0a0161' + '42020864' + '5a06' + '0a016b' + '120176',
    },
    {
      it: 'a volume, whose source stands in a message of its own',
      type: 'Volume',
      json: { name: 'v', emptyDir: { sizeLimit: '1Gi' } },
      // 1: "v", 2: VolumeSource{2: EmptyDir{2: Quantity{1: "1Gi"}}}
      hex: '0a0176' + '1209' + '1207' + '1205' + '0a03314769',
    },
    {
      it: 'ports by number and by name, and a zero that counts',
      type: 'ServiceSpec',
      json: {
        ports: [
          { port: 80, targetPort: 'web' },
          { port: 0, targetPort: 8080 },
        ],
      },
      // ServicePort 3: port, 4: IntOrString{1: type, 2: intVal, 3: strVal}
      hex: '0a0b' + '1850' + '2207' + '0801' + '1a03776562' + '0a09' + '1800' + '2205' + '0800' + '10903f',
    },
    {
      it: 'numbers one by one, as Kubernetes v1 writes them',
      type: 'PodSecurityContext',
      json: { supplementalGroups: [1, 300], runAsNonRoot: false },
      hex: '1800' + '2001' + '20ac02',
    },
    { it: 'bytes of a secret', type: 'Secret', json: { data: { k: '/wA=' } }, hex: '1207' + '0a016b' + '1202ff00' },
    {
      it: 'a moment with microseconds before 1970',
      type: 'LeaseSpec',
      json: { renewTime: '1969-12-31T23:59:59.000005Z' },
      hex: '220e' + '08ffffffffffffffffff01' + '108827',
    },
  ];
  for (const { it: what, type, json, hex } of golden) {
    it(`writes ${what}`, () => {
      assert.equal(encodeMessage(type, json).toString('hex'), hex);
      assert.deepEqual(decodeMessage(type, Buffer.from(hex, 'hex')), json);
    });
  }

  it('reads packed numbers too', () => {
    assert.deepEqual(decodeMessage('PodSecurityContext', Buffer.from('220301ac02', 'hex')), {
      supplementalGroups: [1, 300],
    });
  });

  it('skips fields it does not know', () => {
    assert.deepEqual(decodeMessage('ObjectMeta', Buffer.from('0a0161' + 'fa0602ffff' + 'c03e05', 'hex')), {
      name: 'a',
    });
  });

  it('reads an empty time as none', () => {
    assert.deepEqual(decodeMessage('ObjectMeta', Buffer.from('4200', 'hex')), {});
  });

  it('leaves out nulls, empty lists and empty maps', () => {
    const pod = { metadata: { creationTimestamp: null, labels: {}, finalizers: [] }, spec: { volumes: null } };
    assert.deepEqual(decodeMessage('Pod', encodeMessage('Pod', pod)), { metadata: {}, spec: {} });
  });

  it('keeps quantities given as numbers', () => {
    const list = { limits: { cpu: 2 } };
    assert.deepEqual(decodeMessage('ResourceRequirements', encodeMessage('ResourceRequirements', list)), {
      limits: { cpu: '2' },
    });
  });

  it('says the kind of what it reads', () => {
    assert.deepEqual(decodeObject('Lease', Buffer.alloc(0)), { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' });
  });

  it('fills in what has no presence in envelopes', () => {
    assert.deepEqual(decodeMessage('WriteRequest', Buffer.alloc(0)), {
      operations: [],
      dry_run: false,
      field_validation: '',
    });
  });

  it('names the field that has the wrong type', () => {
    assert.throws(() => encodeMessage('ObjectMeta', { name: 7 }), /ObjectMeta\.name: expected a string, found 7/);
    assert.throws(() => encodeMessage('PodSpec', { containers: {} }), /PodSpec\.containers: expected a list/);
    assert.throws(() => encodeMessage('ObjectMeta', { creationTimestamp: 'now' }), /expected an RFC 3339 time/);
  });

  it('refuses bytes that are no such message, whatever they are', () => {
    const valid = encodeMessage('Pod', { metadata: { name: 'a' }, spec: { containers: [{ name: 'c' }] } });
    assert.throws(
      () => decodeMessage('Pod', valid.subarray(0, valid.length - 1)),
      (error) => hasReason(error, 'BadRequest'),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          decodeMessage('Pod', bytes);
        } catch (error) {
          assert.ok(hasReason(error, 'BadRequest'), String(error));
        }
      }),
      { numRuns: 500 },
    );
  });
});

/** Has, or holds, a message with scalars that are always there. */
const isEnvelope = (type: string): boolean =>
  (fieldsOf(type) ?? []).some((field) => field.implicit || field.type === 'bytes' || isEnvelope(field.type));

const special = ['Time', 'MicroTime', 'Duration', 'Quantity', 'IntOrString', 'FieldsV1'];
