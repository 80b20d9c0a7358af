import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Container, VolumeMount } from '../../lib/api/objects.ts';
import { asMap, expanded } from '../environment.ts';
import type { ContainerMount } from '../runtime/runtime.ts';
import { VolumeError, VolumeLost, type PreparedVolume } from './driver.ts';
import { isWithin } from './host-path.ts';
import { mount, mountTable, shareMount, unmountAll } from './mounts.ts';
import { openBeneath } from './sub-path.ts';

export interface ContainerPlace {
  /** The pod's folder. */
  readonly folder: string;
  /** Its folder in memory. */
  readonly inMemory: string;
  /** The container's variables, as `NAME=value`: `subPathExpr` speaks of them. */
  readonly environment: readonly string[];
  readonly made: (volume: string) => Promise<PreparedVolume | undefined>;
}

/** What one start of a container mounts of the pod's volumes. Throws VolumeError, which names the container and the mount. */
export async function containerMounts(container: Container, place: ContainerPlace): Promise<readonly ContainerMount[]> {
  const mounts: ContainerMount[] = [];
  for (const [index, wish] of (container.volumeMounts ?? []).entries()) {
    try {
      mounts.push(await containerMount(wish, join(place.folder, 'subpaths', container.name, String(index)), place));
    } catch (error) {
      if (!(error instanceof VolumeError) || error instanceof VolumeLost) throw error;
      const message = `container "${container.name}", mount ${wish.mountPath} of volume "${wish.name}": ${error.message}`;
      throw new VolumeError(message, { cause: error });
    }
  }
  return mounts;
}

async function containerMount(wish: VolumeMount, target: string, place: ContainerPlace): Promise<ContainerMount> {
  const made = await place.made(wish.name);
  if (made === undefined) throw new VolumeError('the pod has no such volume');
  const subPath = subPathOf(wish, place.environment);
  const propagation = propagations[wish.mountPropagation ?? 'None'];
  const source = subPath === '' ? made.path : await mountSubPath(made, subPath, target);
  if (propagation !== undefined) await share(source, place);
  return {
    source,
    target: wish.mountPath,
    readOnly: (wish.readOnly ?? false) || made.readOnly === true,
    ...(propagation === undefined ? {} : { propagation }),
  };
}

const propagations: Readonly<Record<string, ContainerMount['propagation']>> = {
  HostToContainer: 'slave',
  Bidirectional: 'shared',
};

function subPathOf({ subPath = '', subPathExpr = '' }: VolumeMount, environment: readonly string[]): string {
  if (subPathExpr === '') return subPath;
  const path = expanded(subPathExpr, asMap(environment));
  const unknown = /\$\([^()]*\)/.exec(path)?.[0];
  if (unknown !== undefined)
    throw new VolumeError(`subPathExpr "${subPathExpr}": the container has no variable ${unknown.slice(2, -1)}`);
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw new VolumeError(`subPathExpr "${subPathExpr}" is "${path}", and must be a relative path without ".."`);
  return path;
}

/**
 * Mounts the place on a name of our own, for the engine to take: what it finds there later is what was looked at, whatever containers do
 * to the names meanwhile. What an earlier start of the container mounted there is replaced; that container has its own hold of it.
 */
async function mountSubPath(made: PreparedVolume, subPath: string, target: string): Promise<string> {
  const held = await openBeneath(made.path, subPath, made.readOnly !== true);
  try {
    await unmountAll(target);
    if (held.isDirectory) await mkdir(target, { recursive: true });
    else {
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, '', { flag: 'a' });
    }
    await mount(target, { source: held.path });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EISDIR' && code !== 'EEXIST') throw error;
    throw new VolumeError(`subPath "${subPath}" is of another kind than before`, { cause: error });
  } finally {
    await held.close();
  }
  return target;
}

/** Mounts spread only from a shared mount. In the pod's own folders we see to it; the machine's tree is its operator's. */
async function share(source: string, { folder, inMemory }: ContainerPlace): Promise<void> {
  if (isWithin(source, folder) || isWithin(source, inMemory)) return shareMount(source);
  const mounts = mountTable().filter(({ path }) => isWithin(source, path));
  const holder = mounts.toSorted((a, b) => b.path.length - a.path.length)[0];
  if (holder === undefined || holder.shared) return;
  throw new VolumeError(
    `mountPropagation needs ${holder.path} of the node to be a shared mount (mount --make-shared ${holder.path})`,
  );
}
