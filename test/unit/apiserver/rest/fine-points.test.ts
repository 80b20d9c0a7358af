import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { request } from 'node:http';
import { legacyWatch } from '../../../../services/apiserver/rest/path.ts';
import { aDoor, closeDoors, rc, type ADoor } from './a-door.ts';

const maps = '/api/v1/namespaces/default/configmaps';
const rcs = '/api/v1/namespaces/default/replicationcontrollers';
const merge = { 'content-type': 'application/merge-patch+json' };

interface Managed {
  readonly metadata: { readonly managedFields?: readonly { readonly manager: string; readonly operation: string }[] };
}
interface Table {
  readonly kind: string;
  readonly columnDefinitions: readonly { readonly name: string }[];
  readonly rows: readonly { readonly cells: readonly string[] }[];
}

describe('apiserver/rest: fine points that clients rely on', () => {
  let door: ADoor;
  beforeEach(async () => {
    door = await aDoor();
  });
  afterEach(closeDoors);

  it('names the program by its User-Agent as the manager of fields, unless the request says another', async () => {
    const apply = { 'content-type': 'application/apply-patch+yaml' };
    const made = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { a: '1' } };
    await door.ask('PATCH', `${maps}/a?fieldManager=owner`, made, apply);
    await door.ask('PATCH', `${maps}/a`, { data: { b: '1' } }, { ...merge, 'user-agent': 'robot/1.0 (linux)' });
    await door.ask(
      'PATCH',
      `${maps}/a?fieldManager=named`,
      { data: { c: '1' } },
      { ...merge, 'user-agent': 'robot/1.0' },
    );
    const { json } = await door.ask<Managed>('GET', `${maps}/a`);
    assert.deepEqual(
      json.metadata.managedFields?.map(({ manager, operation }) => `${manager} ${operation}`),
      ['owner Apply', 'robot Update', 'named Update'],
    );
    const nobody = await door.ask('PATCH', `${maps}/a`, made, apply);
    assert.deepEqual([nobody.status, nobody.json['reason']], [400, 'BadRequest']);
  });

  it('shows a Scale as a table of its own', async () => {
    await door.ask('POST', rcs, rc());
    const accept = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    const { json } = await door.ask<Table>('GET', `${rcs}/web/scale`, undefined, accept);
    assert.deepEqual(
      json.columnDefinitions.map(({ name }) => name),
      ['Name', 'Desired', 'Available', 'Age'],
    );
    assert.deepEqual(json.rows[0]?.cells.slice(0, 3), ['web', '2', '0']);
  });

  it('writes with line breaks where that is asked for', async () => {
    await door.ask('POST', maps, { metadata: { name: 'a' } });
    const pretty = await fetch(`${door.url}${maps}/a?pretty=true`);
    assert.match(await pretty.text(), /^\{\n {2}"[\s\S]*\n\}\n$/);
    const plain = await fetch(`${door.url}${maps}/a`);
    assert.ok(!(await plain.text()).includes('\n'));
  });

  it('tells methods and forms that are not served apart', async () => {
    await door.ask('POST', maps, { metadata: { name: 'a' } });
    for (const method of ['HEAD', 'OPTIONS', 'PROPFIND'])
      assert.equal(await statusOf(method, `${maps}/a`), 405, method);
    assert.equal(await statusOf('GET', `${maps}/a`, { accept: 'text/html' }), 406);
    assert.equal(await statusOf('GET', `${maps}/a`, { accept: 'text/html, */*' }), 200);
    assert.equal((await door.ask('POST', maps, '<a/>', { 'content-type': 'text/xml' })).status, 415);
    assert.equal((await door.ask('PATCH', `${maps}/a`, {}, { 'content-type': 'application/json' })).status, 415);
  });

  it('compresses large answers for those who take it, small ones never', async () => {
    for (const name of ['a', 'b'])
      await door.ask('POST', maps, { metadata: { name }, data: { x: name.repeat(200_000) } });
    const large = await bytesOf(maps, { 'accept-encoding': 'gzip' });
    assert.equal(large.encoding, 'gzip');
    assert.ok(large.body.length < 20_000, `${large.body.length} bytes`);
    assert.equal((JSON.parse(gunzipSync(large.body).toString()) as { items: unknown[] }).items.length, 2);
    assert.equal((await bytesOf(maps, {})).encoding, undefined);
    assert.equal((await bytesOf('/version', { 'accept-encoding': 'gzip' })).encoding, undefined);
  });

  it('answers for metadata alone, in lists and watches, bookmarks too', async () => {
    await door.ask('POST', maps, { metadata: { name: 'a' }, data: { secret: 'x' } });
    const accept = { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' };
    const { json } = await door.ask<{ kind: string; items: readonly Record<string, unknown>[] }>(
      'GET',
      maps,
      undefined,
      accept,
    );
    assert.equal(json.kind, 'PartialObjectMetadataList');
    assert.deepEqual(Object.keys(json.items[0] ?? {}), ['kind', 'apiVersion', 'metadata']);
    const query =
      'watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1';
    const one = { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' };
    const lines = (await (await fetch(`${door.url}${maps}?${query}`, { headers: one })).text()).trim().split('\n');
    const kindsTold = lines.map((line) => JSON.parse(line) as { type: string; object: { kind: string } });
    assert.deepEqual(kindsTold.map(({ type, object }) => `${type} ${object.kind}`).slice(0, 2), [
      'ADDED PartialObjectMetadata',
      'BOOKMARK PartialObjectMetadata',
    ]);
  });

  it('watches by the old paths too', async () => {
    for (const name of ['a', 'b']) await door.ask('POST', maps, { metadata: { name } });
    const told = async (path: string): Promise<readonly string[]> =>
      (await (await fetch(`${door.url}${path}?timeoutSeconds=1`)).text())
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { object: { metadata: { name: string } } }).object.metadata.name);
    const [all, one] = await Promise.all([
      told('/api/v1/watch/namespaces/default/configmaps'),
      told('/api/v1/watch/namespaces/default/configmaps/b'),
    ]);
    assert.deepEqual(all, ['a', 'b']);
    assert.deepEqual(one, ['b']);
    for (const path of [
      '/api/v1/namespaces/watch/pods',
      '/api/v1/watch',
      '/apis/watch/v1/things',
      '/api/v1/watch/pods/a/log',
    ])
      assert.equal(legacyWatch(path, new URLSearchParams()), undefined, path);
  });

  it('acts for somebody else when the administrator says so, and with his rights alone', async () => {
    const as = (user: string, more: Record<string, string> = {}): Record<string, string> => ({
      'impersonate-user': user,
      ...more,
    });
    const robot = as('system:serviceaccount:default:robot');
    assert.equal((await door.ask('GET', maps, undefined, robot)).status, 403);
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const who = await door.ask<{ status: { userInfo: object } }>(
      'POST',
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      review,
      as('ann', { 'impersonate-group': 'staff' }),
    );
    assert.deepEqual(who.json.status.userInfo, { username: 'ann', groups: ['staff', 'system:authenticated'] });
    assert.equal((await door.ask('GET', maps, undefined, { 'impersonate-group': 'staff' })).status, 400);
    const locked = await aDoor({ fallback: { user: 'system:serviceaccount:default:robot', groups: [] } });
    assert.equal((await locked.ask('GET', maps, undefined, as('ann'))).status, 403);
  });

  it('says what there is to ask, and what it counts', async () => {
    const { json } = await door.ask<{ paths: readonly string[] }>('GET', '/');
    for (const path of ['/api/v1', '/apis/storage.k8s.io/v1', '/openapi/v3', '/readyz'])
      assert.ok(json.paths.includes(path), path);
    const counting = await aDoor({ metrics: async () => 'a 1\n' });
    assert.equal((await counting.ask('GET', '/metrics')).json, 'a 1\n');
    const closed = await aDoor({ metrics: async () => 'a 1\n', fallback: undefined } as never);
    assert.equal((await closed.ask('GET', '/metrics')).status, 401);
  });

  async function statusOf(method: string, path: string, headers: Record<string, string> = {}): Promise<number> {
    return (await bytesOf(path, headers, method)).status;
  }

  /** As they come over the wire. */
  function bytesOf(
    path: string,
    headers: Record<string, string>,
    method = 'GET',
  ): Promise<{ readonly status: number; readonly encoding: string | undefined; readonly body: Buffer }> {
    return new Promise((resolve, reject) => {
      const asked = request(door.url + path, { method, headers, agent: false }, (reply) => {
        const parts: Buffer[] = [];
        reply.on('data', (part: Buffer) => parts.push(part));
        reply.on('end', () => {
          resolve({
            status: reply.statusCode ?? 0,
            encoding: reply.headers['content-encoding'],
            body: Buffer.concat(parts),
          });
        });
      });
      asked.on('error', reject);
      asked.end();
    });
  }
});
