import { keyOf } from '../../lib/api/keys.ts';
import type { ControllerSetup } from '../../lib/controller/service.ts';
import { newDefinitionCollector, ownersDefinedIn, wakeDefinitions } from './definitions.ts';
import { newNamespaceCollector, wakeNamespaces } from './namespaces.ts';
import { OwnerCollector, ownerIndex, ownersToLookAt, wakeOwners, type CollectedViews } from './owners.ts';

/** Wires the loop to its views; `main.ts` runs it as a process. */
export const setup: ControllerSetup = (parts) => {
  const namespaces = parts.view('namespaces');
  const definitions = parts.view('customresourcedefinitions');
  const customOwner = ownersDefinedIn(definitions);
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
    replicasets: parts.view('replicasets', scope),
    deployments: parts.view('deployments', scope),
    daemonsets: parts.view('daemonsets', scope),
    controllerrevisions: parts.view('controllerrevisions', scope),
    jobs: parts.view('jobs', scope),
    cronjobs: parts.view('cronjobs', scope),
    horizontalpodautoscalers: parts.view('horizontalpodautoscalers', scope),
  };
  return [
    {
      controller: new OwnerCollector({ ...parts, views, customOwner }),
      keys: () => ownersToLookAt(views, customOwner),
      wake: (queue) => wakeOwners(queue, views, customOwner),
    },
    {
      controller: newNamespaceCollector({ ...parts, namespaces, definitions }),
      keys: () => namespaces.list().map(keyOf),
      wake: (queue) => wakeNamespaces(queue, namespaces, views),
      object: (key) => namespaces.get(key),
    },
    {
      controller: newDefinitionCollector({ ...parts, definitions }),
      keys: () => definitions.list().map(keyOf),
      wake: (queue) => wakeDefinitions(queue, definitions),
      object: (key) => definitions.get(key),
    },
  ];
};
