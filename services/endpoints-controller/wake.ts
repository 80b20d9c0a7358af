import type { Key } from '../../lib/api/keys.ts';
import { sameJson } from '../../lib/api/json.ts';
import type { Endpoints, Labels, Namespace, Pod, Service } from '../../lib/api/objects.ts';
import { isActive, isDeleting, isReady, isTerminal } from '../../lib/api/pods.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import { isClient } from './access.ts';
import { ClientIndex } from './client-index.ts';

/**
 * The Services that a change of a pod concerns: those that select its labels as they were and as they are. Most changes
 * of a pod (a restart count, a condition) show in no Endpoints and wake nobody.
 */
export function servicesToWake(
  before: Pod | undefined,
  after: Pod | undefined,
  matching: (namespace: string, labels: Labels | undefined) => readonly Key[],
): readonly Key[] {
  const [was, is] = [shown(before), shown(after)];
  if (was === is) return [];
  const keys = new Set<Key>();
  for (const pod of [was === '' ? undefined : before, is === '' ? undefined : after]) {
    if (pod === undefined) continue;
    for (const key of matching(pod.metadata.namespace ?? '', pod.metadata.labels)) keys.add(key);
  }
  return [...keys];
}

/** Everything of a pod that an address can show; empty when it shows nowhere. Ports and host name never change. */
function shown(pod: Pod | undefined): string {
  if (pod === undefined || !isActive(pod) || (pod.status.podIP ?? '') === '') return '';
  const { uid, labels } = pod.metadata;
  return JSON.stringify([uid, isReady(pod), pod.status.podIP, pod.spec.nodeName, labels]);
}

/** What matters of a pod to the Services that it may be a client of; empty when it is nobody's. */
function shownAsClient(pod: Pod | undefined): string {
  return pod === undefined || !isClient(pod) ? '' : JSON.stringify([pod.status.podIP, pod.metadata.labels]);
}

/** What matters of a pod that is being deleted to a Service that guards it. */
function shownLeaving(pod: Pod | undefined): string {
  if (pod === undefined || !isDeleting(pod) || isTerminal(pod)) return '';
  return JSON.stringify([pod.metadata.uid, pod.status.podIP, pod.metadata.labels]);
}

export interface WakingViews {
  readonly services: View<Service>;
  readonly endpoints: View<Endpoints>;
  readonly pods: View<Pod>;
  readonly namespaces: View<Namespace>;
}

/** Wires the changes of the views to keys, for as long as the views live, and answers with what the Services select. */
export function wakeOnChanges(queue: KeyQueue, { services, endpoints, pods, namespaces }: WakingViews): SelectorIndex {
  const selectors = new SelectorIndex();
  const clients = new ClientIndex();
  services.onChange(({ key, after }) => {
    if (after === undefined) selectors.delete(key);
    else selectors.set(key, after.metadata.namespace ?? '', after.spec.selector);
    clients.set(key, after);
    queue.add(key);
  });
  namespaces.onChange(({ before, after }) => {
    if (sameJson(before?.metadata.labels ?? {}, after?.metadata.labels ?? {})) return;
    for (const key of clients.byNamespace) queue.add(key);
  });
  endpoints.onChange(({ key }) => {
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    const matching = (namespace: string, labels: Labels | undefined): readonly Key[] =>
      selectors.matching(namespace, labels);
    for (const key of servicesToWake(before, after, matching)) queue.add(key);
    if (clients.size === 0) return;
    for (const pod of [before, after]) {
      if (pod === undefined) continue;
      const { namespace = '', labels } = pod.metadata;
      if (shownAsClient(before) !== shownAsClient(after))
        for (const key of clients.matching(namespace, labels)) queue.add(key);
      if (shownLeaving(before) !== shownLeaving(after))
        for (const key of matching(namespace, labels)) if (clients.has(key)) queue.add(key);
    }
  });
  return selectors;
}
