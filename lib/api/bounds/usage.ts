import { usesNodePorts } from '../defaults/service-type.ts';
import { isAbsent, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import type { KindInfo } from '../kinds.ts';
import { isQuantity, nanos } from '../quantity.ts';
import { isCompute, plainCounts } from './quota-names.ts';

/** Amounts by their names in quotas, in billionths. */
export type Usage = ReadonlyMap<string, bigint>;

const one = 1_000_000_000n;

/** What an object takes of what quotas bound. A pod that has ended takes nothing any more, but it is still there. */
export function usageOf({ resource, group }: Pick<KindInfo, 'resource' | 'group'>, object: Json): Usage {
  const usage = new Map<string, bigint>([
    [`count/${group === '' || resource.includes('.') ? resource : `${resource}.${group}`}`, one],
  ]);
  if (resource === 'pods') ofPod(usage, object);
  else if (plainCounts.has(resource)) usage.set(resource, one);
  if (resource === 'services') ofService(usage, objectAt(object, 'spec'));
  if (resource === 'persistentvolumeclaims') ofClaim(usage, objectAt(object, 'spec'));
  return usage;
}

function ofPod(usage: Map<string, bigint>, pod: Json): void {
  const phase = textAt(objectAt(pod, 'status'), 'phase');
  if (phase === 'Succeeded' || phase === 'Failed') return;
  usage.set('pods', one);
  const spec = objectAt(pod, 'spec');
  for (const list of ['requests', 'limits'] as const)
    for (const [name, amount] of totalsOf(spec, list)) {
      usage.set(`${list}.${name}`, amount);
      if (list === 'requests' && isCompute(name)) usage.set(name, amount);
    }
}

/** What the containers of a pod ask for at most at one time: those that run together, or one that prepares with the sidecars started before it. */
export function totalsOf(spec: Json, list: 'requests' | 'limits'): ReadonlyMap<string, bigint> {
  const amounts = (container: Json): readonly (readonly [string, bigint])[] =>
    Object.entries(objectAt(objectAt(container, 'resources'), list)).flatMap(([name, amount]) =>
      isQuantity(amount) ? [[name, nanos(amount)] as const] : [],
    );
  const together = new Map<string, bigint>();
  const peak = new Map<string, bigint>();
  for (const container of objectsAt(spec, 'initContainers')) {
    const stays = container['restartPolicy'] === 'Always';
    for (const [name, amount] of amounts(container)) {
      const sum = (together.get(name) ?? 0n) + amount;
      if (stays) together.set(name, sum);
      else if (sum > (peak.get(name) ?? 0n)) peak.set(name, sum);
    }
  }
  for (const container of objectsAt(spec, 'containers'))
    for (const [name, amount] of amounts(container)) together.set(name, (together.get(name) ?? 0n) + amount);
  for (const [name, amount] of peak) if (amount > (together.get(name) ?? 0n)) together.set(name, amount);
  return together;
}

function ofService(usage: Map<string, bigint>, spec: Json): void {
  if (usesNodePorts(spec)) usage.set('services.nodeports', BigInt(objectsAt(spec, 'ports').length) * one);
  if (spec['type'] === 'LoadBalancer') usage.set('services.loadbalancers', one);
}

function ofClaim(usage: Map<string, bigint>, spec: Json): void {
  const size = objectAt(objectAt(spec, 'resources'), 'requests')['storage'];
  const amount = isQuantity(size) ? nanos(size) : 0n;
  usage.set('requests.storage', amount);
  const storageClass = spec['storageClassName'];
  if (isAbsent(storageClass) || typeof storageClass !== 'string' || storageClass === '') return;
  usage.set(`${storageClass}.storageclass.storage.k8s.io/requests.storage`, amount);
  usage.set(`${storageClass}.storageclass.storage.k8s.io/persistentvolumeclaims`, one);
}
