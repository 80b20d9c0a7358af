import assert from 'node:assert/strict';
import { Metadata, status } from '@grpc/grpc-js';
import { ApiError, type Reason } from '../../../lib/base/errors.ts';
import { fromStatus, toStatus } from '../../../lib/client/codes.ts';

const cause = (
  index: number,
  message = 'must be so',
): { field: string; reason: 'FieldValueInvalid'; message: string } => ({
  field: `spec.containers[${index}].name`,
  reason: 'FieldValueInvalid',
  message,
});

const reasons: [Reason, status][] = [
  ['BadRequest', status.INVALID_ARGUMENT],
  ['Unauthorized', status.UNAUTHENTICATED],
  ['Forbidden', status.PERMISSION_DENIED],
  ['NotFound', status.NOT_FOUND],
  ['MethodNotAllowed', status.UNIMPLEMENTED],
  ['AlreadyExists', status.ALREADY_EXISTS],
  ['Conflict', status.ABORTED],
  ['Expired', status.OUT_OF_RANGE],
  ['RequestEntityTooLarge', status.RESOURCE_EXHAUSTED],
  ['UnsupportedMediaType', status.INVALID_ARGUMENT],
  ['Invalid', status.INVALID_ARGUMENT],
  ['TooManyRequests', status.RESOURCE_EXHAUSTED],
  ['InternalError', status.INTERNAL],
  ['ServiceUnavailable', status.UNAVAILABLE],
  ['Timeout', status.DEADLINE_EXCEEDED],
];

describe('client: errors on the wire', () => {
  for (const [reason, code] of reasons) {
    it(`carries ${reason} as ${status[code]} and back`, () => {
      const details = { resource: 'pods', name: 'wéb', uid: 'u-1', retryAfterSeconds: 7, causes: [cause(0), cause(1)] };
      const wire = toStatus(new ApiError(reason, 'Straße "x" is wrong', details));
      assert.equal(wire.code, code);
      const back = fromStatus(wire);
      assert.deepEqual([back.reason, back.message, back.details], [reason, 'Straße "x" is wrong', details]);
    });
  }

  it('makes InternalError of anything else', () => {
    const back = fromStatus(toStatus(new TypeError('undefined is not a function')));
    assert.deepEqual([back.reason, back.message], ['InternalError', 'undefined is not a function']);
  });

  it('takes the reason from the code where there are no details, or others', () => {
    const bare = fromStatus({ code: status.UNAVAILABLE, details: 'no connection', metadata: new Metadata() });
    assert.deepEqual([bare.reason, bare.message], ['ServiceUnavailable', 'no connection']);
    const metadata = new Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from('not a message'));
    assert.equal(fromStatus({ code: status.NOT_FOUND, details: 'x', metadata }).reason, 'NotFound');
  });

  it('stays within what HTTP/2 headers hold', () => {
    const causes = Array.from({ length: 500 }, (_, index) => cause(index, 'm'.repeat(100)));
    const wire = toStatus(new ApiError('Invalid', 'm'.repeat(50_000), { causes }));
    const [bytes] = wire.metadata.get('grpc-status-details-bin');
    assert.ok(bytes instanceof Buffer && bytes.length < 9_000, `${bytes?.length} bytes`);
    assert.ok(wire.details.length < 3_000);
    assert.ok((fromStatus(wire).details.causes?.length ?? 0) > 20);
  });
});
