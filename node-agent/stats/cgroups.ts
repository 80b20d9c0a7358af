/**
 * Where the kernel accounts for a container: the folders of its cgroup, found by the process that it runs and not by how an engine
 * names things, so that a parent of ours in between (a pod's own cgroup) or another driver of the engine changes nothing.
 */

/** The controllers whose files are read. */
export const controllers = ['cpu', 'cpuacct', 'memory', 'blkio', 'pids'] as const;
export type Controller = (typeof controllers)[number];

interface Mount {
  /** Which cgroup the mount point shows; `/` is that of the machine. */
  readonly root: string;
  readonly point: string;
}

/** The mounted hierarchies: one for each v1 controller, and the unified one of v2. */
export interface CgroupMounts {
  readonly v1: ReadonlyMap<Controller, Mount>;
  readonly v2: Mount | undefined;
}

/** Where each controller keeps the figures of one cgroup, and in which form. */
export type CgroupFolders = ReadonlyMap<Controller, { readonly version: 1 | 2; readonly folder: string }>;

/** Reads `/proc/self/mountinfo`. The first mount of a hierarchy counts. */
export function cgroupMounts(mountinfo: string): CgroupMounts {
  const v1 = new Map<Controller, Mount>();
  let v2: Mount | undefined;
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root, point] = left.split(' ').map(unescaped);
    const [type, , options = ''] = right.split(' ');
    if (root === undefined || point === undefined) continue;
    if (type === 'cgroup2') v2 ??= { root, point };
    if (type !== 'cgroup') continue;
    const mounted = options.split(',');
    for (const name of controllers) if (mounted.includes(name) && !v1.has(name)) v1.set(name, { root, point });
  }
  return { v1, v2 };
}

/** Blanks and backslashes in paths are written as octal numbers. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));

/**
 * The folders of a container, from the `/proc/<pid>/cgroup` of its first process. Undefined where no path in it names the container:
 * then the process is not the container's any more (its number was given away again). A cgroup that the container made
 * inside its own (an init system, an engine in a container) counts as the container.
 */
export function foldersOf(mounts: CgroupMounts, procCgroup: string, containerId: string): CgroupFolders | undefined {
  const found = new Map<Controller, { readonly version: 1 | 2; readonly folder: string }>();
  const paths = new Map<string, string>();
  for (const line of procCgroup.split('\n')) {
    const [, names, ...path] = line.split(':');
    if (names === undefined || path.length === 0) continue;
    for (const name of names.split(',')) paths.set(name, path.join(':'));
  }
  for (const controller of controllers) {
    const v1 = mounts.v1.get(controller);
    const path = paths.get(v1 === undefined ? '' : controller);
    const mount = v1 ?? mounts.v2;
    const own = path === undefined ? undefined : upTo(path, containerId);
    if (mount === undefined || own === undefined) continue;
    found.set(controller, { version: v1 === undefined ? 2 : 1, folder: mount.point + below(mount.root, own) });
  }
  return found.size === 0 ? undefined : found;
}

/** The path down to the part that names the container. */
function upTo(path: string, containerId: string): string | undefined {
  const at = path.indexOf(containerId);
  if (containerId === '' || at < 0) return undefined;
  const end = path.indexOf('/', at);
  return end < 0 ? path : path.slice(0, end);
}

/** A path relative to what a mount point shows; where the reader is in a namespace of its own, `/../x` leads out of that. */
const below = (root: string, path: string): string =>
  root !== '/' && path.startsWith(`${root}/`) ? path.slice(root.length) : path;
