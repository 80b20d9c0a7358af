import { readFileSync } from 'node:fs';
import { runCommand } from '../network/run-command.ts';
import { VolumeError } from './driver.ts';

/** The mount table is the kernel's; asking it touches no file system, so that a dead file server hangs nobody. */
export interface Mount {
  readonly path: string;
  readonly type: string;
  /** What is mounted: a device, or `server:/path`. */
  readonly source: string;
  /** Mounts made below it are seen by its peers: other name spaces, and copies of it. */
  readonly shared: boolean;
}

/** Every mount that this process sees, in the order in which they were made. */
export const mountTable = (): readonly Mount[] => parseMountInfo(mountInfo());

/** At once and in one go: it comes from memory in some 0.2 ms, and piece by piece through the thread pool in ten times that. */
const mountInfo = (): string => readFileSync('/proc/self/mountinfo', 'utf8');

export function parseMountInfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    if (separator === -1) return [];
    return [
      {
        path: unescaped(fields[4] ?? ''),
        type: fields[separator + 1] ?? '',
        source: unescaped(fields[separator + 2] ?? ''),
        shared: fields.slice(6, separator).some((field) => field.startsWith('shared:')),
      },
    ];
  });
}

const escaped = (path: string): string =>
  path.replace(/[ \t\n\\]/g, (sign) => `\\${sign.charCodeAt(0).toString(8).padStart(3, '0')}`);

/** The kernel writes blanks and such as `\040`. */
const unescaped = (text: string): string =>
  text.includes('\\')
    ? Buffer.from(
        text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8))),
        'latin1',
      ).toString('utf8')
    : text;

/** The mounts at `path` and below it, the last made first: the order in which they can be taken away. */
export function mountsAt(path: string): readonly Mount[] {
  const text = mountInfo();
  if (!text.includes(escaped(path))) return []; // as a rule
  return parseMountInfo(text)
    .filter((mount) => mount.path === path || mount.path.startsWith(`${path}/`))
    .reverse();
}

export const isMounted = (path: string): boolean => mountsAt(path).some((mount) => mount.path === path);

/** Makes a folder, or the mount on it, one whose mounts spread to whoever shares it. A second call changes nothing. */
export async function shareMount(path: string): Promise<void> {
  const found = mountTable()
    .filter((one) => one.path === path)
    .at(-1);
  if (found?.shared === true) return;
  if (found === undefined) await mount(path, { source: path });
  const { exitCode, stderr } = await runCommand('mount', ['-c', '--make-shared', path]);
  if (exitCode !== 0) throw new VolumeError(`${path} cannot be made a shared mount: ${lastLine(stderr)}`);
}

export interface MountOptions {
  /** As for `mount -t`. Undefined: bind. */
  readonly type?: string;
  readonly source: string;
  readonly options?: readonly string[];
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
}

/** Mounts in a process of its own, which is ended at the deadline. Throws VolumeError with the mount program's words. */
export async function mount(
  path: string,
  { type, source, options = [], signal, timeoutMs }: MountOptions,
): Promise<void> {
  const list = options.length === 0 ? [] : ['-o', options.join(',')];
  // Without -c the program resolves the names anew, and a symbolic link that was put there meanwhile would count.
  const args = type === undefined ? ['-c', '--bind', ...list, source, path] : ['-t', type, ...list, source, path];
  const { exitCode, stderr } = await runCommand('mount', args, {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode !== 0) throw new VolumeError(`${source} cannot be mounted on ${path}: ${lastLine(stderr)}`);
}

/** Whether this kernel can keep a memory file system out of swap (Linux 6.4); found out by trying. */
let knowsNoSwap = true;

/** A file system in memory, empty; at most `bytes` (undefined: half of the machine's memory). */
export async function mountMemory(path: string, mode: number, bytes: number | undefined): Promise<void> {
  const options = [`mode=${mode.toString(8)}`, ...(bytes === undefined ? [] : [`size=${Math.max(4096, bytes)}`])];
  const memory = { type: 'tmpfs', source: 'tmpfs' };
  if (knowsNoSwap) {
    try {
      return await mount(path, { ...memory, options: [...options, 'noswap'] });
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      knowsNoSwap = false;
    }
  }
  await mount(path, { ...memory, options });
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? '';

const unmountMs = 5_000;

/**
 * Takes away everything mounted at `path` and below. What is busy or does not answer in 5 s (a dead file server) is
 * detached: it vanishes from the tree at once and ends when nobody uses it any more. Throws VolumeError when something stays.
 */
export async function unmountAll(path: string): Promise<void> {
  const mounts = mountsAt(path);
  if (mounts.length === 0) return;
  for (const { path: mounted } of mounts) {
    const { exitCode } = await runCommand('umount', ['-c', mounted], { timeoutMs: unmountMs });
    if (exitCode !== 0) await runCommand('umount', ['-c', '-l', '-f', mounted], { timeoutMs: unmountMs });
  }
  const left = mountsAt(path);
  if (left.length > 0) throw new VolumeError(`${left.map((mount) => mount.path).join(', ')} cannot be unmounted`);
}
