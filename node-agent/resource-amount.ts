import { milliOf, nanos, unitsOf } from '../lib/api/quantity.ts';
import type { Container, Quantity, ResourceRequirements } from '../lib/api/objects.ts';
import type { Pod } from '../lib/api/objects.ts';

/** `limits.cpu` and the like in units of `divisor`, rounded up; a limit that is not set is the node's capacity. */
export function quantityIn(
  resources: ResourceRequirements | undefined,
  resource: string,
  node: { readonly cpuMilli: number; readonly memoryBytes: number },
  divisor?: Quantity,
): string {
  const dot = resource.indexOf('.'); // the first: names of what nodes declare have dots of their own
  const [list, name] = [resource.slice(0, dot), resource.slice(dot + 1)];
  const own = list === 'requests' ? resources?.requests?.[name] : resources?.limits?.[name];
  const fallback =
    list === 'requests' ? '0' : name === 'cpu' ? `${node.cpuMilli}m` : name === 'memory' ? node.memoryBytes : '0';
  const amount = nanos(own ?? fallback);
  const unit = divisor === undefined || divisor === '' || nanos(divisor) === 0n ? 1_000_000_000n : nanos(divisor);
  return String((amount + unit - 1n) / unit);
}

export interface EngineResources {
  readonly cpuShares: number;
  readonly cpuQuotaMicros?: number;
  readonly memoryBytes?: number;
}

/** Requests become a share of the processor, limits a hard bound (F61). */
export function engineResources({ resources }: Container): EngineResources {
  const asked = resources.requests?.['cpu'];
  const cpu = resources.limits?.['cpu'];
  const memory = resources.limits?.['memory'];
  return {
    cpuShares: Math.max(2, Math.floor((milliOf(asked ?? 0) * 1024) / 1000)),
    ...(cpu === undefined ? {} : { cpuQuotaMicros: Math.max(1000, milliOf(cpu) * 100) }),
    ...(memory === undefined ? {} : { memoryBytes: Math.max(6 * 2 ** 20, unitsOf(memory)) }), // the engine takes no less
  };
}

/** Who is ended first when memory runs out: who asked for nothing before who asked for little; a guaranteed pod last. */
export function oomScore(pod: Pod, { resources }: Container, nodeMemoryBytes: number): number {
  if (pod.status.qosClass === 'Guaranteed') return -997;
  if (pod.status.qosClass === 'BestEffort') return 1000;
  const asked = unitsOf(resources.requests?.['memory'] ?? 0);
  return Math.min(999, Math.max(3, 1000 - Math.floor((1000 * asked) / Math.max(1, nodeMemoryBytes))));
}
