import { objectAt, objectsAt, type Json } from '../json.ts';
import { compareQuantities, isQuantity } from '../quantity.ts';
import type { Quantity } from '../objects.ts';

const counted = ['cpu', 'memory'];

/**
 * How well a pod is protected when a node runs short: Guaranteed when every container limits cpu and memory to what
 * it asks for, BestEffort when none asks for or limits anything, else Burstable.
 */
export function qosClassOf(spec: Json): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  const resources = containers.map((container) => objectAt(container, 'resources'));
  const some = resources.some((each) =>
    counted.some((name) => amount(each, 'requests', name) ?? amount(each, 'limits', name)),
  );
  if (!some) return 'BestEffort';
  const guaranteed = resources.every((each) =>
    counted.every((name) => {
      const limit = amount(each, 'limits', name);
      const request = amount(each, 'requests', name) ?? limit;
      return limit !== undefined && request !== undefined && compareQuantities(limit, request) === 0;
    }),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** A positive amount; undefined for none, for zero and for what is no amount. */
function amount(resources: Json, list: 'requests' | 'limits', name: string): Quantity | undefined {
  const value = objectAt(resources, list)[name];
  return isQuantity(value) && compareQuantities(value, 0) > 0 ? value : undefined;
}
