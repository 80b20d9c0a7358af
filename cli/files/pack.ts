import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import tar from 'tar-stream';
import { ApiError, messageOf } from '../../lib/base/errors.ts';

export interface PackOptions {
  /** The name of the file or folder in the tar. */
  readonly name: string;
  /** To whom everything belongs there. */
  readonly owner: { readonly uid: number; readonly gid: number };
  readonly preserve: boolean;
  readonly onBytes: (count: number) => void;
  readonly onSkipped: (what: string) => void;
}

/** A file or folder as a tar; a path that is itself a link is followed. Read only as fast as it is taken. */
export async function* pack(path: string, options: PackOptions): AsyncIterable<Uint8Array> {
  const packed = tar.pack();
  const writing = addAll(packed, path, options).then(
    () => {
      packed.finalize();
    },
    (error: unknown) => {
      packed.destroy(error instanceof Error ? error : new Error(messageOf(error)));
    },
  );
  yield* packed as AsyncIterable<Uint8Array>;
  await writing;
}

async function addAll(packed: tar.Pack, path: string, options: PackOptions): Promise<void> {
  const found = await stat(path).catch((error: unknown) => {
    throw new ApiError(
      'BadRequest',
      `${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file or folder' : messageOf(error)}`,
    );
  });
  if (found.isDirectory()) await addFolder(packed, path, options);
  else await addFile(packed, path, options);
}

async function addFolder(packed: tar.Pack, path: string, options: PackOptions): Promise<void> {
  const { mode, mtime } = await lstat(path);
  await added((done) =>
    packed.entry({ ...headerOf(options, mode, mtime), name: `${options.name}/`, type: 'directory' }, done),
  );
  for (const name of (await readdir(path)).toSorted()) {
    const inner = join(path, name);
    const inside = { ...options, name: `${options.name}/${name}` };
    const found = await lstat(inner);
    if (found.isDirectory()) await addFolder(packed, inner, inside);
    else if (found.isFile()) await addFile(packed, inner, inside);
    else if (found.isSymbolicLink()) {
      const linkname = await readlink(inner);
      await added((done) =>
        packed.entry({ ...headerOf(inside, 0o777, found.mtime), name: inside.name, type: 'symlink', linkname }, done),
      );
    } else options.onSkipped(`${inner}: neither a file, a folder nor a link`);
  }
}

async function addFile(packed: tar.Pack, path: string, options: PackOptions): Promise<void> {
  const { mode, mtime, size } = await stat(path);
  await new Promise<void>((resolve, reject) => {
    const entry = packed.entry({ ...headerOf(options, mode, mtime), name: options.name, size }, (error) => {
      if (error) reject(new ApiError('BadRequest', `${path}: it has changed while it was copied (${error.message})`));
      else resolve();
    });
    if (size === 0) return void entry.end(Buffer.alloc(0));
    // A file that grows meanwhile is copied as long as it was; its length stands in the tar before it.
    const reader = createReadStream(path, { end: size - 1, highWaterMark: 256 * 1024 });
    reader.on('data', (data) => {
      options.onBytes(data.length);
    });
    reader.once('error', reject);
    reader.pipe(entry);
  });
}

const headerOf = (
  { owner, preserve }: PackOptions,
  mode: number,
  mtime: Date,
): Pick<tar.Header, 'uid' | 'gid' | 'mode' | 'mtime'> => ({
  ...owner,
  mode: preserve ? mode & 0o777 : (mode & 0o111) === 0 ? 0o644 : 0o755,
  mtime: preserve ? mtime : new Date(),
});

const added = (add: (done: (error?: Error | null) => void) => unknown): Promise<void> =>
  new Promise((resolve, reject) => {
    add((error) => {
      if (error === undefined || error === null) resolve();
      else reject(error);
    });
  });

/** What a copy of this path is called. */
export const nameOfPath = (path: string): string => basename(path === '.' ? process.cwd() : path);
