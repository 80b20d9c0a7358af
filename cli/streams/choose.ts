import { containerNames, defaultContainer } from '../../lib/api/container-choice.ts';
import { formatSelector, selectorOf } from '../../lib/api/labels.ts';
import type { Pod } from '../../lib/api/objects.ts';
import { isDeleting, isReady, isTerminal } from '../../lib/api/pods.ts';
import { ApiError } from '../../lib/base/errors.ts';
import type { ListOptions } from '../../lib/client/client.ts';
import { keyIn, missing } from '../select.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../shell.ts';
import { parseTargets } from '../targets.ts';

/** The pods behind a word such as `web-1`, `pod/web-1`, `rc/web`, `service/web`, or behind a selector. */
export interface ChosenPods {
  readonly pods: readonly Pod[];
  /** The selection to watch for pods that come later; undefined where one pod is meant. */
  readonly selection?: ListOptions & { readonly fromRevision: string };
}

export async function podsBehind(session: Session, word: string): Promise<ChosenPods> {
  const [target] = parseTargets(word.includes('/') ? [word] : ['pods', word]);
  const [name] = target?.names ?? [];
  if (target === undefined || name === undefined)
    throw new UsageError(`"${word}": name a pod, such as web-1 or pod/web-1`);
  const client = await session.client();
  const key = keyIn(session, target.resource, name);
  if (target.resource === 'pods') {
    const pod = await client.get('pods', key, session.call);
    if (pod === undefined) throw missing(session, 'pods', name);
    return { pods: [pod] };
  }
  if (target.resource !== 'replicationcontrollers' && target.resource !== 'services') {
    throw new UsageError(`"${word}": name a pod, a replicationcontroller or a service`);
  }
  const owner = await client.get(target.resource, key, session.call);
  if (owner === undefined) throw missing(session, target.resource, name);
  const map = owner.spec.selector ?? {};
  if (Object.keys(map).length === 0) throw new ApiError('BadRequest', `${word} has no selector, so it has no pods`);
  return podsSelected(session, formatSelector(selectorOf(map)));
}

export async function podsSelected(session: Session, labelSelector: string): Promise<ChosenPods> {
  const client = await session.client();
  const selection = { namespace: session.globals.namespace, labelSelector };
  const { items, revision } = await client.list('pods', selection, session.call);
  const pods = items.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return { pods, selection: { ...selection, fromRevision: revision } };
}

/** One pod: that of the name, or the best of several: ready before running before waiting, then by name. */
export async function onePod(session: Session, word: string): Promise<Pod> {
  const { pods, selection } = await podsBehind(session, word);
  const [best] = selection === undefined ? pods : pods.toSorted((a, b) => worth(b) - worth(a));
  if (best === undefined)
    throw new ApiError('NotFound', `there is no pod behind ${word} in namespace "${session.globals.namespace}"`);
  return best;
}

const worth = (pod: Pod): number =>
  isTerminal(pod) || isDeleting(pod) ? 0 : isReady(pod) ? 3 : pod.status.phase === 'Running' ? 2 : 1;

/** The container that was named, or the usual one; where that is a guess, says so. BadRequest for one that is not there. */
export function oneContainer(session: Session, pod: Pod, wanted: string | undefined): string {
  const names = containerNames(pod);
  if (wanted !== undefined) {
    if (names.includes(wanted)) return wanted;
    throw new ApiError(
      'BadRequest',
      `pod/${pod.metadata.name} has no container "${wanted}"; it has ${names.join(', ')}`,
    );
  }
  const usual = defaultContainer(pod);
  if (usual !== undefined) return usual;
  const first = names[0] ?? '';
  session.note(`${pod.metadata.name} has the containers ${names.join(', ')}; taking ${first} (-c takes another)`);
  return first;
}
