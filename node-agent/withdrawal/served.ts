import { matchesMap } from '../../lib/api/labels.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { ServiceSource } from '../parts.ts';

/** Whether a Service selects the pod, so that its address may be where traffic is sent. */
export function isServed({ metadata: { namespace, labels } }: Pod, services: ServiceSource): boolean {
  if (labels === undefined) return false;
  return services.list(namespace).some(({ spec: { selector } }) => {
    for (const _ in selector) return matchesMap(selector, labels);
    return false; // an empty one selects nothing
  });
}
