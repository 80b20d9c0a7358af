import type { Stats } from 'node:fs';
import { mkdir, open, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Volume } from '../../lib/api/objects.ts';
import { VolumeError, type PreparedVolume, type VolumeDriver } from './driver.ts';

/** A part of the machine's tree that pods may mount. */
export interface HostPathRule {
  readonly path: string;
  readonly readOnly: boolean;
}

/** Reads `--host-paths`: paths divided by commas, each with `:ro` where pods may only read. Throws an Error that names the wrong one. */
export function parseHostPaths(text: string): readonly HostPathRule[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => {
      const readOnly = entry.endsWith(':ro');
      const path = readOnly ? entry.slice(0, -':ro'.length) : entry;
      if (!path.startsWith('/') || path.split('/').includes('..') || path.includes(':'))
        throw new Error(`host path "${entry}" must be an absolute path without "..", with ":ro" for reading only`);
      return { path: path === '/' ? path : path.replace(/\/+$/, ''), readOnly };
    });
}

/**
 * A place of the machine's own tree, if the node's operator allows it (F40, F178). What counts is where the path really leads, so that a
 * symbolic link opens nothing. What is there is never removed.
 */
export function newHostPathDriver(rules: readonly HostPathRule[]): VolumeDriver {
  const prepare = async ({ volume }: { readonly volume: Volume }): Promise<PreparedVolume> => {
    const { path, type = '' } = volume.hostPath ?? { path: '' };
    const about = `volume "${volume.name}": hostPath "${path}"`;
    const before = await allowed(about, await leadsTo(path), rules);
    const real = await ensured(about, before.path, type);
    return real === before.path ? before : allowed(about, real, rules); // made in a place that moved under our hands
  };
  return {
    kind: 'hostPath',
    prepare,
    isInPlace: async (wanted, made) => {
      const now = await prepare(wanted).catch(() => undefined);
      return now?.path === made.path;
    },
    release: async () => undefined,
  };
}

/** The real place of a path, of which the last parts need not exist. */
async function leadsTo(path: string): Promise<string> {
  const found = await realpath(path).catch(() => undefined);
  if (found !== undefined) return found;
  const parent = dirname(path);
  return parent === path ? path : join(await leadsTo(parent), basename(path));
}

async function allowed(about: string, real: string, rules: readonly HostPathRule[]): Promise<PreparedVolume> {
  let readOnly: boolean | undefined;
  for (const rule of rules) {
    if (isWithin(real, await leadsTo(rule.path))) readOnly = (readOnly ?? true) && rule.readOnly;
  }
  if (readOnly !== undefined) return { path: real, readOnly };
  const list = rules.map((rule) => `${rule.path}${rule.readOnly ? ' (to read)' : ''}`).join(', ');
  throw new VolumeError(
    `${about} is not allowed on this node, which lets pods mount ${list === '' ? 'no path of its own' : list} (--host-paths)`,
  );
}

export const isWithin = (path: string, folder: string): boolean =>
  path === folder || folder === '/' || path.startsWith(`${folder}/`);

const checks: Readonly<Record<string, (found: Stats) => boolean>> = {
  Directory: (found) => found.isDirectory(),
  File: (found) => found.isFile(),
  Socket: (found) => found.isSocket(),
  CharDevice: (found) => found.isCharacterDevice(),
  BlockDevice: (found) => found.isBlockDevice(),
};

/** By hostPath.type (API spec 3.3): makes what it says may be made, refuses what is not there or is something else. */
async function ensured(about: string, path: string, type: string): Promise<string> {
  const wanted = type.replace(/OrCreate$/, '');
  if ((await stat(path).catch(() => undefined)) === undefined) {
    if (type === '' || type === 'DirectoryOrCreate')
      await make(about, () => mkdir(path, { recursive: true, mode: 0o755 }));
    else if (type === 'FileOrCreate') await make(about, async () => (await open(path, 'a', 0o644)).close());
    else throw new VolumeError(`${about} does not exist on the node, and its type ${type} does not let it be made`);
  }
  if (checks[wanted]?.(await stat(path)) === false) throw new VolumeError(`${about} is not of type ${wanted}`);
  return realpath(path);
}

async function make(about: string, work: () => Promise<unknown>): Promise<void> {
  await work().catch((error: NodeJS.ErrnoException) => {
    const why = error.code === 'ENOENT' ? 'its folder does not exist' : error.message;
    throw new VolumeError(`${about} cannot be made: ${why}`, { cause: error });
  });
}
