import assert from 'node:assert/strict';
import { createSign, generateKeyPairSync } from 'node:crypto';
import type { ServiceAccount } from '../../../../lib/api/objects.ts';
import { hasReason, isApiError, type Reason } from '../../../../lib/base/errors.ts';
import { checkAccess } from '../../../../services/apiserver/identity/access.ts';
import { admitPod } from '../../../../services/apiserver/identity/admission.ts';
import { apiAudience, newIdentities, type Identities } from '../../../../services/apiserver/identity/identities.ts';
import {
  newKeyPem,
  readToken,
  signToken,
  tokenKey,
  type Claims,
} from '../../../../services/apiserver/identity/token.ts';
import { newRegistry, type RunningRegistry } from '../../../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../../../services/apiserver/store/memory.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { RegistryClient } from '../../../support/registry-client.ts';

const refused = (work: Promise<unknown>, reason: Reason, message: RegExp): Promise<void> =>
  assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), String(error));
    assert.match(String(error), message);
    return true;
  });

const claims: Claims = {
  ...{ iss: apiAudience, aud: [apiAudience], sub: 's', iat: 1, nbf: 1, exp: 2, jti: 'j' },
  'kubernetes.io': {
    namespace: 'n',
    serviceaccount: { name: 'a', uid: 'u1' },
    pod: { name: 'p', uid: 'u2' },
  },
};

describe('apiserver/identity: tokens', () => {
  const key = tokenKey(newKeyPem());
  const token = signToken(claims, key);

  it('says what was signed', () => {
    assert.deepEqual(readToken(token, key), claims);
    assert.equal(JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).alg, 'ES256');
  });

  const [head = '', body = '', signature = ''] = token.split('.');
  const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const cases: readonly [it: string, token: string, why: RegExp][] = [
    ['nothing', '', /no JWT/],
    ['two parts', `${head}.${body}`, /no JWT/],
    ['four parts', `${token}.x`, /no JWT/],
    ['what is too long', 'x'.repeat(9000), /no JWT/],
    ['what is no JSON', `e30x.${body}.${signature}`, /cannot be read/],
    ['another body', `${head}.${encoded({ ...claims, sub: 'other' })}.${signature}`, /signature .* wrong/],
    ['no signature at all', `${encoded({ alg: 'none' })}.${body}.x`, /not signed with ES256/],
    ['a key that it brings along', signToken(claims, tokenKey(newKeyPem())), /a key that this cluster does not have/],
    ['a signature of the right key id by another', forged(head, body), /signature .* wrong/],
  ];
  for (const [what, text, why] of cases) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => readToken(text, key),
        (error) => isApiError(error) && error.reason === 'Unauthorized' && why.test(error.message),
      );
    });
  }

  function forged(first: string, second: string): string {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const signed = createSign('sha256').update(`${first}.${second}`);
    return `${first}.${second}.${signed.sign({ key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
  }

  it('takes no key of another kind', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    assert.throws(() => tokenKey(privateKey.export({ type: 'pkcs8', format: 'pem' }) as string), /P-256/);
  });
});

describe('apiserver/identity: who calls', () => {
  let store: MemoryStore;
  let registry: RunningRegistry;
  let client: RegistryClient;
  let clock: FakeClock;
  let identities: Identities;
  let uid: string;

  beforeEach(async () => {
    clock = new FakeClock();
    store = new MemoryStore({ clock });
    registry = await newRegistry({ store, clock, reachable: true });
    client = new RegistryClient(registry);
    identities = newIdentities({ registry, clock });
    uid = (await makePod('web')).metadata.uid;
  });
  afterEach(async () => {
    await registry.close();
    await store.close();
  });

  const makePod = (name: string, spec: object = {}) =>
    client.create('pods', {
      metadata: { name, namespace: 'default' },
      spec: { containers: [{ name: 'main', image: 'i' }], ...spec },
    });
  const bound = (name = 'web', more: object = {}) => ({
    boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name },
    ...more,
  });
  const tokenFor = async (spec: object = bound()): Promise<string> =>
    (await identities.createToken('default', 'default', { spec })).status?.token ?? '';

  it('gives a pod a token and knows it by it', async () => {
    const { status, spec } = await identities.createToken('default', 'default', { spec: bound() });
    assert.equal(status?.expirationTimestamp, '2026-01-01T01:00:00Z');
    assert.deepEqual(spec, bound());
    assert.deepEqual(await identities.identify(status?.token ?? ''), {
      user: 'system:serviceaccount:default:default',
      namespace: 'default',
      pod: { name: 'web', uid },
    });
  });

  it('gives an account a token of its own, which ends with it', async () => {
    await client.create('serviceaccounts', { metadata: { name: 'robot', namespace: 'default' } });
    const { status } = await identities.createToken('default', 'robot', {});
    const token = status?.token ?? '';
    const identity = await identities.identify(token);
    assert.deepEqual(identity, { user: 'system:serviceaccount:default:robot', namespace: 'default' });
    const forbidden = (error: unknown): boolean =>
      hasReason(error, 'Forbidden') && /robot may ask who it is and what it may do, nothing else/.test(String(error));
    assert.throws(() => {
      checkAccess(identity, 'troupe.v1.Pods/Get', { namespace: 'default', name: '' });
    }, forbidden);
    await client.delete('serviceaccounts', 'default/robot');
    await refused(identities.identify(token), 'Unauthorized', /service account "robot" of the token is gone/);
  });

  it('gives every namespace the certificate by which its pods know the API, and mends it', async () => {
    const rooted = await newRegistry({ store, clock, reachable: true, rootCertificate: 'PEM\n1' });
    const other = new RegistryClient(rooted);
    const certificateIn = async (namespace: string) =>
      (await other.get('configmaps', `${namespace}/kube-root-ca.crt`))?.data?.['ca.crt'];
    await other.create('namespaces', { metadata: { name: 'side' } });
    assert.deepEqual(await Promise.all(['default', 'side'].map(certificateIn)), ['PEM\n1', 'PEM\n1']);
    await other.delete('configmaps', 'side/kube-root-ca.crt');
    const spec = { containers: [{ name: 'main', image: 'i' }] };
    const pod = await other.create('pods', { metadata: { name: 'p', namespace: 'side' }, spec });
    assert.equal(await certificateIn('side'), 'PEM\n1');
    assert.match(JSON.stringify(pod.spec.volumes), /"kube-root-ca.crt","items":\[\{"key":"ca.crt","path":"ca.crt"\}\]/);
    await rooted.close();
    const renewed = await newRegistry({ store, clock, reachable: true, rootCertificate: 'PEM\n2' });
    const found = await new RegistryClient(renewed).get('configmaps', 'default/kube-root-ca.crt');
    assert.equal(found?.data?.['ca.crt'], 'PEM\n2');
    await renewed.close();
  });

  it('knows the tokens of another apiserver of the cluster, by the key in the store', async () => {
    const token = await tokenFor();
    const second = newIdentities({ registry, clock });
    assert.equal((await second.identify(token)).pod?.name, 'web');
    assert.equal((await client.get('secrets', 'kube-system/service-account-key'))?.type, 'troupe.dev/token-key');
  });

  it('ends tokens with their time, their pod and their account', async () => {
    const token = await tokenFor();
    await clock.advance(3_600_000 + 4_000);
    await identities.identify(token); // clocks may differ a little
    await clock.advance(2_000);
    await refused(identities.identify(token), 'Unauthorized', /ended at 2026-01-01T01:00:00Z.*read it again/);

    const next = await tokenFor();
    await client.delete('pods', 'default/web', { gracePeriodSeconds: 0 });
    await refused(identities.identify(next), 'Unauthorized', /pod "web" of the token is gone/);
    await makePod('web');
    await refused(identities.identify(next), 'Unauthorized', /is gone/); // one of the same name is another

    const third = await tokenFor();
    await client.delete('serviceaccounts', 'default/default');
    await refused(identities.identify(third), 'Unauthorized', /service account "default" of the token is gone/);
  });

  it('takes no token that is meant for somebody else', async () => {
    const token = await tokenFor(bound('web', { audiences: ['vault'] }));
    await refused(identities.identify(token), 'Unauthorized', /meant for vault, not for this API/);
  });

  it('gives no token where there is no pod, another, or no account', async () => {
    await refused(tokenFor(bound('absent')), 'NotFound', /pods "absent"/);
    await refused(tokenFor({ boundObjectRef: { kind: 'Pod', name: 'web', uid: 'another' } }), 'NotFound', /pods "web"/);
    await refused(identities.createToken('default', 'robot', { spec: bound() }), 'NotFound', /serviceaccounts "robot"/);
    await client.create('serviceaccounts', { metadata: { name: 'robot', namespace: 'default' } });
    await refused(
      identities.createToken('default', 'robot', { spec: bound() }),
      'Forbidden',
      /another service account/,
    );
  });

  it('names every mistake of a request', async () => {
    await refused(tokenFor({ boundObjectRef: { kind: 'Pod' } }), 'Invalid', /spec\.boundObjectRef: must name the pod/);
    await refused(tokenFor(bound('web', { expirationSeconds: 60 })), 'Invalid', /60: must be from 600 to 86400/);
    await refused(tokenFor(bound('web', { audiences: [''] })), 'Invalid', /spec\.audiences/);
  });

  it('makes the default account with its namespace, and anew for the next pod where it was deleted', async () => {
    await client.create('namespaces', { metadata: { name: 'shop' } });
    assert.ok(await client.get('serviceaccounts', 'shop/default'));
    await client.delete('serviceaccounts', 'default/default');
    assert.equal((await makePod('next')).spec.serviceAccountName, 'default');
    assert.ok(await client.get('serviceaccounts', 'default/default'));
    for (const name of ['kube-system', 'default']) assert.ok(await client.get('serviceaccounts', `${name}/default`));
  });

  it('gives the volume to pods that want it, and keeps it in a replacement that does not name it', async () => {
    const pod = await client.get('pods', 'default/web');
    const [volume] = pod?.spec.volumes ?? [];
    assert.match(volume?.name ?? '', /^kube-api-access-[a-z0-9]{5}$/);
    const own = {
      metadata: { name: 'web', namespace: 'default' },
      spec: { containers: [{ name: 'main', image: 'j' }] },
    };
    const written = await client.update('pods', own as never);
    assert.deepEqual(written.spec.volumes, pod?.spec.volumes);
    assert.deepEqual(written.spec.containers[0]?.volumeMounts, pod?.spec.containers[0]?.volumeMounts);
    assert.equal((await makePod('quiet', { automountServiceAccountToken: false })).spec.volumes, undefined);
    const account = await client.get('serviceaccounts', 'default/default');
    assert.ok(account);
    await client.update('serviceaccounts', {
      ...account,
      automountServiceAccountToken: false,
    } satisfies ServiceAccount);
    assert.equal((await makePod('silent')).spec.volumes, undefined);
    assert.equal((await makePod('asking', { automountServiceAccountToken: true })).spec.volumes?.length, 1);
  });
});

describe('apiserver/identity: what a pod may do', () => {
  const identity = {
    user: 'system:serviceaccount:default:default',
    namespace: 'default',
    pod: { name: 'web', uid: 'u' },
  };
  const own = { namespace: 'default', name: 'web' };
  const patch = (value: unknown): string => JSON.stringify(value);
  const write = (...operations: readonly object[]): object => ({ operations });
  const operation = (json: unknown, more: object = {}): object => ({
    ...{ verb: 'patch', resource: 'pods', ...own, subresource: '', json: Buffer.from(JSON.stringify(json)) },
    ...more,
  });
  const says = { metadata: { annotations: { 'troupe.dev/status-text': 'warming up', old: null } } };

  const allowed: readonly [it: string, method: string, request: object][] = [
    ['reads itself', 'troupe.v1.Pods/Get', own],
    ['reads itself as JSON', 'troupe.v1.Objects/Get', { resource: 'pods', ...own, subresource: '' }],
    [
      'reads itself in a batch',
      'troupe.v1.Objects/GetMany',
      { objects: [{ resource: 'pods', ...own, subresource: '' }] },
    ],
    ['annotates itself', 'troupe.v1.Pods/Patch', { ...own, patch: patch(says) }],
    [
      'annotates itself if it is as it was',
      'troupe.v1.Pods/Patch',
      { ...own, patch: patch({ metadata: { ...says.metadata, resourceVersion: '5' } }) },
    ],
    ['annotates itself in a batch', 'troupe.v1.Objects/Write', write(operation(says), operation(says))],
    ['asks whether the server lives', 'grpc.health.v1.Health/Check', {}],
  ];
  for (const [what, method, request] of allowed) {
    it(what, () => {
      checkAccess(identity, method, request);
    });
  }

  const refusals: readonly [it: string, method: string, request: object][] = [
    ['another pod', 'troupe.v1.Pods/Get', { ...own, name: 'db' }],
    ['one of its name elsewhere', 'troupe.v1.Pods/Get', { ...own, namespace: 'other' }],
    ['a secret of its name', 'troupe.v1.Objects/Get', { resource: 'secrets', ...own }],
    [
      'itself and another',
      'troupe.v1.Objects/GetMany',
      {
        objects: [
          { resource: 'pods', ...own },
          { resource: 'pods', ...own, name: 'db' },
        ],
      },
    ],
    ['a batch of nothing', 'troupe.v1.Objects/GetMany', {}],
    ['lists', 'troupe.v1.Pods/List', {}],
    ['watches', 'troupe.v1.Objects/Watch', { resource: 'pods' }],
    ['deleting itself', 'troupe.v1.Pods/Delete', own],
    ["another's annotations", 'troupe.v1.Pods/Patch', { ...own, name: 'db', patch: patch(says) }],
    ['its labels', 'troupe.v1.Pods/Patch', { ...own, patch: patch({ metadata: { labels: { a: 'b' } } }) }],
    [
      'its labels beside annotations',
      'troupe.v1.Pods/Patch',
      { ...own, patch: patch({ metadata: { ...says.metadata, labels: {} } }) },
    ],
    ['its spec', 'troupe.v1.Pods/Patch', { ...own, patch: patch({ ...says, spec: {} }) }],
    ['its status', 'troupe.v1.Pods/Patch', { ...own, subresource: 'status', patch: patch(says) }],
    ['all annotations at once', 'troupe.v1.Pods/Patch', { ...own, patch: patch({ metadata: { annotations: null } }) }],
    ['a patch that is none', 'troupe.v1.Pods/Patch', { ...own, patch: 'x' }],
    [
      'a patch that says it twice',
      'troupe.v1.Pods/Patch',
      { ...own, patch: '{"metadata":{"annotations":{}},"metadata":{"labels":{}}}' },
    ],
    ['a batch with one thing more', 'troupe.v1.Objects/Write', write(operation(says), operation(says, { name: 'db' }))],
    ['a batch that creates', 'troupe.v1.Objects/Write', write(operation(says, { verb: 'create' }))],
    ['a batch of nothing to write', 'troupe.v1.Objects/Write', {}],
    ['tokens', 'troupe.v1.ServiceAccounts/CreateToken', own],
    ['what others use', 'troupe.v1.Metrics/ListPods', {}],
    ['methods yet to come', 'troupe.v1.Pods/Exec', own],
  ];
  for (const [what, method, request] of refusals) {
    it(`is refused ${what}`, () => {
      assert.throws(
        () => {
          checkAccess(identity, method, request);
        },
        (error) => hasReason(error, 'Forbidden') && String(error).includes(method),
      );
    });
  }

  describe('of an account that may label pods', () => {
    const labelling = { ...identity, grants: ['label-pods'] } as const;
    const other = { ...own, name: 'db' };
    const labels = { metadata: { labels: { app: null }, annotations: { a: 'b' }, resourceVersion: '5' } };
    const rows: readonly [it: string, method: string, request: object, isAllowed: boolean][] = [
      ['reads another pod', 'troupe.v1.Pods/Get', other, true],
      ['lists those of its namespace', 'troupe.v1.Pods/List', { namespace: own.namespace }, true],
      ['watches them', 'troupe.v1.Objects/Watch', { resource: 'pods', namespace: own.namespace }, true],
      ['labels another', 'troupe.v1.Pods/Patch', { ...other, patch: patch(labels) }, true],
      ['labels in a batch', 'troupe.v1.Objects/Write', write(operation(labels, { name: 'db' })), true],
      ['lists all', 'troupe.v1.Pods/List', {}, false],
      ['lists those of another', 'troupe.v1.Objects/List', { resource: 'pods', namespace: 'other' }, false],
      ['lists secrets', 'troupe.v1.Objects/List', { resource: 'secrets', namespace: own.namespace }, false],
      ['labels elsewhere', 'troupe.v1.Pods/Patch', { ...other, namespace: 'other', patch: patch(labels) }, false],
      [
        'changes owners',
        'troupe.v1.Pods/Patch',
        { ...other, patch: patch({ metadata: { ownerReferences: [] } }) },
        false,
      ],
      ['takes all labels', 'troupe.v1.Pods/Patch', { ...other, patch: patch({ metadata: { labels: null } }) }, false],
      ['changes a spec', 'troupe.v1.Pods/Patch', { ...other, patch: patch({ ...labels, spec: {} }) }, false],
      ['writes a status', 'troupe.v1.Pods/Patch', { ...other, subresource: 'status', patch: patch(labels) }, false],
      ['ends one', 'troupe.v1.Pods/Delete', other, false],
      ['labels a service', 'troupe.v1.Services/Patch', { ...other, patch: patch(labels) }, false],
    ];
    for (const [what, method, request, isAllowed] of rows)
      it(`${isAllowed ? '' : 'is refused: '}${what}`, () => {
        const check = (): void => {
          checkAccess(labelling, method, request);
        };
        if (isAllowed) check();
        else assert.throws(check, (error) => hasReason(error, 'Forbidden'));
        assert.throws(() => {
          checkAccess(identity, method, request);
        }, 'without the grant all of it is refused');
      });
  });

  it('lends the pull secrets of its account to a pod that names none', () => {
    const account = { imagePullSecrets: [{ name: 'registry' }] };
    const admitted = (spec: object): unknown => {
      const pod = { spec: structuredClone(spec) as { imagePullSecrets?: unknown } };
      admitPod(pod, { reachable: false, hasRoot: false, account: () => account, random: () => 0 });
      return pod.spec.imagePullSecrets;
    };
    assert.deepEqual(admitted({}), [{ name: 'registry' }]);
    assert.deepEqual(admitted({ imagePullSecrets: [{ name: 'own' }] }), [{ name: 'own' }]);
  });

  it('gives no volume where pods cannot reach the API, nor twice', () => {
    const container = (mountPath?: string): object => ({
      name: 'c',
      volumeMounts: mountPath === undefined ? [] : [{ name: 'own', mountPath }],
    });
    const admitted = (
      spec: object,
      reachable = true,
    ): { volumes?: readonly unknown[]; serviceAccountName?: string } => {
      const pod = { spec: structuredClone(spec) };
      admitPod(pod, { reachable, hasRoot: true, account: () => undefined, random: () => 0 });
      return pod.spec;
    };
    assert.deepEqual(admitted({ containers: [container()] }, false).volumes, undefined);
    assert.equal(admitted({ containers: [container()] }, false).serviceAccountName, 'default');
    assert.equal(admitted({ containers: [container()], serviceAccount: 'robot' }).serviceAccountName, 'robot');
    assert.equal(
      admitted({ containers: [container('/var/run/secrets/kubernetes.io/serviceaccount/')] }).volumes,
      undefined,
    );
    assert.equal(admitted({ containers: [container()] }).volumes?.length, 1);
  });
});
