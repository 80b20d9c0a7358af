import assert from 'node:assert/strict';
import { aDoor, closeDoors, rc, type ADoor } from './a-door.ts';

const rcs = '/api/v1/namespaces/default/replicationcontrollers';
interface Rc {
  readonly metadata: { readonly name: string; readonly uid: string; readonly resourceVersion: string };
  readonly spec: { readonly replicas: number };
}

describe('apiserver/rest: objects', () => {
  let door: ADoor;
  beforeEach(async () => {
    door = await aDoor();
  });
  afterEach(closeDoors);

  it('creates, gets, replaces and deletes', async () => {
    const made = await door.ask<Rc>('POST', rcs, rc());
    assert.equal(made.status, 201);
    const got = await door.ask<Rc>('GET', `${rcs}/web`);
    assert.deepEqual(got.json, made.json);
    const put = await door.ask<Rc>('PUT', `${rcs}/web`, { ...got.json, spec: { ...got.json.spec, replicas: 5 } });
    assert.equal(put.json.spec.replicas, 5);
    const stale = await door.ask('PUT', `${rcs}/web`, got.json);
    assert.deepEqual([stale.status, stale.json['reason']], [409, 'Conflict']);
    const gone = await door.ask('DELETE', `${rcs}/web`, { propagationPolicy: 'Background' });
    assert.deepEqual(gone.json, {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Success',
      details: { name: 'web', uid: made.json.metadata.uid, kind: 'replicationcontrollers' },
    });
    assert.equal((await door.ask('GET', `${rcs}/web`)).status, 404);
  });

  const refused: readonly (readonly [
    what: string,
    method: string,
    path: string,
    body: unknown,
    status: number,
    reason: string,
  ])[] = [
    ['an object that is not there', 'GET', `${rcs}/none`, undefined, 404, 'NotFound'],
    ['a resource that is none', 'GET', '/api/v1/namespaces/default/widgets', undefined, 404, 'NotFound'],
    ['a resource of another group', 'GET', '/apis/apps/v1/namespaces/default/pods', undefined, 404, 'NotFound'],
    ['a path that is none', 'GET', '/nothing/here', undefined, 404, 'NotFound'],
    ['a subresource that is none', 'GET', `${rcs}/web/colour`, undefined, 404, 'NotFound'],
    ['a method that is none', 'PUT', rcs, rc(), 405, 'MethodNotAllowed'],
    ['a body that is no JSON', 'POST', rcs, '{', 400, 'BadRequest'],
    ['no body', 'POST', rcs, undefined, 400, 'BadRequest'],
    ['an object of another kind', 'POST', rcs, { apiVersion: 'v1', kind: 'Pod' }, 400, 'BadRequest'],
    ['an object that breaks rules', 'POST', rcs, rc('Not_A_Name'), 422, 'Invalid'],
    ['a namespace that is not there', 'POST', '/api/v1/namespaces/none/replicationcontrollers', rc(), 404, 'NotFound'],
    ['a selector that cannot be read', 'GET', `${rcs}?labelSelector=a%20b%20c`, undefined, 400, 'BadRequest'],
    ['a field that cannot be selected by', 'GET', `${rcs}?fieldSelector=spec.colour=red`, undefined, 400, 'BadRequest'],
    ['a limit that is none', 'GET', `${rcs}?limit=few`, undefined, 400, 'BadRequest'],
    ['a dry run of another sort', 'POST', `${rcs}?dryRun=Some`, rc(), 400, 'BadRequest'],
    ['a strictness that is none', 'POST', `${rcs}?fieldValidation=Hard`, rc(), 400, 'BadRequest'],
    ['the old protobuf of nothing', 'DELETE', `${rcs}/none`, undefined, 404, 'NotFound'],
  ];
  for (const [what, method, path, body, status, reason] of refused)
    it(`refuses ${what} with ${status} and a Status`, async () => {
      const { json, ...reply } = await door.ask(method, path, body);
      assert.deepEqual(
        [reply.status, json['kind'], json['status'], json['code'], json['reason']],
        [status, 'Status', 'Failure', status, reason],
      );
      assert.ok(String(json['message']).length > 10);
    });

  it('takes its own times back in whatever form', async () => {
    const door = await aDoor();
    const maps = '/api/v1/namespaces/default/configmaps';
    type Made = { metadata: { creationTimestamp: string } };
    const { json } = await door.ask<Made>('POST', maps, { metadata: { name: 'timed' } });
    const is = json.metadata.creationTimestamp;
    const again = (creationTimestamp: string) =>
      door.ask<Made>('PUT', `${maps}/timed`, { metadata: { name: 'timed', creationTimestamp }, data: { a: '1' } });
    const kept = await again(new Date(is).toISOString());
    assert.equal(kept.status, 200);
    assert.equal(kept.json.metadata.creationTimestamp, is);
    assert.equal((await again('2020-01-01T00:00:00Z')).status, 422);
  });

  it('warns of fields that it does not know, refuses them when asked to, and keeps quiet when asked to', async () => {
    const odd = { ...rc(), spec: { ...(rc() as { spec: object }).spec, colour: 'red' } };
    const warned = await door.ask('POST', `${rcs}?dryRun=All`, odd);
    assert.equal(warned.status, 201);
    assert.equal(warned.headers.get('warning'), '299 - "unknown field \\"spec.colour\\""');
    const strict = await door.ask('POST', `${rcs}?fieldValidation=Strict`, odd);
    assert.match(String(strict.json['message']), /strict decoding error: unknown field "spec.colour"/);
    const quiet = await door.ask('POST', `${rcs}?fieldValidation=Ignore`, odd);
    assert.equal(quiet.headers.get('warning'), null);
  });

  it('writes nothing in a dry run', async () => {
    assert.equal((await door.ask('POST', `${rcs}?dryRun=All`, rc())).status, 201);
    assert.equal((await door.ask('GET', `${rcs}/web`)).status, 404);
  });

  it('takes YAML', async () => {
    const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: "1"\n';
    const made = await door.ask('POST', '/api/v1/namespaces/default/configmaps', yaml, {
      'content-type': 'application/yaml',
    });
    assert.deepEqual([made.status, made.json['data']], [201, { a: '1' }]);
  });

  it('refuses a body of another type, naming those it takes', async () => {
    const { status, json } = await door.ask('POST', rcs, 'x=1', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    assert.equal(status, 415);
    assert.match(
      String(json['message']),
      /application\/json, application\/yaml and application\/vnd.kubernetes.protobuf/,
    );
  });

  it('refuses an answer that it cannot write', async () => {
    const { status, json } = await door.ask('GET', rcs, undefined, { accept: 'application/vnd.kubernetes.protobuf' });
    assert.deepEqual([status, json['reason']], [406, 'NotAcceptable']);
  });

  it('pages a list, each page of the same state', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await door.ask('POST', rcs, rc(name));
    interface Page {
      readonly metadata: {
        readonly continue?: string;
        readonly remainingItemCount?: number;
        readonly resourceVersion: string;
      };
      readonly items: readonly Rc[];
    }
    const first = (await door.ask<Page>('GET', `${rcs}?limit=2`)).json;
    await door.ask('DELETE', `${rcs}/c`, { propagationPolicy: 'Background' });
    const second = (await door.ask<Page>('GET', `${rcs}?limit=3&continue=${first.metadata.continue ?? ''}`)).json;
    assert.equal(first.metadata.remainingItemCount, 3);
    assert.deepEqual(
      [...first.items, ...second.items].map(({ metadata }) => metadata.name),
      ['a', 'b', 'c', 'd', 'e'],
    );
    assert.equal(first.metadata.resourceVersion, second.metadata.resourceVersion);
  });

  it('scales, and tells of the scale', async () => {
    await door.ask('POST', rcs, rc());
    const patch = { 'content-type': 'application/merge-patch+json' };
    const scaled = await door.ask<Rc>('PATCH', `${rcs}/web/scale`, { spec: { replicas: 7 } }, patch);
    assert.deepEqual([scaled.status, scaled.json.spec.replicas], [200, 7]);
    const scale = await door.ask('GET', `${rcs}/web/scale`);
    assert.deepEqual([scale.json['kind'], scale.json['apiVersion']], ['Scale', 'autoscaling/v1']);
  });

  for (const [type, body] of [
    ['application/merge-patch+json', { spec: { replicas: 9 } }],
    [
      'application/strategic-merge-patch+json',
      { spec: { replicas: 9, template: { spec: { containers: [{ name: 'main', tty: true }] } } } },
    ],
    ['application/json-patch+json', [{ op: 'replace', path: '/spec/replicas', value: 9 }]],
    ['application/apply-patch+yaml', { ...rc('web', { replicas: 9 }) }],
  ] as const)
    it(`patches by ${type}`, async () => {
      await door.ask('POST', rcs, rc());
      const { status, json } = await door.ask<Rc>('PATCH', `${rcs}/web?fieldManager=me&force=true`, body, {
        'content-type': type,
      });
      assert.deepEqual([status, json.spec.replicas], [200, 9], JSON.stringify(json));
    });

  it('makes by apply what is not there, and names conflicts', async () => {
    const type = { 'content-type': 'application/apply-patch+yaml' };
    assert.equal((await door.ask('PATCH', `${rcs}/web?fieldManager=me`, rc(), type)).status, 201);
    const other = await door.ask('PATCH', `${rcs}/web?fieldManager=you`, rc('web', { replicas: 3 }), type);
    assert.equal(other.status, 409);
    assert.match(String(other.json['message']), /conflict with "me" using v1: .spec.replicas/);
    const nobody = await door.ask('PATCH', `${rcs}/web`, rc(), type);
    assert.match(String(nobody.json['message']), /fieldManager is required/);
  });

  it('deletes many by their labels', async () => {
    for (const name of ['a', 'b'])
      await door.ask('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name, labels: { x: name } } });
    assert.equal((await door.ask('DELETE', '/api/v1/namespaces/default/configmaps?labelSelector=x%3Da')).status, 200);
    const left = await door.ask<{ items: readonly Rc[] }>('GET', '/api/v1/namespaces/default/configmaps');
    assert.deepEqual(
      left.json.items.map(({ metadata }) => metadata.name),
      ['b'],
    );
  });

  it('binds and evicts pods', async () => {
    const pods = '/api/v1/namespaces/default/pods';
    await door.ask('POST', pods, { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } });
    assert.equal(
      (await door.ask('POST', `${pods}/p/binding`, { metadata: { name: 'p' }, target: { name: 'n1' } })).status,
      201,
    );
    const bound = await door.ask<{ spec: { nodeName: string } }>('GET', `${pods}/p`);
    assert.equal(bound.json.spec.nodeName, 'n1');
    assert.equal(
      (
        await door.ask('POST', `${pods}/p/eviction`, {
          metadata: { name: 'p' },
          deleteOptions: { gracePeriodSeconds: 0 },
        })
      ).status,
      201,
    );
    assert.equal((await door.ask('GET', `${pods}/p`)).status, 404);
  });

  it('says of itself whether it is well, without asking who wants to know', async () => {
    const checks = [
      { name: 'store', why: 'the disk is full' },
      { name: 'bus', why: undefined },
    ];
    const locked = await aDoor({ checks: () => checks });
    const said = async (path: string): Promise<unknown[]> => {
      const { status, json } = await locked.ask('GET', path);
      return [status, json];
    };
    assert.deepEqual(await said('/livez'), [200, 'ok']);
    assert.deepEqual(await said('/readyz'), [500, 'store: the disk is full']);
    assert.deepEqual(await said('/readyz?exclude=store'), [200, 'ok']);
    assert.deepEqual(await said('/readyz/bus'), [200, 'ok']);
    assert.deepEqual(await said('/readyz?verbose'), [
      500,
      '[+]ping ok\n[-]store failed: the disk is full\n[+]bus ok\nreadyz check failed\n',
    ]);
    assert.equal((await locked.ask('GET', '/readyz/nothing')).status, 404);
  });
});
