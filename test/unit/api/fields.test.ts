import assert from 'node:assert/strict';
import { fieldValue, matchesFields, parseFieldSelector, selectableFields } from '../../../lib/api/fields.ts';
import { resources, type Resource } from '../../../lib/api/kinds.ts';
import { hasReason, messageOf } from '../../../lib/base/errors.ts';
import { aNode, anEvent, anRc, aPod, aService } from '../../support/builders.ts';

describe('api/fields', () => {
  it('reads requirements', () => {
    assert.deepEqual(parseFieldSelector('pods', ''), []);
    assert.deepEqual(parseFieldSelector('pods', 'spec.nodeName=n1, status.phase!=Failed,metadata.name==a'), [
      { path: 'spec.nodeName', operator: '=', value: 'n1' },
      { path: 'status.phase', operator: '!=', value: 'Failed' },
      { path: 'metadata.name', operator: '=', value: 'a' },
    ]);
    assert.deepEqual(parseFieldSelector('events', String.raw`reason=a\,b\=c\\`), [
      { path: 'reason', operator: '=', value: String.raw`a,b=c` + '\\' },
    ]);
    assert.deepEqual(parseFieldSelector('pods', 'spec.nodeName='), [
      { path: 'spec.nodeName', operator: '=', value: '' },
    ]);
  });

  const refused: readonly (readonly [Resource, string, RegExp])[] = [
    ['pods', 'spec.foo=1', /^field label not supported: spec\.foo \(pods can be selected by metadata\.name, /],
    ['configmaps', 'spec.nodeName=1', /field label not supported: spec\.nodeName/],
    ['pods', 'spec.nodeName', /can't understand "spec\.nodeName"/],
    ['pods', 'a in (b)', /can't understand/],
    ['pods', '=b', /can't understand/],
  ];
  for (const [resource, text, why] of refused)
    it(`refuses ${resource} by ${text}`, () =>
      assert.throws(
        () => parseFieldSelector(resource, text),
        (error) => hasReason(error, 'BadRequest') && why.test(messageOf(error)),
      ));

  it('gives values as text', () => {
    const pod = aPod({ name: 'a', nodeName: 'n1', ip: '10.0.0.1' });
    const values: readonly (readonly [Resource, object, string, string])[] = [
      ['pods', pod, 'metadata.name', 'a'],
      ['pods', pod, 'metadata.namespace', 'default'],
      ['pods', pod, 'spec.nodeName', 'n1'],
      ['pods', aPod(), 'spec.nodeName', ''],
      ['pods', pod, 'spec.hostNetwork', 'false'],
      ['pods', aPod({ spec: { hostNetwork: true } }), 'spec.hostNetwork', 'true'],
      ['pods', pod, 'status.phase', 'Running'],
      ['pods', pod, 'status.podIPs', '10.0.0.1'],
      ['nodes', aNode(), 'spec.unschedulable', 'false'],
      ['nodes', aNode({ unschedulable: true }), 'spec.unschedulable', 'true'],
      ['replicationcontrollers', anRc({ status: { replicas: 3 } }), 'status.replicas', '3'],
      ['services', aService(), 'spec.clusterIP', '10.96.0.20'],
      ['events', anEvent({ component: 'scheduler' }), 'source', 'scheduler'],
      ['events', anEvent(), 'involvedObject.name', 'web-1'],
      ['pods', {}, 'status.phase', ''],
    ];
    for (const [resource, object, path, want] of values) assert.equal(fieldValue(resource, object, path), want, path);
  });

  it('selects by all requirements', () => {
    const pod = aPod({ nodeName: 'n1' });
    const select = (text: string): boolean => matchesFields('pods', parseFieldSelector('pods', text), pod);
    assert.deepEqual(
      ['', 'spec.nodeName=n1', 'spec.nodeName!=n1', 'spec.nodeName=n1,status.phase=Failed', 'status.podIP='].map(
        select,
      ),
      [true, true, false, false, true],
    );
  });

  it('knows name and namespace of every kind', () => {
    for (const resource of resources)
      assert.deepEqual(selectableFields(resource).slice(0, 2), ['metadata.name', 'metadata.namespace']);
  });
});
