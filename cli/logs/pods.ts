import { ApiError } from '../../lib/base/errors.ts';
import { formatSelector, selectorOf } from '../../lib/api/labels.ts';
import type { Pod } from '../../lib/api/objects.ts';
import type { ListOptions } from '../../lib/client/client.ts';
import { keyIn, missing } from '../select.ts';
import type { Session } from '../session.ts';
import { UsageError } from '../shell.ts';
import { parseTargets } from '../targets.ts';

/** The pods whose logs are meant. */
export interface LogPods {
  readonly pods: readonly Pod[];
  /** The selection to watch for pods that come later; undefined where one pod is meant. */
  readonly selection?: ListOptions & { readonly fromRevision: string };
}

/** Finds the pods behind a word such as `web-1`, `pod/web-1`, `rc/web`, `service/web`, or behind a selector. */
export async function resolvePods(
  session: Session,
  word: string | undefined,
  selector: string | undefined,
): Promise<LogPods> {
  if (word === undefined) return bySelector(session, selector ?? '');
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
    throw new UsageError(`"${word}": logs are of pods; name a pod, a replicationcontroller or a service`);
  }
  const owner = await client.get(target.resource, key, session.call);
  if (owner === undefined) throw missing(session, target.resource, name);
  const map = owner.spec.selector ?? {};
  if (Object.keys(map).length === 0) throw new ApiError('BadRequest', `${word} has no selector, so it has no pods`);
  return bySelector(session, formatSelector(selectorOf(map)));
}

async function bySelector(session: Session, labelSelector: string): Promise<LogPods> {
  const client = await session.client();
  const selection = { namespace: session.globals.namespace, labelSelector };
  const { items, revision } = await client.list('pods', selection, session.call);
  const pods = items.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return { pods, selection: { ...selection, fromRevision: revision } };
}
