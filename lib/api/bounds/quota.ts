import { qosClassOf } from '../defaults/qos.ts';
import { isAbsent, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import type { KindInfo, ResourceLookup } from './lookup.ts';
import type { ResourceQuota } from '../objects.ts';
import { formatNanos, nanos } from '../quantity.ts';
import { isCompute } from './quota-names.ts';
import type { Usage } from './usage.ts';

/** Of which resource a quota counts objects under a name; undefined for what is no resource here. */
export function countedResource(name: string, lookup: ResourceLookup): string | undefined {
  if (isCompute(name) || name === 'pods') return 'pods';
  if (name.startsWith('services')) return 'services';
  if (name === 'requests.storage' || name.includes('.storageclass.storage.k8s.io/')) return 'persistentvolumeclaims';
  return lookup(name.startsWith('count/') ? name.slice('count/'.length) : name);
}

/** The names under which a quota bounds something of a resource. */
export const namesFor = (quota: ResourceQuota, resource: string, lookup: ResourceLookup): readonly string[] =>
  Object.keys(quota.spec.hard ?? {}).filter((name) => countedResource(name, lookup) === resource);

/** Whether a quota counts an object: scopes are about pods, and one without scopes counts everything. */
export function counts({ spec }: ResourceQuota, info: Pick<KindInfo, 'resource'>, object: Json): boolean {
  const terms = [
    ...(spec.scopes ?? []).map((scopeName) => ({ scopeName, operator: 'Exists' as const, values: [] })),
    ...(spec.scopeSelector?.matchExpressions ?? []),
  ];
  if (terms.length === 0) return true;
  if (info.resource !== 'pods') return false;
  const pod = objectAt(object, 'spec');
  return terms.every(({ scopeName, operator, values = [] }) => {
    if (scopeName !== 'PriorityClass') return hasScope(scopeName, pod);
    const name = textAt(pod, 'priorityClassName');
    switch (operator) {
      case 'Exists':
        return name !== '';
      case 'DoesNotExist':
        return name === '';
      case 'In':
        return values.includes(name);
      case 'NotIn':
        return !values.includes(name);
    }
  });
}

function hasScope(scope: string, spec: Json): boolean {
  switch (scope) {
    case 'Terminating':
      return !isAbsent(spec['activeDeadlineSeconds']);
    case 'NotTerminating':
      return isAbsent(spec['activeDeadlineSeconds']);
    case 'BestEffort':
      return qosClassOf(spec) === 'BestEffort';
    case 'NotBestEffort':
      return qosClassOf(spec) !== 'BestEffort';
    case 'CrossNamespacePodAffinity':
      return crossesNamespaces(objectAt(spec, 'affinity'));
    default:
      return false;
  }
}

const crossesNamespaces = (affinity: Json): boolean =>
  ['podAffinity', 'podAntiAffinity'].some((kind) => {
    const rules = objectAt(affinity, kind);
    const terms = [
      ...objectsAt(rules, 'requiredDuringSchedulingIgnoredDuringExecution'),
      ...objectsAt(rules, 'preferredDuringSchedulingIgnoredDuringExecution').map((each) =>
        objectAt(each, 'podAffinityTerm'),
      ),
    ];
    return terms.some((term) => !isAbsent(term['namespaces']) || !isAbsent(term['namespaceSelector']));
  });

/** What a quota bounds of a pod and a container of it does not say: nobody could tell what the pod takes. Empty when all is said. */
export function unsaid(quota: ResourceQuota, pod: Json): string {
  const spec = objectAt(pod, 'spec');
  const containers = [...objectsAt(spec, 'initContainers'), ...objectsAt(spec, 'containers')];
  return Object.keys(quota.spec.hard ?? {})
    .filter((name) => isCompute(name) && /^((requests|limits)\.)?(cpu|memory|ephemeral-storage)$/.test(name))
    .flatMap((name) => {
      const list = name.startsWith('limits.') ? 'limits' : 'requests';
      const bare = name.replace(/^(requests|limits)\./, '');
      const silent = containers.filter((each) => isAbsent(objectAt(objectAt(each, 'resources'), list)[bare]));
      return silent.length === 0 ? [] : [`${name} for: ${silent.map((each) => textAt(each, 'name')).join(',')}`];
    })
    .sort()
    .join('; ');
}

/** What of the names would be more than the quota allows when `wanted` is added to `used`, in words; undefined when nothing. */
export function exceeded(
  quota: ResourceQuota,
  names: readonly string[],
  { used, wanted }: { readonly used: Usage; readonly wanted: Usage },
): string | undefined {
  const hard = quota.spec.hard ?? {};
  const over = names.filter((name) => {
    const more = wanted.get(name) ?? 0n;
    return more > 0n && (used.get(name) ?? 0n) + more > nanos(hard[name] ?? 0);
  });
  if (over.length === 0) return undefined;
  const text = (amountOf: (name: string) => bigint): string =>
    over
      .toSorted()
      .map((name) => `${name}=${amountText(name, amountOf(name))}`)
      .join(',');
  const [asked, taken, limit] = [
    text((name) => wanted.get(name) ?? 0n),
    text((name) => used.get(name) ?? 0n),
    text((name) => nanos(hard[name] ?? 0)),
  ];
  return `exceeded quota: ${quota.metadata.name}, requested: ${asked}, used: ${taken}, limited: ${limit}`;
}

/** An amount as people write it: bytes in powers of two. */
export const amountText = (name: string, amount: bigint): string =>
  formatNanos(amount, /memory|storage|hugepages/.test(name) && !name.endsWith('claims') ? 'binary' : 'decimal');
