import type { Key } from '../../lib/api/keys.ts';
import type { Labels, Pod } from '../../lib/api/objects.ts';
import { isActive, isReady } from '../../lib/api/pods.ts';

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
