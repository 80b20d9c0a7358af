import { containerNameIn } from '../../lib/api/container-choice.ts';
import type { StreamTarget } from '../../lib/bus/streams/requests.ts';
import { ApiError } from '../../lib/base/errors.ts';
import type { PodContainer } from '../labels.ts';
import type { PodWorker } from '../pod-worker.ts';

/** What a stream needs of the work on a pod. */
export type StreamPod = Pick<PodWorker, 'key' | 'uid' | 'pod' | 'containers'>;

/** The newest pod of that name, or the one with the uid that was asked for. NotFound. */
export function podOf(pods: Iterable<StreamPod>, { namespace, pod, uid }: StreamTarget, node: string): StreamPod {
  const key = `${namespace}/${pod}`;
  const found = [...pods].findLast(
    (candidate) => candidate.key === key && (uid === undefined || candidate.uid === uid),
  );
  if (found === undefined) throw new ApiError('NotFound', `pod "${key}" is not on node "${node}"`);
  return found;
}

/** The container's lives that were started, the newest first. BadRequest where it is not clear which container, or there is none such. */
export function livesOf(found: StreamPod, target: StreamTarget): readonly PodContainer[] {
  const name = containerNameIn(found.pod, target.container);
  return [...found.containers]
    .filter((container) => container.kind !== 'sandbox' && container.name === name)
    .filter((container) => container.is.startedAtMs !== undefined)
    .toSorted((a, b) => b.attempt - a.attempt);
}

/** The container as it runs now. BadRequest where it does not. */
export function runningContainer(found: StreamPod, target: StreamTarget): PodContainer {
  const name = containerNameIn(found.pod, target.container);
  const [newest] = livesOf(found, target);
  if (newest?.is.state === 'running') return newest;
  const what = `container "${name}" of pod "${found.key}"`;
  if (newest === undefined) throw new ApiError('BadRequest', `${what} has not started yet${waitingFor(found, name)}`);
  throw new ApiError('BadRequest', `${what} does not run: it ended with exit code ${newest.is.exitCode ?? -1}`);
}

/** The container, running or not, as it was last. BadRequest where it never was. */
export function anyContainer(found: StreamPod, target: StreamTarget): PodContainer {
  const [newest] = livesOf(found, target);
  if (newest !== undefined) return newest;
  const name = containerNameIn(found.pod, target.container);
  throw new ApiError(
    'BadRequest',
    `container "${name}" of pod "${found.key}" has not started yet${waitingFor(found, name)}`,
  );
}

/** Why a container has not started, in brackets; empty where nothing is known of it. */
export function waitingFor({ pod }: Pick<StreamPod, 'pod'>, container: string): string {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status;
  const waiting = [...containerStatuses, ...initContainerStatuses].find(({ name }) => name === container)?.state
    ?.waiting;
  const words = [waiting?.reason, waiting?.message].filter((part) => part !== undefined && part !== '').join(': ');
  return words === '' ? '' : ` (${words})`;
}
