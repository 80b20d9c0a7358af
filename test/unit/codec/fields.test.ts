import assert from 'node:assert/strict';
import { checkFields } from '../../../lib/api/codec/fields.ts';

const pod = (spec: object, rest: object = {}): object => ({ apiVersion: 'v1', kind: 'Pod', spec, ...rest });

describe('codec: shape of objects', () => {
  const unknown: [string, object, string[]][] = [
    ['a member of the object', pod({}, { foo: 1 }), ['foo']],
    ['one in a list', pod({ containers: [{ name: 'a' }, { name: 'b', bar: 1 }] }), ['spec.containers[1].bar']],
    ['a wrong capital', pod({ NodeName: 'n' }), ['spec.NodeName']],
    [
      'one that the wire has and JSON has not',
      pod({ volumes: [{ volumeSource: {} }] }),
      ['spec.volumes[0].volumeSource'],
    ],
    [
      'nothing of the inlined members',
      pod({ volumes: [{ name: 'v', emptyDir: {} }], containers: [{ livenessProbe: { exec: {} } }] }),
      [],
    ],
    ['nothing of map keys', pod({ nodeSelector: { anything: 'x' } }), []],
    ['one inside an inlined message', pod({ volumes: [{ emptyDir: { size: 1 } }] }), ['spec.volumes[0].emptyDir.size']],
  ];
  for (const [what, value, paths] of unknown) {
    it(`finds ${what}`, () => {
      assert.deepEqual(checkFields('Pod', value), { unknown: paths, causes: [] });
    });
  }

  const wrong: [object, string, string][] = [
    [pod([]), 'spec', 'must be an object, not a list'],
    [pod({ containers: {} }), 'spec.containers', 'must be a list, not an object'],
    [pod({ nodeName: 7 }), 'spec.nodeName', 'must be a string, not 7; write it in quotes'],
    [pod({ hostNetwork: 'yes' }), 'spec.hostNetwork', 'must be true or false, not "yes"'],
    [pod({ priority: 1.5 }), 'spec.priority', 'must be an integer from -2147483648 to 2147483647, not 1.5'],
    [pod({ priority: 2 ** 31 }), 'spec.priority', 'must be an integer from -2147483648 to 2147483647, not 2147483648'],
    [pod({ activeDeadlineSeconds: '5' }), 'spec.activeDeadlineSeconds', 'must be an integer, not "5"'],
    [
      pod({ nodeSelector: { 'a.b/c': true } }),
      'spec.nodeSelector[a.b/c]',
      'must be a string, not true; write it in quotes',
    ],
    [
      pod({ containers: [{ resources: { limits: { cpu: {} } } }] }),
      'spec.containers[0].resources.limits.cpu',
      'must be a quantity such as "250m" or 2, not an object',
    ],
    [
      pod({}, { metadata: { creationTimestamp: 'today' } }),
      'metadata.creationTimestamp',
      'must be a time such as "2026-01-31T12:00:00Z", not "today"',
    ],
    [
      pod({}, { metadata: { creationTimestamp: '2026-02-31T99:00:00Z' } }),
      'metadata.creationTimestamp',
      'must be a time such as "2026-01-31T12:00:00Z", not "2026-02-31T99:00:00Z"',
    ],
    [
      pod({ containers: [{ livenessProbe: { httpGet: { port: 1.5 } } }] }),
      'spec.containers[0].livenessProbe.httpGet.port',
      'must be an integer or a string, not 1.5',
    ],
  ];
  for (const [value, field, message] of wrong) {
    it(`says that ${field} ${message}`, () => {
      assert.deepEqual(checkFields('Pod', value), {
        unknown: [],
        causes: [{ field, reason: 'FieldValueTypeInvalid', message }],
      });
    });
  }

  it('takes base64 with line ends, and no other text', () => {
    assert.deepEqual(checkFields('Secret', { data: { a: 'aGVs\nbG8=', b: '' } }).causes, []);
    assert.equal(checkFields('Secret', { data: { a: 'not base64!' } }).causes.length, 1);
  });

  it('takes null for anything, and kinds without a schema whole', () => {
    assert.deepEqual(checkFields('Pod', pod({ containers: null }, { metadata: null })), { unknown: [], causes: [] });
    assert.deepEqual(checkFields('Widget', { spec: { size: 'L' } }), { unknown: [], causes: [] });
    assert.equal(checkFields('Pod', 'text').causes.length, 1);
  });
});
