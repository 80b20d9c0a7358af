import assert from 'node:assert/strict';
import fc from 'fast-check';
import { changeMessage, epochStart, newEpoch, readHeaders, type BusChange } from '../../../lib/bus/change.ts';
import { changeSubject, isPublished, resourceSubject, subjectMatches } from '../../../lib/bus/subjects.ts';

describe('bus/subjects', () => {
  const subjects = [
    { parts: { resource: 'pods', node: 'n.1', namespace: 'shop', name: 'web-1' }, want: 'c.v1.pods.n_1.shop.web-1' },
    { parts: { resource: 'pods', namespace: 'shop', name: 'web.1' }, want: 'c.v1.pods.-.shop.web_1' },
    { parts: { resource: 'nodes', name: 'node-1' }, want: 'c.v1.nodes.-.-.node-1' },
    { parts: { resource: 'services', namespace: '', name: 'x' }, want: 'c.v1.services.-.-.x' },
  ];
  for (const { parts, want } of subjects) {
    it(`names ${want}`, () => assert.equal(changeSubject('c', parts), want));
  }

  const matches: readonly (readonly [string, string, boolean])[] = [
    ['a.b', 'a.b', true],
    ['a.b', 'a.b.c', false],
    ['a.b.c', 'a.b', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.*.c', 'a.b.c', true],
    ['a.>', 'a', false],
    ['a.>', 'a.b.c', true],
    ['>', 'a', true],
    ['*.b', 'a.b', true],
  ];
  for (const [pattern, subject, want] of matches) {
    it(`${pattern} ${want ? 'means' : 'does not mean'} ${subject}`, () =>
      assert.equal(subjectMatches(pattern, subject), want));
  }

  it('lets whoever subscribes to a resource, or to one node, hear its changes', () =>
    fc.assert(
      fc.property(fc.constantFrom('pods', 'services'), fc.string({ minLength: 1 }), (resource, text) => {
        const name = `x${text.replaceAll(/[^a-z0-9.]/g, '-')}x`;
        const subject = changeSubject('c', { resource, node: name, namespace: 'd', name });
        assert.ok(subjectMatches(resourceSubject('c', resource), subject));
        assert.ok(subjectMatches(resourceSubject('c', resource, name), subject));
        assert.ok(!subjectMatches(resourceSubject('c', 'nodes'), subject));
      }),
    ));

  it('leaves out leases and secrets', () => {
    assert.deepEqual(['leases', 'secrets', 'pods', 'events'].map(isPublished), [false, false, true, true]);
  });
});

describe('bus/change', () => {
  const change: BusChange = {
    resource: 'pods',
    namespace: 'shop',
    name: 'web-1',
    type: 'modified',
    revision: 42,
    timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    json: Buffer.from('{"kind":"Pod"}'),
    previous: 40,
    resourcePrevious: 41,
    epoch: newEpoch(7, 'abc'),
  };

  it('is a CloudEvent whose headers say all that a subscriber needs', () => {
    const message = changeMessage('c', change);
    assert.deepEqual(message.headers, {
      'ce-specversion': '1.0',
      'ce-id': '42',
      'ce-type': 'troupe.v1.pods.modified',
      'ce-source': 'troupe/c',
      'ce-subject': 'shop/web-1',
      'ce-time': '2026-01-02T03:04:05.678Z',
      'content-type': 'application/json',
      'Nats-Msg-Id': '7-abc.42.pods.shop.web-1',
      'troupe-previous': '40',
      'troupe-resource-previous': '41',
      'troupe-epoch': '7-abc',
    });
    assert.deepEqual(readHeaders(message), {
      type: 'modified',
      key: 'shop/web-1',
      revision: 42,
      previous: 40,
      resourcePrevious: 41,
      epoch: '7-abc',
      timeMs: change.timeMs,
      omitted: false,
    });
    assert.equal(epochStart('7-abc'), 7);
  });

  it('is sent without its body when that is too large', () => {
    const message = changeMessage('c', { ...change, omitted: true });
    assert.equal(message.data.length, 0);
    assert.equal(readHeaders(message)?.omitted, true);
  });

  it('is not mistaken for any other message', () => {
    assert.equal(readHeaders({ subject: 'x', headers: {}, data: new Uint8Array() }), undefined);
    const { headers, ...rest } = changeMessage('c', change);
    for (const name of ['ce-id', 'ce-type', 'troupe-epoch', 'troupe-previous', 'troupe-resource-previous']) {
      assert.equal(
        readHeaders({ ...rest, headers: { ...headers, [name]: 'nonsense.x' } }) === undefined,
        name !== 'troupe-epoch',
        name,
      );
    }
  });
});
