import { keyOf } from '../lib/api/keys.ts';
import { isMoment, maintenanceAnnotation } from '../lib/api/maintenance.ts';
import type { Pod } from '../lib/api/objects.ts';
import { isActive } from '../lib/api/pods.ts';
import { backoffMs } from '../lib/base/backoff.ts';
import { wait, type Clock } from '../lib/base/clock.ts';
import { hasReason, messageOf } from '../lib/base/errors.ts';
import type { Log } from '../lib/base/log.ts';
import type { Client } from '../lib/client/client.ts';
import type { NodeSource } from './node/node-keeper.ts';
import { podReference, type Telling } from './parts.ts';
import type { PodSource } from './pod-source.ts';

export interface MaintenanceOptions {
  readonly node: string;
  readonly nodes: NodeSource;
  readonly pods: PodSource;
  readonly client: Pick<Client, 'patch'>;
  readonly telling: Telling;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

const retry = { firstMs: 200, maxMs: 30_000 };
const callTimeoutMs = 5_000;

/**
 * Carries the notice of maintenance from the Node to its pods, as an annotation (what a program in the pod can read) and an Event
 * (what a person looks for). Lasts until aborted. Says nothing twice; what the API did not take is said again.
 */
export function tellMaintenance(options: MaintenanceOptions): void {
  const { node, nodes, pods, signal } = options;
  let busy = false;
  let again = false;
  const look = (): void => {
    again = true;
    if (busy) return;
    busy = true;
    void (async () => {
      for (let failures = 0; again && !signal.aborted;) {
        again = false;
        if (await tellAll(options)) failures = 0;
        else {
          again = true;
          await wait(options.clock, backoffMs(failures++, retry), signal).catch(() => undefined);
        }
      }
      busy = false;
    })();
  };
  nodes.onChange(({ key }) => {
    if (key === node) look();
  });
  pods.onChange(({ after }) => {
    if (after !== undefined && differs(options, after)) look();
  });
  look();
}

/** What the pods of the node are to say; undefined for nothing. */
function noticeOf({ nodes, node }: MaintenanceOptions): string | undefined {
  const text = nodes.get(node)?.metadata.annotations?.[maintenanceAnnotation];
  return text === undefined || !isMoment(text) ? undefined : text;
}

const differs = (options: MaintenanceOptions, pod: Pod): boolean =>
  isActive(pod) && pod.metadata.annotations?.[maintenanceAnnotation] !== noticeOf(options);

/** Whether all pods say what they should. */
async function tellAll(options: MaintenanceOptions): Promise<boolean> {
  const { pods, client, telling, log, node } = options;
  const notice = noticeOf(options);
  let all = true;
  for (const pod of pods.list().filter((each) => differs(options, each))) {
    try {
      const annotations = { [maintenanceAnnotation]: notice ?? null };
      const metadata = { uid: pod.metadata.uid, annotations };
      pods.wrote(await client.patch('pods', keyOf(pod), { metadata }, { timeoutMs: callTimeoutMs }));
      if (notice === undefined) continue;
      const grace = pod.spec.terminationGracePeriodSeconds;
      const words = `node ${node} goes into maintenance at ${notice}: then the pod is asked to end (SIGTERM) and gets ${grace} s`;
      telling.event(podReference(pod), 'Warning', 'NodeMaintenance', words);
    } catch (error) {
      if (hasReason(error, 'NotFound', 'Conflict')) continue; // gone, or another of its name
      log.warn({ pod: keyOf(pod), error: messageOf(error) }, 'a pod could not be told of maintenance; trying again');
      all = false;
    }
  }
  return all;
}
