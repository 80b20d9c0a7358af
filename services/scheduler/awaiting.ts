import type { Key } from '../../lib/api/keys.ts';
import type { Labels } from '../../lib/api/objects.ts';
import type { Placement } from './schedule.ts';
import { canReach } from '../../lib/api/storage.ts';
import { selectedNodeOf, type DiskAsk } from '../../lib/placing/disks.ts';

/** What becomes of a pod that has its node and waits for its claims to get their disks there. */
export type Outlook = 'bind' | 'wait' | 'chooseAnew';

/** Depends on its arguments only. `now` is what the pod's claims ask now. */
export function outlook(node: { readonly name: string; readonly labels: Labels }, now: DiskAsk): Outlook {
  if (now.isLate === true) return 'wait';
  if (now.blocked !== undefined || now.volumes.some((volume) => !canReach(volume, node))) return 'chooseAnew';
  if (now.toPlace.length === 0) return 'bind';
  return now.toPlace.every(({ claim }) => selectedNodeOf(claim) === node.name) ? 'wait' : 'chooseAnew';
}

/** Pods with a node and without their disks, by key. Bounded by the pods that have claims. */
export class Awaiting {
  readonly #placements = new Map<Key, Placement>();

  add(placement: Placement): void {
    this.#placements.set(placement.ask.key, placement);
  }
  get(key: Key): Placement | undefined {
    return this.#placements.get(key);
  }
  remove(key: Key): void {
    this.#placements.delete(key);
  }
  on(nodeName: string): readonly Placement[] {
    return [...this.#placements.values()].filter((placement) => placement.nodeName === nodeName);
  }
  of(claim: Key): readonly Placement[] {
    return [...this.#placements.values()].filter(({ ask }) => ask.claimKeys.includes(claim));
  }
  clear(): readonly Placement[] {
    const all = [...this.#placements.values()];
    this.#placements.clear();
    return all;
  }
}
