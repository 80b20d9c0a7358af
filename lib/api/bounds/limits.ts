import { isAbsent, objectAt, objectsAt, type Json, type MutableJson } from '../json.ts';
import type { LimitRange, LimitRangeItem, Quantity, ResourceList } from '../objects.ts';
import { canonical, compareQuantities, isQuantity, nanos } from '../quantity.ts';
import { amountText } from './quota.ts';
import { totalsOf } from './usage.ts';

const itemsFor = (ranges: readonly LimitRange[], type: string): readonly LimitRangeItem[] =>
  ranges.flatMap(({ spec }) => spec.limits.filter((item) => item.type === type));

/** Gives the containers of a pod, in place, what the ranges of its namespace say for those that ask for nothing. The first range that says something counts. */
export function applyLimits(ranges: readonly LimitRange[], pod: MutableJson): void {
  const spec = objectAt(pod, 'spec');
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')] as MutableJson[];
  for (const item of itemsFor(ranges, 'Container'))
    for (const container of containers) {
      const resources = { ...objectAt(container, 'resources') };
      fillIn(resources, 'limits', item.default);
      fillIn(resources, 'requests', item.defaultRequest);
      if (Object.keys(resources).length > 0) container['resources'] = resources;
    }
}

function fillIn(resources: MutableJson, list: 'limits' | 'requests', wanted: ResourceList | undefined): void {
  if (wanted === undefined || Object.keys(wanted).length === 0) return;
  const given = objectAt(resources, list);
  const missing = Object.entries(wanted).filter(([name]) => isAbsent(given[name]));
  if (missing.length > 0) resources[list] = { ...given, ...Object.fromEntries(missing) };
}

/** What of a pod or a claim is outside of the bounds of its namespace, a sentence each. */
export function brokenLimits(ranges: readonly LimitRange[], resource: string, object: Json): readonly string[] {
  const spec = objectAt(object, 'spec');
  if (resource === 'persistentvolumeclaims') {
    const { storage } = objectAt(objectAt(spec, 'resources'), 'requests');
    const asked = isQuantity(storage) ? storage : undefined;
    return itemsFor(ranges, 'PersistentVolumeClaim').flatMap(({ min, max }) => [
      ...outside('minimum storage usage per PersistentVolumeClaim', min?.['storage'], asked, 'request'),
      ...outside('maximum storage usage per PersistentVolumeClaim', max?.['storage'], asked, 'request'),
    ]);
  }
  if (resource !== 'pods') return [];
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  const each = itemsFor(ranges, 'Container').flatMap((item) =>
    containers.flatMap((container) => broken(item, 'Container', listsOf(container))),
  );
  const pod = { requests: total(spec, 'requests'), limits: total(spec, 'limits') };
  return [...new Set([...each, ...itemsFor(ranges, 'Pod').flatMap((item) => broken(item, 'Pod', pod))])];
}

interface Lists {
  readonly requests: Readonly<Record<string, Quantity>>;
  readonly limits: Readonly<Record<string, Quantity>>;
}

function listsOf(container: Json): Lists {
  const resources = objectAt(container, 'resources');
  const list = (name: string): Readonly<Record<string, Quantity>> =>
    Object.fromEntries(
      Object.entries(objectAt(resources, name)).filter((entry): entry is [string, Quantity] => isQuantity(entry[1])),
    );
  return { requests: list('requests'), limits: list('limits') };
}

const total = (spec: Json, list: 'requests' | 'limits'): Readonly<Record<string, Quantity>> =>
  Object.fromEntries([...totalsOf(spec, list)].map(([name, amount]) => [name, amountText(name, amount)]));

function broken(item: LimitRangeItem, type: string, { requests, limits }: Lists): readonly string[] {
  const found: string[] = [];
  for (const [name, min] of Object.entries(item.min ?? {})) {
    const what = `minimum ${name} usage per ${type}`;
    if (requests[name] === undefined) found.push(`${what} is ${canonical(min)}.  No request is specified`);
    else found.push(...outside(what, min, requests[name], 'request'));
    found.push(...outside(what, min, limits[name], 'limit'));
  }
  for (const [name, max] of Object.entries(item.max ?? {})) {
    const what = `maximum ${name} usage per ${type}`;
    if (limits[name] === undefined) found.push(`${what} is ${canonical(max)}.  No limit is specified`);
    else found.push(...outside(what, max, limits[name], 'limit'));
    found.push(...outside(what, max, requests[name], 'request'));
  }
  for (const [name, ratio] of Object.entries(item.maxLimitRequestRatio ?? {}))
    found.push(...tooWide(name, type, ratio, { request: requests[name], limit: limits[name] }));
  return found;
}

function outside(what: string, bound: Quantity | undefined, value: Quantity | undefined, kind: string): string[] {
  if (bound === undefined || value === undefined) return [];
  const order = compareQuantities(value, bound);
  const isOutside = what.startsWith('minimum') ? order < 0 : order > 0;
  return isOutside ? [`${what} is ${canonical(bound)}, but ${kind} is ${canonical(value)}`] : [];
}

function tooWide(
  name: string,
  type: string,
  ratio: Quantity,
  { request, limit }: { readonly request: Quantity | undefined; readonly limit: Quantity | undefined },
): string[] {
  const what = `${name} max limit to request ratio per ${type} is ${canonical(ratio)}`;
  if (request === undefined || nanos(request) === 0n) return [`${what}, but no request is specified or request is 0`];
  if (limit === undefined || nanos(limit) === 0n) return [`${what}, but no limit is specified or limit is 0`];
  // limit / request > ratio, without dividing
  if (nanos(limit) * 1_000_000_000n <= nanos(request) * nanos(ratio)) return [];
  return [`${what}, but provided ratio is ${(Number(nanos(limit)) / Number(nanos(request))).toFixed(6)}`];
}

export const isLimited = (resource: string): boolean => resource === 'pods' || resource === 'persistentvolumeclaims';
