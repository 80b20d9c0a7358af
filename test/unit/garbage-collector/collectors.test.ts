import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { CustomObject } from '../../../lib/api/kinds.ts';
import type { CustomResourceDefinition, Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { isActive } from '../../../lib/api/pods.ts';
import {
  newDefinitionCollector,
  ownersDefinedIn,
  wakeDefinitions,
} from '../../../services/garbage-collector/definitions.ts';
import { newNamespaceCollector, wakeNamespaces } from '../../../services/garbage-collector/namespaces.ts';
import { OwnerCollector, ownerIndex, ownersToLookAt, wakeOwners } from '../../../services/garbage-collector/owners.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNamespace, anRc, aPod } from '../../support/builders.ts';
import { aDefinition } from '../../support/kind-samples.ts';
import { until } from '../../support/until.ts';

describe('garbage-collector on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    const scope = { indexes: ownerIndex };
    const namespaces = api.view('namespaces');
    const definitions = api.view('customresourcedefinitions');
    const views = {
      pods: api.view('pods', scope),
      replicationcontrollers: api.view('replicationcontrollers', scope),
      services: api.view('services', scope),
      endpoints: api.view('endpoints', scope),
      configmaps: api.view('configmaps', scope),
      secrets: api.view('secrets', scope),
      serviceaccounts: api.view('serviceaccounts', scope),
      persistentvolumeclaims: api.view('persistentvolumeclaims', scope),
      replicasets: api.view('replicasets', scope),
      deployments: api.view('deployments', scope),
      daemonsets: api.view('daemonsets', scope),
      controllerrevisions: api.view('controllerrevisions', scope),
      jobs: api.view('jobs', scope),
      cronjobs: api.view('cronjobs', scope),
      horizontalpodautoscalers: api.view('horizontalpodautoscalers', scope),
    };
    api.run({
      controller: new OwnerCollector({ ...api, client: api.client, views, customOwner: ownersDefinedIn(definitions) }),
      keys: () => ownersToLookAt(views, ownersDefinedIn(definitions)),
      wake: (queue) => wakeOwners(queue, views, ownersDefinedIn(definitions)),
    });
    api.run({
      controller: newNamespaceCollector({ ...api, client: api.client, namespaces, definitions }),
      keys: () => namespaces.list().map(keyOf),
      wake: (queue) => wakeNamespaces(queue, namespaces, views),
    });
    api.run({
      controller: newDefinitionCollector({ client: api.client, definitions }),
      keys: () => definitions.list().map(keyOf),
      wake: (queue) => wakeDefinitions(queue, definitions),
    });
  });
  afterEach(() => api.stop());

  const addRc = (): Promise<ReplicationController> => api.put('replicationcontrollers', anRc());
  const addPods = async (owner: ReplicationController, ...names: string[]): Promise<void> => {
    for (const name of names)
      await api.put('pods', aPod({ name, ownerUid: owner.metadata.uid, labels: { app: 'web' } }));
  };
  const pods = async (): Promise<readonly Pod[]> => (await api.client.list('pods')).items;
  const rcIsGone = async (): Promise<boolean> =>
    (await api.client.get('replicationcontrollers', 'default/web')) === undefined;

  it('leaves the pods of a deleted ReplicationController alive and ownerless', async () => {
    await addPods(await addRc(), 'a', 'b');
    await api.client.delete('replicationcontrollers', 'default/web');
    await until(rcIsGone, { what: 'the controller gone' });
    assert.deepEqual(
      (await pods()).map(({ metadata }) => [metadata.name, metadata.ownerReferences?.length ?? 0]),
      [
        ['a', 0],
        ['b', 0],
      ],
    );
    assert.ok((await pods()).every(isActive));
  });

  it('removes them in the background where asked to', async () => {
    await addPods(await addRc(), 'a', 'b');
    await api.put('pods', aPod({ name: 'bystander' }));
    await api.client.delete('replicationcontrollers', 'default/web', { propagationPolicy: 'Background' });
    assert.equal(await rcIsGone(), true, 'at once');
    await until(async () => (await pods()).map(({ metadata }) => metadata.name).join() === 'bystander', {
      what: 'the pods gone',
    });
  });

  it('removes them first where asked to', async () => {
    await addPods(await addRc(), 'a', 'b');
    await api.client.patch('pods', 'default/b', { metadata: { finalizers: ['test.example/hold'] } });
    await api.client.delete('replicationcontrollers', 'default/web', { propagationPolicy: 'Foreground' });
    await until(async () => (await pods()).map(({ metadata }) => metadata.name).join() === 'b', {
      what: 'one pod left',
    });
    assert.equal(await rcIsGone(), false, 'waits for the held pod');
    await api.client.patch('pods', 'default/b', { metadata: { finalizers: [] } });
    await until(rcIsGone, { what: 'the controller gone' });
    assert.deepEqual(await pods(), []);
  });

  it('removes a pod that names an owner which never was', async () => {
    await api.put('pods', aPod({ name: 'stray', ownerUid: 'nobody' }));
    await until(async () => (await pods()).length === 0, { what: 'the stray gone' });
  });

  const widget = (name: string, namespace = 'default'): object => ({
    ...{ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name, namespace }, spec: { size: 1 } },
  });
  const define = async (): Promise<void> => {
    const { metadata, spec } = aDefinition() as CustomResourceDefinition;
    await api.client.create('customresourcedefinitions', { metadata: { name: metadata.name }, spec });
  };
  const widgets = async (): Promise<number> => (await api.client.list('widgets.example.com')).items.length;

  it('removes the objects of a kind with its definition', async () => {
    await define();
    for (const name of ['a', 'b']) await api.client.create('widgets.example.com', widget(name) as CustomObject);
    await api.client.delete('customresourcedefinitions', 'widgets.example.com');
    await until(async () => (await api.client.get('customresourcedefinitions', 'widgets.example.com')) === undefined, {
      what: 'the definition gone',
    });
    await define();
    assert.equal(await widgets(), 0, 'nothing comes back with a new definition');
  });

  it('empties namespaces of kinds that users defined', async () => {
    await define();
    await api.put('namespaces', aNamespace({ name: 'shop' }));
    await api.client.create('widgets.example.com', widget('a', 'shop') as CustomObject);
    await api.client.create('widgets.example.com', widget('b') as CustomObject);
    await api.client.delete('namespaces', 'shop');
    await until(async () => (await api.client.get('namespaces', 'shop')) === undefined, { what: 'the namespace gone' });
    assert.equal(await widgets(), 1);
  });

  it('keeps what an object of such a kind owns for as long as that is there', async () => {
    await define();
    const owner = await api.client.create('widgets.example.com', widget('a') as CustomObject);
    const { uid } = owner.metadata;
    const ownerReferences = [{ apiVersion: 'example.com/v1', kind: 'Widget', name: 'a', uid }];
    const owned = { metadata: { name: 'kept', namespace: 'default', ownerReferences } };
    await api.client.create('configmaps', owned);
    await api.put('pods', aPod({ name: 'stray', ownerUid: 'nobody' }));
    await until(async () => (await pods()).length === 0, { what: 'the stray gone, so the loop has looked' });
    assert.notEqual(await api.client.get('configmaps', 'default/kept'), undefined);
    await api.client.delete('widgets.example.com', 'default/a');
    // Nobody tells of the owner's end: the dependent is looked at when it changes, or at a resync.
    await api.client.patch('configmaps', 'default/kept', { metadata: { finalizers: ['example.com/poke'] } });
    await api.client.patch('configmaps', 'default/kept', { metadata: { finalizers: [] } });
    await until(async () => (await api.client.get('configmaps', 'default/kept')) === undefined, {
      what: 'it gone too',
    });
  });

  it('empties a namespace and lets it go, and says what it waits for', async () => {
    await api.put('namespaces', aNamespace({ name: 'shop' }));
    await api.put('replicationcontrollers', anRc({ namespace: 'shop' }));
    await api.put('pods', aPod({ namespace: 'shop', name: 'held', finalizers: ['test.example/hold'] }));
    await api.put('pods', aPod({ namespace: 'shop', name: 'free' }));
    await api.client.delete('namespaces', 'shop');
    const waitsFor = async (): Promise<string | undefined> =>
      (await api.client.get('namespaces', 'shop'))?.status.conditions?.find(
        ({ type }) => type === 'NamespaceFinalizersRemaining',
      )?.message;
    await until(async () => (await waitsFor())?.includes('test.example/hold in 1') === true, { what: 'the condition' });
    await api.client.patch('pods', 'shop/held', { metadata: { finalizers: [] } });
    await until(async () => (await api.client.get('namespaces', 'shop')) === undefined, { what: 'the namespace gone' });
    assert.equal((await api.client.list('replicationcontrollers')).items.length, 0);
  });
});
