import { makeKey, type Key } from '../../lib/api/keys.ts';
import { matches, selectorOfLabelSelector } from '../../lib/api/labels.ts';
import type { MetricSpec, Service } from '../../lib/api/objects.ts';

/** The Services whose traffic a metric is about, of those of its namespace; none where it is about something else. */
export function servicesOf(spec: MetricSpec, namespace: string, services: readonly Service[]): readonly Key[] {
  switch (spec.type) {
    case 'Object': {
      const { describedObject } = spec.object;
      return describedObject.kind === 'Service' ? [makeKey(namespace, describedObject.name)] : [];
    }
    case 'External': {
      const selector = selectorOfLabelSelector(spec.external.metric.selector ?? {});
      return services
        .filter(({ metadata }) => matches(selector, metadata.labels))
        .map(({ metadata }) => makeKey(metadata.namespace, metadata.name));
    }
    case 'Resource':
    case 'ContainerResource':
    case 'Pods':
      return [];
  }
}
