import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * How many processes the kernel has ended for want of memory in the group of this process; undefined where that cannot be
 * read. An engine's word about it is not enough: it speaks of every container in a pod's group when one of them is struck.
 */
export async function oomKillsBeside(pid: number, mount = '/sys/fs/cgroup'): Promise<number | undefined> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
  const paths = new Map(groups.split('\n').map((line) => [line.split(':')[1] ?? '', line.split(':')[2] ?? '']));
  const v1 = paths.get('memory');
  const file =
    v1 === undefined
      ? join(mount, paths.get('') ?? '', 'memory.events')
      : join(mount, 'memory', v1, 'memory.oom_control');
  const found = /^oom_kill (\d+)$/m.exec(await readFile(file, 'utf8').catch(() => ''))?.[1];
  return found === undefined ? undefined : Number(found);
}
