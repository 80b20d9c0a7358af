import { containerNameIn } from '../../../lib/api/container-choice.ts';
import type { Messages } from '../../../lib/api/gen/messages.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { conditionOf, isTerminal } from '../../../lib/api/pods.ts';
import { ApiError, notFound } from '../../../lib/base/errors.ts';
import type { StreamTarget } from '../../../lib/bus/streams/requests.ts';
import { keyFor } from '../door/requests.ts';
import type { Registry } from '../registry/registry.ts';

export interface Located {
  readonly node: string;
  readonly target: Required<Pick<StreamTarget, 'uid'>> & StreamTarget;
}

export interface Needs {
  /** What is to be done, for errors: `run a command in`. */
  readonly doing: string;
  /** Whether it can be done with a pod that has ended. */
  readonly inEnded: boolean;
  /** Whether one container is meant. */
  readonly container: boolean;
}

/** Where a pod runs, and which container is meant. BadRequest for what cannot be, NotFound where there is no such pod. */
export async function locate(
  registry: Registry,
  asked: Messages['PodTarget'] | undefined,
  needs: Needs,
): Promise<Located> {
  if (asked === undefined) throw new ApiError('BadRequest', 'target is required: the pod');
  const served = await registry.get('pods', keyFor('pods', asked.namespace, asked.pod));
  if (served === undefined) throw notFound('pods', asked.pod);
  const pod = JSON.parse(served.json.toString('utf8')) as Pod;
  const name = `pod "${asked.namespace}/${asked.pod}"`;
  const container = needs.container ? containerNameIn(pod, asked.container) : undefined;
  if (isTerminal(pod) && !needs.inEnded)
    throw new ApiError('BadRequest', `cannot ${needs.doing} ${name}: it has ended (${pod.status.phase})`);
  const node = pod.spec.nodeName ?? '';
  if (node === '') {
    const why = conditionOf(pod.status, 'PodScheduled')?.message ?? '';
    throw new ApiError('BadRequest', `${name} has no node yet${why === '' ? '' : `: ${why}`}`);
  }
  const { namespace, pod: podName } = asked;
  const target = { namespace, pod: podName, uid: pod.metadata.uid, ...(container === undefined ? {} : { container }) };
  return { node, target };
}
