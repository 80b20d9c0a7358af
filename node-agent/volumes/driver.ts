import type { Key } from '../../lib/api/keys.ts';
import type { Objects, Resource } from '../../lib/api/kinds.ts';
import type { ConfigMap, Pod, Secret, Volume } from '../../lib/api/objects.ts';

/**
 * Makes volumes of one kind on this node (F177). One object serves all pods; what it knows of a volume it finds on the
 * machine, so that it can end what it began before a crash. Steps for one pod never run beside each other.
 */
export interface VolumeDriver {
  /** The field of `spec.volumes[]` that it serves, such as `emptyDir`. */
  readonly kind: string;

  /**
   * Makes the volume, or finishes making it: asked again, it changes nothing that is right and never doubles a mount. Rejects with
   * VolumeError or ConfigMissing where the pod or the node is to blame (told as FailedMount, tried again with a growing
   * delay), with anything else where something is away.
   */
  prepare(request: VolumeRequest): Promise<PreparedVolume>;

  /**
   * Whether what `prepare` made is still there after a restart of the agent or the machine. Must not wait for what may be away (the
   * API, a file server): containers that run are not to suffer from that.
   */
  isInPlace(wanted: PodVolume, made: PreparedVolume): Promise<boolean>;

  /** What the volume is filled from may have changed: makes it current. Resolves to whether anything differed. Rejects as `prepare`. */
  update?(request: VolumeRequest): Promise<boolean>;

  /**
   * Ends the volume: nothing stays mounted at or below the folder, and the folder is gone. Data that outlives the pod stays where
   * it is. `made` is undefined after a crash in the middle of `prepare`. A second call finds nothing to do.
   */
  release(place: VolumePlace, made: PreparedVolume | undefined): Promise<void>;
}

/** Where one pod's volume lives: the driver may use the folder as it likes, and must leave nothing elsewhere that it cannot find from here. */
export interface VolumePlace {
  readonly podUid: string;
  readonly name: string;
  /** Absolute, free of symbolic links; it need not exist. */
  readonly folder: string;
}

export interface PodVolume extends VolumePlace {
  readonly pod: Pod;
  readonly volume: Volume;
}

export interface VolumeRequest extends PodVolume {
  readonly config: ConfigReader;
  /** Aborted when the pod must end: waiting has no use any more. */
  readonly signal: AbortSignal;
}

/** What containers mount; kept beside the volume as JSON. */
export interface PreparedVolume {
  /** Of the directory, file, socket or device on the node. */
  readonly path: string;
  /** Containers cannot write, whatever their mount says. */
  readonly readOnly?: boolean;
}

/** Fetches what a pod's volumes and containers name. Undefined where there is none; rejects with ApiError while the API is away. */
export interface ConfigReader {
  /** From the pod's own namespace. */
  readonly configMap: (name: string) => Promise<ConfigMap | undefined>;
  readonly secret: (name: string) => Promise<Secret | undefined>;
  /** Any other object, such as a claim. */
  readonly object: <R extends Resource>(resource: R, key: Key) => Promise<Objects[R] | undefined>;
  /** A token of the pod's service account; absent where the cluster gives none. */
  readonly serviceAccountToken?: (wish: {
    readonly audience: string | undefined;
    readonly expirationSeconds: number;
  }) => Promise<string>;
  readonly podIp: string;
  readonly hostIp: string;
  readonly node: { readonly cpuMilli: number; readonly memoryBytes: number };
}

/** Why a volume cannot be had, in words for people: which volume, which value, which rule. */
export class VolumeError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'VolumeError';
  }
}

/** A volume that was prepared has gone: unmounted or removed by another hand, or by the machine's restart. */
export class VolumeLost extends VolumeError {
  constructor(message: string) {
    super(message);
    this.name = 'VolumeLost';
  }
}

/** The kind of a volume: the field that names its source. */
export const kindOf = (volume: Volume): string =>
  Object.entries(volume).find(([field, source]) => field !== 'name' && source !== undefined)?.[0] ?? 'unknown';

/** The driver of a volume. Throws a VolumeError that says which kinds this node can do. */
export function driverFor(drivers: ReadonlyMap<string, VolumeDriver>, volume: Volume): VolumeDriver {
  const kind = kindOf(volume);
  const driver = drivers.get(kind);
  if (driver !== undefined) return driver;
  const known = [...drivers.keys()].toSorted().join(', ');
  throw new VolumeError(`volume "${volume.name}": no driver for ${kind} on this node; it has ${known}`);
}
