import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod } from '../../lib/api/objects.ts';
import {
  driverFor,
  kindOf,
  type ConfigReader,
  type PodVolume,
  type PreparedVolume,
  type VolumeDriver,
  type VolumePlace,
  VolumeLost,
} from './driver.ts';
import { removeTree } from './removal.ts';

/**
 * The volumes of pods, each made by its driver. Beside each volume stands a record of which driver made it and what it made: written
 * before the driver begins, so that whatever it does can be ended by whoever finds the folder.
 *
 *   <pod's folder>/volumes/<name>        the driver's folder
 *   <pod's folder>/records/<name>.json   { kind, made? }
 */
export class PodVolumes {
  readonly #drivers: ReadonlyMap<string, VolumeDriver>;
  readonly #folderOf: (podUid: string) => string;

  constructor(drivers: ReadonlyMap<string, VolumeDriver>, folderOf: (podUid: string) => string) {
    this.#drivers = drivers;
    this.#folderOf = folderOf;
  }

  /** Makes all volumes of a pod, beside each other. Rejects as the drivers do; a second call makes what is missing. */
  async prepare(pod: Pod, config: ConfigReader, signal: AbortSignal): Promise<void> {
    await mkdir(join(this.#folderOf(pod.metadata.uid), 'records'), { recursive: true });
    const outcomes = await Promise.allSettled(
      this.#wanted(pod).map(async (wanted) => {
        const driver = driverFor(this.#drivers, wanted.volume);
        await this.#write(wanted, { kind: driver.kind });
        await this.#write(wanted, { kind: driver.kind, made: await driver.prepare({ ...wanted, config, signal }) });
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Whether all volumes of a pod are still as they were made, after a restart. Waits for nothing that may be away. */
  async areInPlace(pod: Pod): Promise<boolean> {
    const found = await Promise.all(
      this.#wanted(pod).map(async (wanted) => {
        const record = await this.#read(wanted);
        const driver = this.#drivers.get(record?.kind ?? '');
        return record?.made !== undefined && driver !== undefined && driver.isInPlace(wanted, record.made);
      }),
    );
    return found.every(Boolean);
  }

  /** Makes current what is filled from the API; resolves to the names of those that differed. Rejects as the drivers do, after all have been tried. */
  async update(pod: Pod, config: ConfigReader, signal: AbortSignal): Promise<readonly string[]> {
    const outcomes = await Promise.allSettled(
      this.#wanted(pod).map(async (wanted) => {
        const differed = await this.#drivers.get(kindOf(wanted.volume))?.update?.({ ...wanted, config, signal });
        return differed === true ? [wanted.name] : [];
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
    return outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  }

  /** What containers mount for a volume; undefined where the pod has none of that name. Rejects with VolumeLost when it is not there (any more). */
  async inPlace(pod: Pod, name: string): Promise<PreparedVolume | undefined> {
    const wanted = this.#wanted(pod).find(({ volume }) => volume.name === name);
    if (wanted === undefined) return undefined;
    const record = await this.#read(wanted);
    const driver = this.#drivers.get(record?.kind ?? '');
    if (record?.made !== undefined && (await driver?.isInPlace(wanted, record.made)) === true) return record.made;
    throw new VolumeLost(`volume "${name}" is not there any more`);
  }

  /** Ends all volumes that are found on disk. Tries all, then rejects with the first failure. */
  async release(podUid: string): Promise<void> {
    const folder = this.#folderOf(podUid);
    await removeTree(join(folder, 'subpaths')); // parts of volumes, mounted
    const names = new Set([
      ...(await list(join(folder, 'volumes'))),
      ...(await list(join(folder, 'records'))).flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -5)] : [])),
    ]);
    const outcomes = await Promise.allSettled(
      [...names].map(async (name) => {
        const place = this.#place(podUid, name);
        const record = await this.#read(place);
        await this.#drivers.get(record?.kind ?? '')?.release(place, record?.made);
        await removeTree(place.folder); // of a driver that is no more, or before there was a record
        await rm(this.#recordPath(place), { force: true });
      }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  #wanted(pod: Pod): readonly PodVolume[] {
    return (pod.spec.volumes ?? []).map((volume) => ({ ...this.#place(pod.metadata.uid, volume.name), pod, volume }));
  }
  #place(podUid: string, name: string): VolumePlace {
    return { podUid, name, folder: join(this.#folderOf(podUid), 'volumes', name) };
  }

  #recordPath({ podUid, name }: VolumePlace): string {
    return join(this.#folderOf(podUid), 'records', `${name}.json`);
  }
  async #write(place: VolumePlace, record: VolumeRecord): Promise<void> {
    const path = this.#recordPath(place);
    await writeFile(`${path}.new`, JSON.stringify(record));
    await rename(`${path}.new`, path);
  }
  async #read(place: VolumePlace): Promise<VolumeRecord | undefined> {
    try {
      return JSON.parse(await readFile(this.#recordPath(place), 'utf8')) as VolumeRecord;
    } catch {
      return undefined; // not prepared yet
    }
  }
}

interface VolumeRecord {
  readonly kind: string;
  readonly made?: PreparedVolume;
}

const list = (path: string): Promise<readonly string[]> => readdir(path).catch(() => []);
