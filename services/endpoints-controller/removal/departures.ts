import type { Key } from '../../../lib/api/keys.ts';
import type { Endpoints, Labels, Pod } from '../../../lib/api/objects.ts';
import { isDeleting } from '../../../lib/api/pods.ts';
import type { StoppingPod } from '../../../lib/bus/traffic-facts.ts';
import type { Change, View } from '../../../lib/view/view.ts';

/** How Endpoints are filed: by the uid of each pod in them, ready or not. */
export const endpointsIndexes = {
  pod: (endpoints: Endpoints): readonly string[] => [...uidsOf(endpoints)],
};

const mostRemembered = 20_000;

export interface DepartureSources {
  readonly pods: Pick<View<Pod>, 'get'>;
  /** With the indexes of `endpointsIndexes`. */
  readonly endpoints: Pick<View<Endpoints>, 'get' | 'by'>;
  /** Everything about pods up to this revision is known here. */
  readonly podsKnown: () => number;
  /** The Services that select these labels. */
  readonly matching: (namespace: string, labels: Labels | undefined) => readonly Key[];
}

/** Knows at which revision of the Endpoints a pod has left all of them. */
export class Departures {
  readonly #sources: DepartureSources;
  /** Services whose Endpoints are being written, or could not be: what will stand there is not known. */
  readonly #unsettled = new Set<Key>();
  /** By uid: the revision at which a pod left Endpoints; the longest ago is forgotten first. */
  readonly #leftAt = new Map<string, number>();

  constructor(sources: DepartureSources) {
    this.#sources = sources;
  }

  begun(key: Key): void {
    this.#unsettled.add(key);
  }
  settled(key: Key): void {
    this.#unsettled.delete(key);
  }

  changed({ before, after }: Change<Endpoints>): void {
    if (before === undefined) return;
    const left = uidsOf(before);
    if (left.size === 0) return;
    for (const uid of after === undefined ? [] : uidsOf(after)) left.delete(uid);
    // Deleted Endpoints say their last revision only; whoever serves that Service serves nobody any more.
    const revision = Number((after ?? before).metadata.resourceVersion);
    for (const uid of left) {
      const known = this.#leftAt.get(uid) ?? 0;
      this.#leftAt.delete(uid);
      this.#leftAt.set(uid, Math.max(known, revision));
    }
    for (const uid of this.#leftAt.keys()) {
      if (this.#leftAt.size <= mostRemembered) break;
      this.#leftAt.delete(uid);
    }
  }

  /**
   * The revision of the Endpoints from which on none of them has the pod. Undefined while its deletion has not arrived here, an object
   * still has it, or a write that began before may still bring it back. Where nothing is remembered (this process is new), the
   * revision of what its Services have now stands for it.
   */
  leftAt({ uid, key, revision }: StoppingPod): number | undefined {
    const { pods, endpoints, podsKnown, matching } = this.#sources;
    const pod = pods.get(key);
    const known = pod?.metadata.uid === uid ? isDeleting(pod) : podsKnown() >= revision;
    if (!known || endpoints.by('pod', uid).length > 0) return undefined;
    const services = pod === undefined ? [] : matching(pod.metadata.namespace ?? '', pod.metadata.labels);
    if (services.some((service) => this.#unsettled.has(service))) return undefined;
    const revisions = services.map((service) => Number(endpoints.get(service)?.metadata.resourceVersion ?? 0));
    return Math.max(this.#leftAt.get(uid) ?? 0, ...revisions);
  }

  /** The store is another one: its revisions begin anew. */
  forget(): void {
    this.#leftAt.clear();
  }
}

function uidsOf({ subsets }: Endpoints): Set<string> {
  const uids = new Set<string>();
  for (const { addresses, notReadyAddresses } of subsets ?? [])
    for (const { targetRef } of [...(addresses ?? []), ...(notReadyAddresses ?? [])])
      if (targetRef?.uid !== undefined) uids.add(targetRef.uid);
  return uids;
}
