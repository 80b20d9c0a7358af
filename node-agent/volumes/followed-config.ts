import { referenceId, type ConfigReference } from '../../lib/api/config-change.ts';
import { makeKey } from '../../lib/api/keys.ts';
import type { ConfigMap, Pod, Secret } from '../../lib/api/objects.ts';
import type { Following, ObjectFollower } from '../../lib/view/follow.ts';
import type { ConfigReader } from './driver.ts';
import { volumeReferences } from './projection.ts';

const readTimeoutMs = 5_000;

/**
 * The ConfigMaps and Secrets that the volumes of this node's pods are filled from, each followed once for all pods that name it, from
 * a pod's first volume to its last.
 */
export class FollowedConfig {
  readonly #follower: ObjectFollower;
  readonly #onChange: (podUid: string) => void;
  readonly #byPod = new Map<string, ReadonlyMap<string, Followed>>();

  /** `onChange`: what a pod's volumes are made of differs from what was last read for it. */
  constructor(follower: ObjectFollower, onChange: (podUid: string) => void) {
    this.#follower = follower;
    this.#onChange = onChange;
  }

  /** Begins to follow what the pod's volumes name. A second call changes nothing. */
  follow(pod: Pod): void {
    const { uid } = pod.metadata;
    if (this.#byPod.has(uid)) return;
    const references = volumeReferences(pod.spec.volumes);
    if (references.length === 0) return;
    const followed = references.map((reference) => {
      const key = makeKey(pod.metadata.namespace, reference.name);
      const one: Followed = {
        readers: 0,
        following: this.#follower.follow(reference.resource, key, () => {
          if (one.readers === 0) this.#onChange(uid); // who reads now reads this
        }),
      };
      return [referenceId(reference), one] as const;
    });
    this.#byPod.set(uid, new Map(followed));
  }

  /** As `follow`, for a pod whose volumes were filled before our time: `onChange` is called as soon as they can be compared. */
  resume(pod: Pod): void {
    const { uid } = pod.metadata;
    this.follow(pod);
    const all = [...(this.#byPod.get(uid)?.values() ?? [])];
    if (all.length === 0) return;
    void Promise.all(all.map((one) => readOne(one))).then(
      () => {
        this.#onChange(uid);
      },
      () => undefined, // the first answer will be told as a change
    );
  }

  /** `otherwise`, where what the pod's volumes name is read from what is followed. */
  reader(pod: Pod, otherwise: ConfigReader): ConfigReader {
    const read = <T extends ConfigMap | Secret>(reference: ConfigReference): Promise<T | undefined> | undefined => {
      const one = this.#byPod.get(pod.metadata.uid)?.get(referenceId(reference));
      return one === undefined ? undefined : (readOne(one) as Promise<T | undefined>);
    };
    return {
      ...otherwise,
      configMap: (name) => read<ConfigMap>({ resource: 'configmaps', name }) ?? otherwise.configMap(name),
      secret: (name) => read<Secret>({ resource: 'secrets', name }) ?? otherwise.secret(name),
    };
  }

  /** The pod's volumes are gone, or change no more. */
  forget(podUid: string): void {
    for (const { following } of this.#byPod.get(podUid)?.values() ?? []) following.stop();
    this.#byPod.delete(podUid);
  }
}

interface Followed {
  readonly following: Following<ConfigMap | Secret>;
  /** How many wait for it, and so will get whatever comes. */
  readers: number;
}

async function readOne(one: Followed): Promise<ConfigMap | Secret | undefined> {
  one.readers++;
  try {
    return await one.following.read(readTimeoutMs);
  } finally {
    one.readers--;
  }
}
