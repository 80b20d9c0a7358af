import { hasReason, ignoreNotFound } from '../../lib/base/errors.ts';
import { type Key } from '../../lib/api/keys.ts';
import type { Endpoints, Labels, Namespace, Pod, Service } from '../../lib/api/objects.ts';
import { matchesMap } from '../../lib/api/labels.ts';
import { particularPair } from '../../lib/api/selector-index.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { isRestricted, type Surroundings } from './access.ts';
import { isKept, isOurs, reconcile, type Action } from './reconcile.ts';

export interface Parts {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  /** With the indexes of `podIndexes`. */
  readonly pods: View<Pod>;
  readonly namespaces: View<Namespace>;
  /** Whether its node has said that it answers nobody; default: nobody says so. */
  readonly isDown?: (pod: Pod) => boolean;
  readonly client: Pick<Client, 'get' | 'create' | 'update' | 'delete'>;
  /** Told when the Endpoints of a key begin to be looked at, and when they are known to be as they should; default: nobody is. */
  readonly watch?: { begun(key: Key): void; settled(key: Key): void };
}

/** How the pods are filed: by each of their labels, and by their uid. */
export const podIndexes = {
  label: (pod: Pod): readonly string[] =>
    Object.entries(pod.metadata.labels ?? {}).map(([name, value]) => pair(pod.metadata.namespace, name, value)),
  uid: (pod: Pod): readonly string[] => [pod.metadata.uid],
};
const pair = (namespace: string | undefined, name: string, value: string): string => `${namespace}/${name}=${value}`;

/** Keeps the Endpoints of each Service equal to the pods that it selects (F137). Writes endpoints. */
export function newEndpointsController(parts: Parts): Controller {
  const { services, endpoints, pods, namespaces, client, watch } = parts;

  const selected = (service: Service): readonly Pod[] => {
    const first = particularPair(service.spec.selector);
    return first === undefined ? [] : pods.by('label', pair(service.metadata.namespace, ...first));
  };
  const around: Surroundings = {
    pods(namespace: string, labels: Labels | undefined) {
      const first = particularPair(labels);
      return first === undefined ? pods.list(namespace) : pods.by('label', pair(namespace, ...first));
    },
    get namespaces() {
      return namespaces.list();
    },
    isDown: parts.isDown ?? (() => false),
    isOpen: ({ metadata: { namespace, labels } }) =>
      services
        .list(namespace)
        .some((other) => isKept(other) && !isRestricted(other) && matchesMap(other.spec.selector ?? {}, labels)),
  };
  const perform = async (action: Action): Promise<void> => {
    switch (action.type) {
      case 'create':
        return endpoints.wrote(await client.create('endpoints', action.draft));
      case 'update':
        return endpoints.wrote(await client.update('endpoints', action.endpoints));
    }
  };

  return {
    name: 'endpoints-controller',
    async sync(key) {
      watch?.begun(key);
      await settle(key);
      watch?.settled(key); // after a failure nobody knows what stands there, until the next try
    },
  };

  async function settle(key: Key): Promise<void> {
    const service = services.get(key);
    if (service === undefined) return removeLeftover(key);
    if (!isKept(service)) return;
    const action = reconcile(service, selected(service), endpoints.get(key), around);
    if (action === undefined) return;
    try {
      await perform(action);
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'AlreadyExists', 'NotFound')) throw error;
      await lookAgain(key); // our view of the Endpoints was late
      const again = reconcile(service, selected(service), endpoints.get(key), around);
      if (again !== undefined) await perform(again);
    }
  }

  async function lookAgain(key: Key): Promise<void> {
    const now = await client.get('endpoints', key);
    const held = endpoints.get(key);
    if (now !== undefined) endpoints.wrote(now);
    else if (held !== undefined) endpoints.wroteDeletion(held);
  }

  /** The API removes Endpoints with their Service; a write of ours that crossed the deletion may have brought them back. */
  async function removeLeftover(key: Key): Promise<void> {
    const left = endpoints.get(key);
    if (left === undefined || !isOurs(left) || (await client.get('services', key)) !== undefined) return;
    const { uid, resourceVersion } = left.metadata;
    await ignoreNotFound(client.delete('endpoints', key, { preconditions: { uid, resourceVersion } }));
    endpoints.wroteDeletion(left);
  }
}
