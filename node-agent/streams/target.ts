import { containerNameIn, containerStatusIn } from '../../lib/api/container-choice.ts';
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
  if (newest === undefined) throw notStarted(found, name);
  throw new ApiError(
    'BadRequest',
    `container "${name}" of pod "${found.key}" does not run: it ended with exit code ${newest.is.exitCode ?? -1}`,
  );
}

/** The container, running or not, as it was last. BadRequest where it never was. */
export function anyContainer(found: StreamPod, target: StreamTarget): PodContainer {
  const [newest] = livesOf(found, target);
  if (newest !== undefined) return newest;
  throw notStarted(found, containerNameIn(found.pod, target.container));
}

/** That no life of a container is there: it waits, it never could be started, or it was cleared away. Why stands in brackets. */
export function notStarted({ key, pod }: StreamPod, container: string): ApiError {
  const { waiting, terminated } = containerStatusIn(pod, container)?.state ?? {};
  const { reason = '', message = '' } = terminated ?? waiting ?? {};
  const words = [reason, message].filter((part) => part !== '').join(': ');
  const what =
    terminated === undefined
      ? 'has not started yet'
      : terminated.startedAt === undefined
        ? 'could not be started'
        : 'has ended, and its last run was cleared away';
  return new ApiError(
    'BadRequest',
    `container "${container}" of pod "${key}" ${what}${words === '' ? '' : ` (${words})`}`,
  );
}
