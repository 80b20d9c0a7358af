import { parseDuration } from '../../../lib/api/codec/scalars.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { milliOf, unitsOf } from '../../../lib/api/quantity.ts';
import type { ContainerMetrics, PodMetrics, UsageReply } from '../../../lib/api/usage.ts';
import type { Client } from '../../../lib/client/client.ts';
import type { Figure, Figures } from '../group.ts';

/** What pods use, as their nodes measure it. */
export interface Used {
  readonly items: readonly PodMetrics[];
  /** Which nodes did not answer, in words; empty when all did. */
  readonly silent: string;
}

/** Asks for the pods that a selector takes; one call a pass, whatever is wanted of it. */
export async function askUsage(
  client: Client,
  at: { readonly namespace: string; readonly selector: string; readonly timeoutMs: number },
): Promise<Used> {
  const request = { selection: { namespace: at.namespace, label_selector: at.selector }, name: '', history: false };
  const reply = await client.call<UsageReply<PodMetrics>>('troupe.v1.Metrics', 'ListPods', request, {
    timeoutMs: at.timeoutMs,
  });
  const silent = (reply.silent ?? []).map(({ node, message }) => `node ${node}: ${message}`);
  return { items: reply.items ?? [], silent: silent.slice(0, 3).join('; ') };
}

export type Amount = 'cpu' | 'memory';
const amountIn: Readonly<Record<Amount, (quantity: string | number) => number>> = { cpu: milliOf, memory: unitsOf };

/** The use of cpu (in thousandths) or memory (in bytes) of each pod, or of one container of each. By uid; pods that lack the container are left out. */
export function figuresOf({ items }: Used, amount: Amount, container: string | undefined): Figures {
  const figures = new Map<string, Figure>();
  for (const { metadata, timestamp, window, containers } of items) {
    const uid = metadata['uid'];
    const counted = containers.filter(({ name }) => container === undefined || name === container);
    if (typeof uid !== 'string' || counted.length === 0) continue;
    const value = counted.reduce((sum, each: ContainerMetrics) => sum + amountIn[amount](each.usage[amount]), 0);
    const windowMs = (parseDuration(window) ?? 0) / 1e6;
    figures.set(uid, { value, atMs: Date.parse(timestamp), windowMs });
  }
  return figures;
}

/** What a pod requests, or one container of it. A text says what is missing. */
export function requestOf(pod: Pod, amount: Amount, container: string | undefined): number | string {
  const lasting = (pod.spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  const counted = [...pod.spec.containers, ...lasting].filter(
    ({ name }) => container === undefined || name === container,
  );
  if (counted.length === 0) return `container ${container ?? ''} is not in pod ${pod.metadata.name}`;
  let sum = 0;
  for (const { name, resources } of counted) {
    const request = resources?.requests?.[amount];
    if (request === undefined) return `missing request for ${amount} in container ${name} of pod ${pod.metadata.name}`;
    sum += amountIn[amount](request);
  }
  return sum > 0 ? sum : `the request for ${amount} of pod ${pod.metadata.name} is 0`;
}
