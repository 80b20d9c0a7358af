import assert from 'node:assert/strict';
import type { Pod } from '../../../lib/api/objects.ts';
import { ApiError } from '../../../lib/base/errors.ts';
import type { Caller } from '../../../lib/client/client.ts';
import { VolumeError } from '../../../node-agent/volumes/driver.ts';
import { PodTokens } from '../../../node-agent/volumes/pod-tokens.ts';
import { aPod } from '../../support/builders.ts';
import { FakeClock } from '../../support/fake-clock.ts';

describe('node-agent/volumes/pod-tokens', () => {
  let clock: FakeClock;
  let tokens: PodTokens;
  let due: string[];
  let asked: unknown[];
  let failure: ApiError | undefined;
  const wish = { audience: undefined, expirationSeconds: 3_600 };
  const hourMs = 3_600_000;
  const pod: Pod = aPod({
    name: 'web',
    spec: {
      serviceAccountName: 'robot',
      volumes: [{ name: 'token', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } }],
    },
  });

  beforeEach(() => {
    clock = new FakeClock();
    due = [];
    asked = [];
    failure = undefined;
    const client: Caller = {
      async call<T>(service: string, method: string, request: object) {
        asked.push([service, method, request]);
        if (failure !== undefined) throw failure;
        return { status: { token: `token-${asked.length}` } } as T;
      },
    };
    tokens = new PodTokens({ client, clock, random: () => 0.5 }, (uid) => due.push(uid));
  });

  it('asks once for what is used again, and has a new one before it says so', async () => {
    assert.equal(await tokens.token(pod, wish), 'token-1');
    assert.equal(await tokens.token(pod, wish), 'token-1');
    const { uid, name } = pod.metadata;
    const spec = { expirationSeconds: 3_600, boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid } };
    const request = { namespace: 'default', name: 'robot', request: { spec } };
    assert.deepEqual(asked, [['troupe.v1.ServiceAccounts', 'CreateToken', request]]);
    await clock.advance(hourMs * 0.79);
    assert.deepEqual([due, asked.length], [[], 1]);
    await clock.advance(hourMs * 0.02);
    assert.deepEqual([due, asked.length], [[uid], 2]);
    assert.equal(await tokens.token(pod, wish), 'token-2');
    assert.equal(asked.length, 2);
  });

  it('gives each audience a token of its own, and renews the one that is due', async () => {
    await tokens.token(pod, wish);
    assert.equal(await tokens.token(pod, { audience: 'vault', expirationSeconds: 600 }), 'token-2');
    assert.equal(await tokens.token(pod, wish), 'token-1');
    await clock.advance(481_000);
    assert.deepEqual([due.length, asked.length], [1, 3]);
    assert.equal(await tokens.token(pod, { audience: 'vault', expirationSeconds: 600 }), 'token-3');
  });

  it('tries on while the API is away, without a word to the pod, which keeps a token that holds', async () => {
    await tokens.token(pod, wish);
    failure = new ApiError('ServiceUnavailable', 'away');
    await clock.advance(hourMs * 0.9);
    assert.deepEqual(due, []);
    assert.ok(asked.length > 10, 'every ten seconds');
    assert.equal(await tokens.token(pod, wish), 'token-1');
    failure = undefined;
    await clock.advance(10_000);
    assert.equal(due.length, 1);
    assert.notEqual(await tokens.token(pod, wish), 'token-1');
    failure = new ApiError('ServiceUnavailable', 'away');
    await clock.advance(hourMs * 1.1);
    await assert.rejects(tokens.token(pod, wish), /away/); // it has ended
  });

  it('tells what the API refuses as what is wrong with the volume', async () => {
    failure = new ApiError('NotFound', 'serviceaccounts "robot" not found');
    await assert.rejects(
      tokens.token(pod, wish),
      (error) =>
        error instanceof VolumeError && /account "robot": serviceaccounts "robot" not found/.test(error.message),
    );
  });

  it('renews soon after a start what was written before it, for pods that have tokens', async () => {
    tokens.resume(pod);
    tokens.resume(aPod({ name: 'plain' }));
    await clock.advance(5_000);
    assert.deepEqual([due, asked.length], [[pod.metadata.uid], 1]);
    assert.equal(await tokens.token(pod, wish), 'token-1');
  });

  it('renews nothing at a start while the API is away, and does so when it is back', async () => {
    failure = new ApiError('ServiceUnavailable', 'away');
    tokens.resume(pod);
    await clock.advance(60_000);
    assert.deepEqual(due, []);
    failure = undefined;
    await clock.advance(10_000);
    assert.equal(due.length, 1);
  });

  it('leaves no timer of a pod that is gone', async () => {
    await tokens.token(pod, wish);
    tokens.forget(pod.metadata.uid);
    assert.equal(clock.pending, 0);
  });
});
