import { containerNames, containerStatusIn } from '../../lib/api/container-choice.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { ContainerStatus, EphemeralContainer, Pod } from '../../lib/api/objects.ts';
import { ApiError, hasReason } from '../../lib/base/errors.ts';
import { follow } from '../follow.ts';
import { missing } from '../select.ts';
import type { Session } from '../session.ts';

const attempts = 5;

/** What of an ephemeral container a person says; the rest is the server's. */
export type Looker = Pick<EphemeralContainer, 'name' | 'image'> & Partial<EphemeralContainer>;

/**
 * Adds an ephemeral container to a pod, beside those that others add at the same time. Resolves to the pod as it is then. AlreadyExists where a
 * container has that name; Invalid as the API says it.
 */
export async function addLooker(session: Session, found: Pod, looker: Looker): Promise<Pod> {
  const client = await session.client();
  const key = keyOf(found);
  for (let attempt = 1, pod = found; ; attempt++) {
    const { name, resourceVersion } = pod.metadata;
    if (containerNames(pod).includes(looker.name))
      throw new ApiError(
        'AlreadyExists',
        `pod/${name} has a container "${looker.name}" already; -c gives another name`,
      );
    const ephemeralContainers = [...(pod.spec.ephemeralContainers ?? []), looker];
    const patch = { metadata: { resourceVersion }, spec: { ephemeralContainers } };
    try {
      return await client.patch('pods', key, patch, { ...session.call, subresource: 'ephemeralcontainers' });
    } catch (error) {
      if (!hasReason(error, 'Conflict') || attempt === attempts) throw error;
      const now = await client.get('pods', key, session.call);
      if (now?.metadata.uid !== found.metadata.uid) throw missing(session, 'pods', name);
      pod = now;
    }
  }
}

/** Resolves to what the node says of a container once it runs or has ended; meanwhile tells what it waits for. NotFound where the pod goes first. */
export async function untilStarted(session: Session, pod: Pod, container: string): Promise<ContainerStatus> {
  const { namespace = '', name, uid, resourceVersion } = pod.metadata;
  let told = '';
  const started = (seen: Pod): ContainerStatus | undefined => {
    const status = containerStatusIn(seen, container);
    if (status?.state?.running !== undefined || status?.state?.terminated !== undefined) return status;
    const { reason, message } = status?.state?.waiting ?? {};
    const why = [reason, message].filter((part) => part !== undefined && part !== '').join(': ');
    if (why !== '' && why !== told) session.note(`container ${container} has not started yet (${why}); waiting`);
    told = why;
    return undefined;
  };
  const selection = { namespace, fieldSelector: `metadata.name=${name}`, fromRevision: resourceVersion };
  for await (const { type, object } of follow(session, 'pods', selection, session.signal)) {
    if (object === undefined) continue;
    if (type === 'DELETED' || object.metadata.uid !== uid) break;
    const status = started(object);
    if (status !== undefined) return status;
  }
  session.signal.throwIfAborted();
  throw missing(session, 'pods', name);
}
