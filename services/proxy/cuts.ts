import type { Endpoints } from '../../lib/api/objects.ts';
import type { Clock } from '../../lib/base/clock.ts';
import { TimedSet } from '../../lib/base/timed-set.ts';
import type { Backend } from './table/table.ts';

/** A pod whose address answers nobody now. */
export interface DeadPod {
  readonly uid: string;
  /** Empty for a pod on its node's own network, whose address others have too. */
  readonly ip: string;
}

/** What the Endpoints still say so long after the word of a death is true again: the pod has been started anew, and nobody lost a status. */
const overtakenMs = 3_000;
/** As many as may die at once; who is beyond that leaves with the Endpoints. */
const mostCut = 20_000;

/**
 * The pods that are known dead before the Endpoints say so: kept out of the table until the Endpoints have dropped them, until their node
 * says that they are ready again, or until what was told has been overtaken.
 */
export class Cuts {
  readonly #uids: TimedSet;

  constructor(clock: Clock, onOvertaken: (uids: readonly string[]) => void) {
    this.#uids = new TimedSet({ clock, ms: overtakenMs, most: mostCut, onOver: onOvertaken });
  }

  get size(): number {
    return this.#uids.size;
  }

  add(uids: readonly string[]): void {
    this.#uids.add(uids);
  }

  /** What the Endpoints say of it from now on is news. False where it was not cut. */
  lift(uid: string): boolean {
    return this.#uids.delete(uid);
  }

  /** Without the ready addresses of pods that are cut; the same object where it has none. */
  without(endpoints: Endpoints | undefined): Endpoints | undefined {
    if (endpoints === undefined || this.#uids.size === 0) return endpoints;
    const isCut = (uid: string | undefined): boolean => uid !== undefined && this.#uids.has(uid);
    const { subsets = [] } = endpoints;
    if (!subsets.some(({ addresses }) => addresses?.some(({ targetRef }) => isCut(targetRef?.uid)))) return endpoints;
    return {
      ...endpoints,
      subsets: subsets.map(({ addresses = [], ...rest }) => ({
        ...rest,
        addresses: addresses.filter(({ targetRef }) => !isCut(targetRef?.uid)),
      })),
    };
  }

  close(): void {
    this.#uids.close();
  }
}

/** How the proxy's Endpoints are filed: by the uid of each pod in them that is ready. */
export const endpointsIndexes = { ready: (endpoints: Endpoints): readonly string[] => [...readyUids(endpoints)] };

export function readyUids(endpoints: Endpoints | undefined): Set<string> {
  const uids = new Set<string>();
  for (const { addresses } of endpoints?.subsets ?? [])
    for (const { targetRef } of addresses ?? []) if (targetRef?.uid !== undefined) uids.add(targetRef.uid);
  return uids;
}

/** Where one pod is ready in them. */
export function backendsOf({ subsets = [] }: Endpoints, uid: string): readonly Backend[] {
  return subsets.flatMap(({ addresses = [], ports = [] }) =>
    addresses
      .filter(({ targetRef }) => targetRef?.uid === uid)
      .flatMap(({ ip }) => ports.map(({ port }) => `${ip}:${port}`)),
  );
}
