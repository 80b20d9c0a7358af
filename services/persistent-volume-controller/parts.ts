import { LRUCache } from 'lru-cache';
import type { Clock } from '../../lib/base/clock.ts';
import { hasReason } from '../../lib/base/errors.ts';
import { isGone } from '../../lib/api/ending.ts';
import { makeKey, type Key } from '../../lib/api/keys.ts';
import type { Objects } from '../../lib/api/kinds.ts';
import type {
  ApiObject,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  StorageClass,
} from '../../lib/api/objects.ts';
import { isTerminal } from '../../lib/api/pods.ts';
import { claimKeysOf, diskNodeLabel, selectedNodeAnnotation } from '../../lib/api/storage.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';

/** What both loops work with. */
export interface Parts {
  /** With the indexes of `claimIndexes`. */
  readonly claims: View<PersistentVolumeClaim>;
  /** With the indexes of `volumeIndexes`. */
  readonly volumes: View<PersistentVolume>;
  readonly classes: View<StorageClass>;
  readonly nodes: View<Node>;
  /** With the indexes of `podIndexes`. */
  readonly pods: View<Pod>;
  readonly client: Pick<Client, 'get' | 'list' | 'create' | 'update' | 'updateStatus' | 'delete'>;
  readonly recorder: Recorder;
  readonly clock: Clock;
}

/** The claim that a volume is reserved for. */
export const claimKeyOf = ({ spec }: PersistentVolume): Key | undefined =>
  spec.claimRef?.name === undefined ? undefined : makeKey(spec.claimRef.namespace, spec.claimRef.name);

/** A pod uses its claims from the moment it has a node until it has ended or is gone. */
export const usedClaimsOf = (pod: Pod): readonly Key[] =>
  pod.spec.nodeName === undefined || isTerminal(pod) ? [] : claimKeysOf(pod);

export const claimIndexes = {
  /** Those that wait for a volume, by class; without a class under the empty name. */
  waiting: ({ spec, status }: PersistentVolumeClaim): readonly string[] =>
    status.phase === 'Pending' ? [spec.storageClassName ?? ''] : [],
  /** Those that wait, by the node chosen for them. */
  node: ({ metadata, status }: PersistentVolumeClaim): readonly string[] =>
    status.phase === 'Pending' ? [metadata.annotations?.[selectedNodeAnnotation] ?? ''] : [],
  volume: ({ spec }: PersistentVolumeClaim): readonly string[] =>
    (spec.volumeName ?? '') === '' ? [] : [spec.volumeName ?? ''],
};
export const volumeIndexes = {
  class: ({ spec }: PersistentVolume): readonly string[] => [spec.storageClassName ?? ''],
  claim: (volume: PersistentVolume): readonly string[] => {
    const key = claimKeyOf(volume);
    return key === undefined ? [] : [key];
  },
  node: ({ metadata }: PersistentVolume): readonly string[] => {
    const node = metadata.labels?.[diskNodeLabel];
    return node === undefined ? [] : [node];
  },
};
export const podIndexes = { claim: usedClaimsOf };

type Held = 'persistentvolumes' | 'persistentvolumeclaims';

/** Steps taken for one key in one go; more would mean a quarrel with somebody, which may cool down. */
const maxSteps = 12;

/**
 * Decides and performs until the object rests. A step that lost a race brings the view up to the present and is decided anew.
 * Throws when it does not come to rest, for the loop to try later.
 */
export async function takeSteps<Step>(
  decide: () => Promise<Step | undefined> | Step | undefined,
  perform: (step: Step) => Promise<'again' | 'rest'>,
  lookAgain: () => Promise<void>,
): Promise<void> {
  for (let count = 0; count < maxSteps; count++) {
    const step = await decide();
    if (step === undefined) return;
    try {
      if ((await perform(step)) === 'rest') return;
    } catch (error) {
      if (!hasReason(error, 'Conflict', 'NotFound', 'AlreadyExists')) throw error;
      await lookAgain();
    }
  }
  throw new Error(`not at rest after ${maxSteps} steps`);
}

/** Files what a write answered with. */
export function filed<T extends ApiObject>(view: View<T>, written: T): void {
  if (isGone(written)) view.wroteDeletion(written);
  else view.wrote(written);
}

/** Brings a view's copy of one object up to the present. */
export async function refreshed<R extends Held>(
  client: Parts['client'],
  resource: R,
  view: View<Objects[R]>,
  key: Key,
): Promise<Objects[R] | undefined> {
  const now = await client.get(resource, key);
  const held = view.get(key);
  if (now !== undefined) view.wrote(now);
  else if (held !== undefined) view.wroteDeletion(held);
  return now;
}

export const without = (object: ApiObject, finalizer: string): readonly string[] =>
  (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);

const maxTold = 10_000;

/** Tells a fact once, and again when another was told of the object in between: claims that wait are looked at over and over. */
export class Teller {
  readonly #recorder: Recorder;
  readonly #told = new LRUCache<string, string>({ max: maxTold });

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  tell(about: ApiObject, severity: 'Normal' | 'Warning', reason: string, message: string): void {
    const text = `${reason} ${message}`;
    if (this.#told.get(about.metadata.uid) === text) return;
    this.#told.set(about.metadata.uid, text);
    this.#recorder.event(about, severity, reason, message);
  }
}
