import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Pod, ReplicationController } from '../../../lib/api/objects.ts';
import { isActive } from '../../../lib/api/pods.ts';
import { newNamespaceCollector, wakeNamespaces } from '../../../services/garbage-collector/namespaces.ts';
import { OwnerCollector, ownerIndex, ownersToLookAt, wakeOwners } from '../../../services/garbage-collector/owners.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aNamespace, anRc, aPod } from '../../support/builders.ts';
import { until } from '../../support/until.ts';

describe('garbage-collector on the real registry', () => {
  let api: ApiInProcess;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    const scope = { indexes: ownerIndex };
    const namespaces = api.view('namespaces');
    const views = {
      pods: api.view('pods', scope),
      replicationcontrollers: api.view('replicationcontrollers', scope),
      services: api.view('services', scope),
      endpoints: api.view('endpoints', scope),
      configmaps: api.view('configmaps', scope),
      secrets: api.view('secrets', scope),
      serviceaccounts: api.view('serviceaccounts', scope),
      persistentvolumeclaims: api.view('persistentvolumeclaims', scope),
    };
    api.run({
      controller: new OwnerCollector({ ...api, client: api.client, views }),
      keys: () => ownersToLookAt(views),
      wake: (queue) => wakeOwners(queue, views),
    });
    api.run({
      controller: newNamespaceCollector({ ...api, client: api.client, namespaces }),
      keys: () => namespaces.list().map(keyOf),
      wake: (queue) => wakeNamespaces(queue, namespaces, views),
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
