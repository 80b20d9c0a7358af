import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { token } from '../../lib/bus/subjects.ts';
import type { Key } from '../../lib/api/keys.ts';
import type { Lease, Node, Pod } from '../../lib/api/objects.ts';
import { conditionOf, isReady } from '../../lib/api/pods.ts';
import type { KeyQueue } from '../../lib/controller/controller.ts';
import type { View } from '../../lib/view/view.ts';
import type { NodeController } from './controller.ts';
import type { Ear } from './liveness.ts';
import { podLostReason } from './reconcile.ts';

/** How often the silence of nodes is looked at, in memory only. */
export const listenEveryMs = 250;
/** A longer time between two looks means that this process stood still. */
export const stallMs = 1_000;

interface Sources {
  readonly nodes: View<Node>;
  readonly pods: View<Pod>;
  readonly leases: View<Lease>;
  readonly bus: EventBus | undefined;
  readonly cluster: string;
  readonly clock: Clock;
  readonly ear: Ear;
  readonly signal: AbortSignal;
}

/** Lets the ear hear heartbeats and Leases, also while another process leads, so that a new leader knows all at once. */
export function listenToNodes({ nodes, pods, leases, bus, cluster, clock, ear, signal }: Sources): void {
  const byToken = new Map<string, string>();
  nodes.onChange(({ key, before, after }) => {
    if (after === undefined) return void byToken.delete(token(key));
    byToken.set(token(key), key);
    ear.know(key, clock.monotonic());
    // Only its agent says Ready again after we said Unknown: a sign of life, and to say Unknown once more at once would be a quarrel.
    if (before !== undefined && isUnknown(before) && !isUnknown(after)) ear.beat(key, clock.monotonic());
  });
  pods.onChange(({ before, after }) => {
    const name = after?.spec.nodeName;
    if (name === undefined || before === undefined || after === undefined || !isReady(after)) return;
    if (conditionOf(before.status, 'Ready')?.reason === podLostReason) ear.beat(name, clock.monotonic()); // likewise
  });
  leases.onChange(({ after }) => {
    if (after === undefined) return;
    const { renewTime, leaseDurationSeconds } = after.spec;
    const duration = leaseDurationSeconds === undefined ? {} : { durationMs: leaseDurationSeconds * 1000 };
    ear.lease(
      after.metadata.name,
      { ...(renewTime === undefined ? {} : { renewTime }), ...duration },
      clock.monotonic(),
    );
  });
  if (bus === undefined) return;
  const subscription = bus.subscribe(
    `${cluster}.heartbeat.*`,
    ({ subject }) => {
      const node = byToken.get(subject.slice(subject.lastIndexOf('.') + 1));
      if (node !== undefined) ear.beat(node, clock.monotonic());
    },
    () => {
      ear.missed(clock.monotonic());
    },
  );
  const stop = bus.onStatus((connected) => {
    ear.connection(connected, clock.monotonic());
  });
  signal.addEventListener('abort', () => {
    stop();
    subscription.close();
  });
}

const isUnknown = (node: Node): boolean => conditionOf(node.status, 'Ready')?.status === 'Unknown';

/** All names that may need work: of nodes, and of those that only pods name. */
export function keysOf({ nodes, pods }: Pick<Sources, 'nodes' | 'pods'>): Iterable<Key> {
  const names = new Set(nodes.list().map(({ metadata }) => metadata.name));
  for (const pod of pods.list()) if (pod.spec.nodeName !== undefined) names.add(pod.spec.nodeName);
  return names;
}

/** Wakes the loop for changed nodes, changed judgements, and pods bound to nodes that drive them out or do not exist. */
export function wakeNodes(queue: KeyQueue, controller: NodeController, sources: Sources): void {
  const { nodes, pods, clock, ear, signal } = sources;
  nodes.onChange(({ key, after }) => {
    if (after === undefined) controller.forget(key);
    queue.add(key);
  });
  pods.onChange(({ after }) => {
    const name = after?.spec.nodeName;
    if (name === undefined) return;
    const node = nodes.get(name);
    const drives = node === undefined || node.spec.taints?.some(({ effect }) => effect === 'NoExecute') === true;
    if (drives) queue.add(name);
  });
  const listen = (): void => {
    if (signal.aborted) return;
    const names = nodes.list().map(({ metadata }) => metadata.name);
    for (const name of ear.judge(names, clock.monotonic())) queue.add(name);
    clock.after(listenEveryMs, listen);
  };
  clock.after(listenEveryMs, listen);
}
