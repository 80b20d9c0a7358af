import { stat } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { Readable } from 'node:stream';
import tar from 'tar-stream';
import { ApiError, hasReason } from '../../lib/base/errors.ts';
import type { PodStreams, PodTarget } from '../../lib/client/pod-streams.ts';
import { makeKey } from '../../lib/api/keys.ts';
import { oneContainer } from '../streams/choose.ts';
import type { Session } from '../session.ts';
import { nameOfPath, pack } from './pack.ts';
import type { PodPlace } from './place.ts';
import { newCopyProgress } from './progress.ts';
import { unpack } from './unpack.ts';

export interface CopyWish {
  readonly container: string | undefined;
  readonly preserve: boolean;
}

/** Copies a file or folder of a container to a path here: into it where that is a folder, else under that name. */
export async function copyOut(session: Session, from: PodPlace, to: string, wish: CopyWish): Promise<void> {
  const streams = await session.streams();
  const target = await targetOf(session, from, wish);
  const contents = from.path.endsWith('/.'); // what is in the folder, without the folder itself
  const path = contents ? posix.dirname(from.path) : from.path;
  const files = await streams.readFiles(target, path, session.signal);
  const into = (await localFolder(to)) && !contents;
  const name = posix.basename(path) || from.pod;
  const place = into ? join(to, name) : to.replace(/\/+$/, '');
  if (!into && !contents && (to.endsWith('/') || !(await localFolder(dirname(place)))))
    throw new ApiError('BadRequest', `${to.endsWith('/') ? to : dirname(place)}: there is no such folder here`);
  const progress = newCopyProgress(session, files.isFolder ? undefined : files.sizeBytes);
  const onSkipped = (what: string): void => {
    progress.end();
    session.warn(`skipped ${what}`);
  };
  try {
    const options = { root: files.name, target: place, preserve: wish.preserve, onBytes: progress.add, onSkipped };
    const count = await unpack(files.tar, options);
    progress.done(`${count} ${count === 1 ? 'file' : 'files'} copied to ${place}`);
  } finally {
    progress.end();
  }
}

/** Copies a file or folder from here into a container: into the folder where the path is one, else under that name. */
export async function copyIn(session: Session, from: string, to: PodPlace, wish: CopyWish): Promise<void> {
  const streams = await session.streams();
  const target = await targetOf(session, to, wish);
  const local = await stat(from).catch(() => undefined);
  if (local === undefined) throw new ApiError('BadRequest', `${from}: there is no such file or folder here`);
  const there = await folderThere(streams, target, to.path, session.signal);
  const isInto = there !== undefined;
  if (!isInto && to.path.endsWith('/'))
    throw new ApiError('BadRequest', `${to.path}: there is no such folder in the container`);
  const folder = isInto ? to.path : posix.dirname(to.path);
  const owner = there ?? (await folderThere(streams, target, folder, session.signal));
  if (owner === undefined) throw new ApiError('BadRequest', `${folder}: there is no such folder in the container`);
  const progress = newCopyProgress(session, local.isDirectory() ? undefined : local.size);
  const onSkipped = (what: string): void => {
    progress.end();
    session.warn(`skipped ${what}`);
  };
  const name = isInto ? nameOfPath(from) : posix.basename(to.path);
  try {
    const options = { name, owner, preserve: wish.preserve, onBytes: progress.add, onSkipped };
    await streams.writeFiles(target, folder, pack(from, options), session.signal);
    progress.done(`copied to ${to.pod}:${posix.join(folder, name)}`);
  } finally {
    progress.end();
  }
}

async function targetOf(session: Session, place: PodPlace, wish: CopyWish): Promise<PodTarget> {
  const client = await session.client();
  const { namespace, pod: name } = place;
  const pod = await client.get('pods', makeKey(namespace, name), session.call);
  if (pod === undefined)
    throw new ApiError('NotFound', `pods "${name}" not found in namespace "${namespace}"`, { resource: 'pods', name });
  return { namespace, pod: name, container: oneContainer(session, pod, wish.container) };
}

const localFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** The owner of a folder in the container, to whom belongs what is put into it; undefined where there is no such folder. */
async function folderThere(
  streams: PodStreams,
  target: PodTarget,
  path: string,
  signal: AbortSignal,
): Promise<{ readonly uid: number; readonly gid: number } | undefined> {
  const enough = new AbortController();
  try {
    const found = await streams.readFiles(target, path, AbortSignal.any([signal, enough.signal]));
    if (!found.isFolder) return undefined;
    const extract = tar.extract();
    const input = Readable.from(found.tar, { objectMode: false });
    input.on('error', () => undefined); // we stop it ourselves
    input.pipe(extract);
    for await (const { header } of extract) return { uid: header.uid ?? 0, gid: header.gid ?? 0 };
    return { uid: 0, gid: 0 };
  } catch (error) {
    if (hasReason(error, 'NotFound')) return undefined;
    throw error;
  } finally {
    enough.abort();
  }
}
