import assert from 'node:assert/strict';
import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import type { TokenRequest } from '../../lib/api/objects.ts';
import { hasReason, type Reason } from '../../lib/base/errors.ts';
import type { Client } from '../../lib/client/client.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { DoorFixture, pod } from '../support/grpc-door.ts';

describe('gRPC door: tokens', () => {
  let fixture: DoorFixture;
  let token: string;
  const clients: Client[] = [];

  beforeEach(async () => {
    fixture = await DoorFixture.open();
    for (const name of ['own', 'other']) await fixture.api.create('pods', pod(name));
    token = await tokenOf('own');
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await fixture.close();
  });

  async function tokenOf(name: string): Promise<string> {
    const request: TokenRequest = { spec: { boundObjectRef: { kind: 'Pod', name } } };
    const reply = await fixture.api.call<TokenRequest>('troupe.v1.ServiceAccounts', 'CreateToken', {
      ...{ namespace: 'default', name: 'default', request },
    });
    return reply.status?.token ?? '';
  }
  /** The client of a program in a pod. */
  function inPod(withToken: string): Client {
    const client = newClient({ address: fixture.address, timeoutMs: 10_000, token: () => withToken });
    clients.push(client);
    return client;
  }
  const refused = (work: Promise<unknown>, reason: Reason, message: RegExp): Promise<void> =>
    assert.rejects(work, (error) => hasReason(error, reason) && message.test(String(error)));

  it('lets a pod read itself and say something of itself, and nothing else', async () => {
    const client = inPod(token);
    assert.equal((await client.get('pods', 'default/own'))?.metadata.name, 'own');
    const annotations = { 'troupe.dev/status-text': 'warming up' };
    const written = await client.patch('pods', 'default/own', { metadata: { annotations } });
    assert.equal(written.metadata.annotations?.['troupe.dev/status-text'], 'warming up');
    await refused(client.get('pods', 'default/other'), 'Forbidden', /own pod "own"/);
    await refused(client.patch('pods', 'default/other', { metadata: { annotations } }), 'Forbidden', /Objects\/Write/);
    await refused(
      client.patch('pods', 'default/own', { metadata: { labels: { a: 'b' } } }),
      'Forbidden',
      /annotations/,
    );
    await refused(client.list('pods'), 'Forbidden', /Objects\/List/);
    await refused(client.list('secrets'), 'Forbidden', /Objects\/List/);
    await refused(client.delete('pods', 'default/own'), 'Forbidden', /Objects\/Write/);
    const watch = client.watch('pods', { fromRevision: fixture.at(1) }, new AbortController().signal);
    await refused(
      (async () => {
        for await (const _ of watch) return;
      })(),
      'Forbidden',
      /Objects\/Watch/,
    );
  });

  it('says what is wrong with a token, on any door', async () => {
    await refused(inPod('x').get('pods', 'default/own'), 'Unauthorized', /no JWT/);
    await fixture.api.delete('pods', 'default/own', { gracePeriodSeconds: 0 });
    await refused(inPod(token).get('pods', 'default/own'), 'Unauthorized', /pod "own" of the token is gone/);
    const other = new Metadata();
    other.set('authorization', 'Basic abc');
    const call = fixture.call('troupe.v1.Pods', 'Get', { namespace: 'default', name: 'other' }, other);
    await assert.rejects(call, (error: ServiceError) => {
      assert.equal(error.code, status.UNAUTHENTICATED);
      return /must be "Bearer <token>"/.test(error.details);
    });
  });

  it('wants a token at the door for pods', async () => {
    await fixture.door.stop();
    await fixture.reopen({ tokenRequired: true });
    await refused(fixture.api.get('pods', 'default/own'), 'Unauthorized', /this door wants a token/);
    await refused(tokenOf('own'), 'Unauthorized', /this door wants a token/);
    assert.equal((await inPod(token).get('pods', 'default/own'))?.metadata.name, 'own');
  });
});
