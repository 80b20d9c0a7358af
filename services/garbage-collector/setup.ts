import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newNamespaceCollector, wakeNamespaces } from './namespaces.ts';
import { OwnerCollector, ownerIndex, ownersToLookAt, wakeOwners, type CollectedViews } from './owners.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup = (parts) => {
  const namespaces = parts.view('namespaces');
  const scope = { indexes: ownerIndex };
  const views: CollectedViews = {
    pods: parts.view('pods', scope),
    replicationcontrollers: parts.view('replicationcontrollers', scope),
    services: parts.view('services', scope),
    endpoints: parts.view('endpoints', scope),
    configmaps: parts.view('configmaps', scope),
    secrets: parts.view('secrets', scope),
    serviceaccounts: parts.view('serviceaccounts', scope),
    persistentvolumeclaims: parts.view('persistentvolumeclaims', scope),
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
};
