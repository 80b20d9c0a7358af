import assert from 'node:assert/strict';
import { fromStatusDetails, isReason, toStatusDetails, toStatusObject } from '../../../lib/api/codec/status.ts';
import { conflict, invalid } from '../../../lib/base/errors.ts';

describe('codec: Status', () => {
  it('says what failed, why and where', () => {
    const cause = { field: 'spec.replicas', reason: 'FieldValueInvalid', message: 'must not be negative' } as const;
    assert.deepEqual(toStatusObject(invalid('ReplicationController', 'web', [cause])), {
      apiVersion: 'v1',
      kind: 'Status',
      metadata: {},
      status: 'Failure',
      message: 'ReplicationController "web" is invalid: spec.replicas: must not be negative',
      reason: 'Invalid',
      details: { kind: 'ReplicationController', name: 'web', causes: [cause] },
      code: 422,
    });
    assert.equal(toStatusObject(conflict('pods', 'a')).code, 409);
    assert.equal(toStatusObject(new TypeError('oh')).reason, 'InternalError');
  });

  it('gives the details back', () => {
    const details = { resource: 'pods', name: 'a', uid: 'u', retryAfterSeconds: 3 };
    assert.deepEqual(fromStatusDetails(toStatusDetails(details)), details);
    assert.deepEqual(fromStatusDetails(toStatusDetails({})), {});
    assert.ok(isReason('Conflict') && !isReason('conflict'));
  });
});
