import type { Clock } from '../../lib/base/clock.ts';
import { hasReason, messageOf } from '../../lib/base/errors.ts';
import { isGone } from '../../lib/api/ending.ts';
import { kinds, resources, type Resource } from '../../lib/api/kinds.ts';
import type { ApiObject, CustomResourceDefinition, Namespace } from '../../lib/api/objects.ts';
import { isDeleting } from '../../lib/api/pods.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Controller, KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { customIn } from './definitions.ts';
import { collected, type CollectedViews } from './owners.ts';
import { withRemains, type Remains } from './remains.ts';

export interface Parts {
  readonly namespaces: View<Namespace>;
  readonly definitions: View<CustomResourceDefinition>;
  readonly client: Client;
  readonly clock: Clock;
}

/** The mark by which a namespace waits for this loop. */
export const namespaceFinalizer = 'kubernetes';
/** Most of what is left wakes us when it goes; the rest is looked at so often. */
const lookAgainMs = 1_000;

/** Controllers before what they make, Events last; kinds that users defined before all, since their controllers may make others. */
const makers: readonly Resource[] = [
  ...(['cronjobs', 'jobs', 'daemonsets', 'deployments', 'replicasets', 'replicationcontrollers'] as const),
];
const builtInOrder: readonly Resource[] = [
  ...makers,
  ...resources.filter((resource) => kinds[resource].namespaced && ![...makers, 'events'].includes(resource)),
  'events',
];

/** Empties namespaces that are being deleted, says what they wait for, and lets them go. Writes namespaces, and deletions. */
export function newNamespaceCollector({ namespaces, definitions, client, clock }: Parts): Controller {
  return {
    name: 'namespace-collector',
    async sync(key) {
      const namespace = namespaces.get(key);
      if (namespace === undefined || !isDeleting(namespace)) return;
      if (namespace.spec.finalizers?.includes(namespaceFinalizer) !== true) return; // others hold it, or it is as good as gone
      const order = [...customIn(definitions), ...builtInOrder];
      const failures: string[] = [];
      for (const resource of order) {
        try {
          await client.deleteCollection(resource, { namespace: key, propagationPolicy: 'Background' });
        } catch (error) {
          failures.push(`${resource}: ${messageOf(error)}`);
        }
      }
      const remains: Remains[] = [];
      for (const resource of order) remains.push(await remainsOf(resource, key));
      if (failures.length === 0 && remains.every(({ count }) => count === 0)) return letGo(namespace);
      const next = withRemains(namespace, remains, failures, clock.now());
      if (next !== namespace) namespaces.wrote(await client.updateStatus('namespaces', next));
      return { requeueAfterMs: lookAgainMs };
    },
  };

  async function remainsOf(resource: Resource, namespace: string): Promise<Remains> {
    const { items } = await client.list(resource, { namespace });
    const finalizers = new Map<string, number>();
    for (const { metadata } of items as readonly ApiObject[]) {
      for (const name of metadata.finalizers ?? []) finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
    }
    return { resource, count: items.length, finalizers };
  }

  async function letGo(namespace: Namespace): Promise<void> {
    const finalizers = (namespace.spec.finalizers ?? []).filter((name) => name !== namespaceFinalizer);
    try {
      const written = await client.update('namespaces', { ...namespace, spec: { ...namespace.spec, finalizers } });
      if (isGone(written)) namespaces.wroteDeletion(written);
      else namespaces.wrote(written);
    } catch (error) {
      if (!hasReason(error, 'NotFound')) throw error;
      namespaces.wroteDeletion(namespace);
    }
  }
}

export function wakeNamespaces(queue: KeyQueue, namespaces: View<Namespace>, views: CollectedViews): void {
  namespaces.onChange(({ key }) => {
    queue.add(key);
  });
  for (const resource of collected) {
    (views[resource] as View<ApiObject>).onChange(({ before, after }) => {
      const name = before?.metadata.namespace;
      if (after !== undefined || name === undefined) return;
      const namespace = namespaces.get(name);
      if (namespace !== undefined && isDeleting(namespace)) queue.add(name);
    });
  }
}
