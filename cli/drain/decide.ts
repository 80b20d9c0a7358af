import type { Pod } from '../../lib/api/objects.ts';
import { controllerOf, isDeleting, isTerminal } from '../../lib/api/pods.ts';
import type { Told } from '../../lib/api/replacing.ts';

/** What may go with the pods of a node. */
export interface Allowed {
  /** Pods that nobody makes anew. */
  readonly force: boolean;
  readonly emptyDirData: boolean;
}

export interface Sorted {
  /** To be evicted. */
  readonly go: readonly Pod[];
  /** Not to be touched, with the reason. */
  readonly stay: readonly Told[];
  /** Why nothing is done at all. */
  readonly against: readonly Told[];
}

/**
 * Its containers have ended by themselves and it is nobody's to end: to evict it would move nothing and take its logs and its exit codes away,
 * which those of a Job are kept for. So it neither goes nor is waited for.
 */
export const hasFinished = (pod: Pod): boolean => isTerminal(pod) && !isDeleting(pod);

/** Which pods of a node a drain is about. */
export function sortPods(pods: readonly Pod[], allowed: Allowed): Sorted {
  const go: Pod[] = [];
  const stay: Told[] = [];
  const against: Told[] = [];
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (hasFinished(pod)) stay.push({ pod, why: finishedWords(pod) });
    else if (owner?.kind === 'DaemonSet' && !isTerminal(pod))
      stay.push({ pod, why: `belongs to DaemonSet ${owner.name}, which would only make it anew here` });
    else if (isDeleting(pod)) go.push(pod);
    else if (owner === undefined && !allowed.force)
      against.push({ pod, why: 'has no controller: nobody makes it anew elsewhere (--force evicts it all the same)' });
    else if (hasEmptyDir(pod) && !allowed.emptyDirData)
      against.push({ pod, why: 'has data in an emptyDir, which goes with it (--delete-emptydir-data lets it go)' });
    else go.push(pod);
  }
  return { go, stay, against };
}

export const finishedWords = ({ status }: Pod): string =>
  `has finished (${status.phase}), and its logs can be read until it is removed`;

const hasEmptyDir = ({ spec }: Pod): boolean =>
  spec.volumes?.some(({ emptyDir }) => emptyDir !== undefined && emptyDir.medium !== 'Memory') === true;
