import type { MutableJson } from '../json.ts';
import { each, ensured, fill, fillText, inside } from './fill.ts';
import { canonicalResources } from './pod.ts';

export function defaultResourceQuota(quota: MutableJson): void {
  const spec = ensured(quota, 'spec');
  if (spec !== undefined) canonicalResources(spec, 'hard');
  const status = ensured(quota, 'status');
  if (status === undefined) return;
  canonicalResources(status, 'hard');
  canonicalResources(status, 'used');
}

const lists = ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'];

/** What a container gets follows from its bounds where it is not said: the limit from the maximum, the request from the limit or the minimum. */
export function defaultLimitRange(range: MutableJson): void {
  const spec = ensured(range, 'spec');
  if (spec === undefined) return;
  for (const item of each(spec, 'limits')) {
    for (const list of lists) canonicalResources(item, list);
    if (item['type'] !== 'Container') continue;
    const limits = { ...inside(item, 'max'), ...inside(item, 'default') };
    const requests = { ...inside(item, 'min'), ...limits, ...inside(item, 'defaultRequest') };
    if (Object.keys(limits).length > 0) item['default'] = limits;
    if (Object.keys(requests).length > 0) item['defaultRequest'] = requests;
  }
}
export function defaultPriorityClass(priority: MutableJson): void {
  fill(priority, 'value', 0);
  fillText(priority, 'preemptionPolicy', 'PreemptLowerPriority');
}

const rbac = 'rbac.authorization.k8s.io';

export function defaultBinding(binding: MutableJson): void {
  const ref = ensured(binding, 'roleRef');
  if (ref !== undefined) fillText(ref, 'apiGroup', rbac);
  for (const subject of each(binding, 'subjects')) {
    if (subject['kind'] === 'User' || subject['kind'] === 'Group') fillText(subject, 'apiGroup', rbac);
  }
}

export function defaultEndpointSlice(slice: MutableJson): void {
  for (const port of each(slice, 'ports')) {
    fill(port, 'name', '');
    fillText(port, 'protocol', 'TCP');
  }
}
