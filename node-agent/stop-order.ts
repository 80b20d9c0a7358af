import type { Pod } from '../lib/api/objects.ts';
import type { PodContainer } from './labels.ts';
import { isSidecar } from './plan.ts';

/**
 * Whose turn it is to be stopped: everybody but the sidecars at once (F48, shared fate), then the sidecars one by one, the last
 * to be started first, so that each is there for as long as somebody may need it. Whoever only looks into the pod goes at once, and no one waits for it.
 */
export function nextToStop({ spec }: Pod, running: readonly PodContainer[]): readonly PodContainer[] {
  const sidecars = (spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name);
  const rank = ({ kind, name }: PodContainer): number => {
    if (kind === 'ephemeral') return -1;
    const place = kind === 'init' ? sidecars.indexOf(name) : -1;
    return place === -1 ? sidecars.length : place;
  };
  const first = Math.max(...running.map(rank));
  return running.filter((container) => rank(container) === first || rank(container) === -1);
}
