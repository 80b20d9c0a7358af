import type { MutableJson } from '../../../lib/api/json.ts';
import type { Resource } from '../../../lib/api/kinds.ts';
import { traceAnnotation } from '../../../lib/base/trace.ts';
import { metadataOf } from './core.ts';

/** Leases and Events are told all the time and lead to nothing else: a trace through them explains nothing. */
export const isTraced = (resource: Resource): boolean => resource !== 'leases' && resource !== 'events';

/** Keeps the trace with the object. What a controller copied from the owner stays unless `replace`. */
export function annotate(object: MutableJson, traceparent: string, replace: boolean): void {
  const metadata = metadataOf(object);
  const annotations = (metadata['annotations'] ?? {}) as MutableJson;
  if (!replace && annotations[traceAnnotation] !== undefined) return;
  metadata['annotations'] = { ...annotations, [traceAnnotation]: traceparent };
}
