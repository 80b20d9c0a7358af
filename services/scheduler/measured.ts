import type { Clock } from '../../lib/base/clock.ts';
import type { EventBus } from '../../lib/bus/bus.ts';
import { allRooms, readRoom, type NodeRoom } from '../../lib/bus/node-room.ts';

/** Three times as long as a node that lives is silent. */
const believedForMs = 45_000;
const sweepEveryMs = 5_000;
/** Names beyond what any cluster has are not kept: whoever may speak on the bus could make them up. */
const mostNodes = 20_000;

/**
 * Hands on what nodes measure, as they say it, until `signal` aborts; undefined for a node that has said nothing for 45 s: what was true then is no
 * ground to place anything on, nor to refuse it.
 */
export function followRooms(
  { bus, cluster, clock, signal }: { bus: EventBus; cluster: string; clock: Clock; signal: AbortSignal },
  onRoom: (node: string, room: NodeRoom | undefined) => void,
): void {
  const heardMs = new Map<string, number>();
  const subscription = bus.subscribe(
    allRooms(cluster),
    (message) => {
      const room = readRoom(message);
      if (room === undefined || (heardMs.size >= mostNodes && !heardMs.has(room.node))) return;
      heardMs.set(room.node, clock.monotonic());
      onRoom(room.node, room);
    },
    () => undefined, // it is said again
  );
  let stopSweep = (): void => undefined;
  const sweep = (): void => {
    const nowMs = clock.monotonic();
    for (const [node, atMs] of heardMs) {
      if (nowMs - atMs < believedForMs) continue;
      heardMs.delete(node);
      onRoom(node, undefined);
    }
    stopSweep = clock.after(sweepEveryMs, sweep);
  };
  sweep();
  signal.addEventListener(
    'abort',
    () => {
      subscription.close();
      stopSweep();
    },
    { once: true },
  );
}
