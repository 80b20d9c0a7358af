import { keyOf } from '../../lib/api/keys.ts';
import { runControllerService } from '../../lib/controller/service.ts';
import { newNamespaceCollector, wakeNamespaces } from './namespaces.ts';
import { OwnerCollector, ownerIndex, ownersToLookAt, wakeOwners, type CollectedViews } from './owners.ts';

runControllerService('garbage-collector', {}, (parts) => {
  const namespaces = parts.view('namespaces');
  const scope = { indexes: ownerIndex };
  const views: CollectedViews = {
    pods: parts.view('pods', scope),
    replicationcontrollers: parts.view('replicationcontrollers', scope),
    services: parts.view('services', scope),
    endpoints: parts.view('endpoints', scope),
    configmaps: parts.view('configmaps', scope),
    secrets: parts.view('secrets', scope),
  };
  return [
    {
      controller: new OwnerCollector({ ...parts, views }),
      keys: () => ownersToLookAt(views),
      wake: (queue) => wakeOwners(queue, views),
    },
    {
      controller: newNamespaceCollector({ ...parts, namespaces }),
      keys: () => namespaces.list().map(keyOf),
      wake: (queue) => wakeNamespaces(queue, namespaces, views),
      object: (key) => namespaces.get(key),
    },
  ];
});
