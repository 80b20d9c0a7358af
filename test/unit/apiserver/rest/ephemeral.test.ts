import assert from 'node:assert/strict';
import type { Json } from '../../../../lib/api/json.ts';
import type { ContainerStatus, Pod } from '../../../../lib/api/objects.ts';
import { aDoor, closeDoors, type ADoor } from './a-door.ts';

const pods = '/api/v1/namespaces/default/pods';
const part = `${pods}/app/ephemeralcontainers`;
const strategic = { 'content-type': 'application/strategic-merge-patch+json' };
const merge = { 'content-type': 'application/merge-patch+json' };
const apply = { 'content-type': 'application/apply-patch+yaml' };
const looker = (name: string, more: object = {}): object => ({ name, image: 'busybox:1', ...more });
const adding = (...list: readonly object[]): object => ({ spec: { ephemeralContainers: list } });
const names = ({ spec }: Pod): readonly string[] => (spec.ephemeralContainers ?? []).map(({ name }) => name);

interface Failure {
  readonly message: string;
  readonly details?: { readonly causes?: readonly { readonly field: string; readonly message: string }[] };
}

describe('apiserver/rest: pods/ephemeralcontainers', () => {
  let door: ADoor;
  beforeEach(async () => {
    door = await aDoor();
    const app = { metadata: { name: 'app' }, spec: { containers: [{ name: 'main', image: 'web:1' }] } };
    assert.equal((await door.ask('POST', pods, app)).status, 201);
  });
  afterEach(closeDoors);

  it('adds a container by a strategic merge patch, as kubectl debug does, and fills in its defaults', async () => {
    const given = looker('look', { targetContainerName: 'main', stdin: true, resources: {} });
    const { status, json } = await door.ask<Pod>('PATCH', part, adding(given), strategic);
    assert.equal(status, 200);
    assert.deepEqual(json.spec.ephemeralContainers, [
      {
        ...{ name: 'look', image: 'busybox:1', targetContainerName: 'main', stdin: true, resources: {} },
        ...{ terminationMessagePath: '/dev/termination-log', terminationMessagePolicy: 'File' },
        imagePullPolicy: 'IfNotPresent',
      },
    ]);
    assert.deepEqual([json.kind, json.metadata.generation], ['Pod', 2]);
    const more = await door.ask<Pod>('PATCH', part, adding(looker('again')), strategic);
    assert.deepEqual([...names(more.json)].sort(), ['again', 'look']);
  });

  it('shows the pod, takes a whole list, and changes nothing else of the pod', async () => {
    const { json: pod } = await door.ask<Pod>('GET', part);
    const next = {
      ...pod,
      metadata: { ...pod.metadata, labels: { a: 'b' } },
      spec: { ...pod.spec, hostname: 'other' },
    };
    const put = await door.ask<Pod>('PUT', part, {
      ...next,
      spec: { ...next.spec, ephemeralContainers: [looker('a')] },
    });
    assert.equal(put.status, 200);
    assert.deepEqual(names(put.json), ['a']);
    assert.deepEqual([put.json.metadata.labels, put.json.spec.hostname], [undefined, undefined]);
    const late = await door.ask<Failure>('PUT', part, { ...pod, spec: { ...pod.spec, ephemeralContainers: [] } });
    assert.equal(late.status, 409, 'of an older version');
    const same = await door.ask<Pod>('PUT', part, put.json);
    assert.equal(same.json.metadata.resourceVersion, put.json.metadata.resourceVersion, 'nothing had to be written');
  });

  it('refuses to take one away, with field and rule', async () => {
    await door.ask('PATCH', part, adding(looker('a')), merge);
    const { status, json } = await door.ask<Failure>('PATCH', part, adding(looker('b')), merge);
    assert.equal(status, 422);
    assert.deepEqual(
      json.details?.causes?.map(({ field, message }) => `${field}: ${message}`),
      [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "a" may not be removed: they stay as long as their pod',
      ],
    );
  });

  it('leaves them to this door: a plain update keeps them, and changes none', async () => {
    const { json: before } = await door.ask<Pod>('GET', `${pods}/app`);
    await door.ask('PATCH', part, adding(looker('a')), strategic);
    const { resourceVersion: _, ...metadata } = before.metadata;
    const labelled = await door.ask<Pod>('PUT', `${pods}/app`, {
      ...before,
      metadata: { ...metadata, labels: { v: '2' } },
    });
    assert.deepEqual([labelled.status, names(labelled.json)], [200, ['a']], 'made from the manifest of before');
    const { status, json } = await door.ask<Failure>('PATCH', `${pods}/app`, adding(looker('b')), strategic);
    assert.equal(status, 422);
    assert.match(json.message, /pod updates may not change fields other than .*spec\.ephemeralContainers/);
  });

  it('is applied, with a manager of its own', async () => {
    const whole = { apiVersion: 'v1', kind: 'Pod', ...adding(looker('a')) };
    const { status, json } = await door.ask<Pod>('PATCH', `${part}?fieldManager=me`, whole, apply);
    assert.deepEqual([status, names(json)], [200, ['a']]);
    const { managedFields } = json.metadata as { readonly managedFields?: readonly Json[] };
    const mine = managedFields?.find(({ manager }) => manager === 'me');
    assert.equal(mine?.['subresource'], 'ephemeralcontainers');
    assert.match(JSON.stringify(mine['fieldsV1']), /ephemeralContainers/);
    assert.equal((await door.ask('PATCH', `${pods}/no/ephemeralcontainers?fieldManager=me`, whole, apply)).status, 404);
  });

  it('stores nothing on a dry run', async () => {
    const dry = await door.ask<Pod>('PATCH', `${part}?dryRun=All`, adding(looker('a')), strategic);
    assert.deepEqual(names(dry.json), ['a']);
    assert.deepEqual(names((await door.ask<Pod>('GET', part)).json), []);
  });

  it('serves no other verbs, and no other kinds', async () => {
    assert.equal((await door.ask('DELETE', part)).status, 405);
    assert.equal((await door.ask('POST', part, {})).status, 405);
    await door.ask('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'app' } });
    assert.equal((await door.ask('GET', '/api/v1/namespaces/default/configmaps/app/ephemeralcontainers')).status, 404);
    assert.equal((await door.ask('GET', `${pods}/none/ephemeralcontainers`)).status, 404);
  });

  it('keeps what the node says of them', async () => {
    await door.ask('PATCH', part, adding(looker('a')), strategic);
    const told: ContainerStatus = {
      ...{ name: 'a', ready: false, restartCount: 0, image: 'busybox:1', imageID: 'x', containerID: 'docker://1' },
      state: { terminated: { exitCode: 3 } },
    };
    const status = { status: { ephemeralContainerStatuses: [told] } };
    const { json } = await door.ask<Pod>('PATCH', `${pods}/app/status`, status, merge);
    assert.deepEqual(json.status.ephemeralContainerStatuses, [told]);
  });

  it('stands in discovery and in the description of the API', async () => {
    interface List {
      readonly resources: readonly {
        readonly name: string;
        readonly kind: string;
        readonly verbs: readonly string[];
      }[];
    }
    const { json } = await door.ask<List>('GET', '/api/v1');
    const found = json.resources.find(({ name }) => name === 'pods/ephemeralcontainers');
    assert.deepEqual([found?.kind, found?.verbs], ['Pod', ['get', 'patch', 'update']]);
    const { json: document } = await door.ask<{ paths: Record<string, object> }>('GET', '/openapi/v3/api/v1');
    const path = '/api/v1/namespaces/{namespace}/pods/{name}/ephemeralcontainers';
    assert.deepEqual(Object.keys(document.paths[path] ?? {}), ['parameters', 'get', 'put', 'patch']);
  });
});
