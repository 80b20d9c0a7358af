import type { Key } from '../../lib/api/keys.ts';
import type { Endpoints, Labels, Pod, Service } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';
import { SelectorIndex } from '../../lib/api/selector-index.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';

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

/** Wires the changes of the three views to keys, for as long as the views live. */
export function wakeOnChanges(
  queue: KeyQueue,
  services: View<Service>,
  endpoints: View<Endpoints>,
  pods: View<Pod>,
): void {
  const selectors = new SelectorIndex();
  services.onChange(({ key, after }) => {
    if (after === undefined) selectors.delete(key);
    else selectors.set(key, after.metadata.namespace ?? '', after.spec.selector);
    queue.add(key);
  });
  endpoints.onChange(({ key }) => {
    queue.add(key);
  });
  pods.onChange(({ before, after }) => {
    const matching = (namespace: string, labels: Labels | undefined): readonly Key[] =>
      selectors.matching(namespace, labels);
    for (const key of servicesToWake(before, after, matching)) queue.add(key);
  });
}
