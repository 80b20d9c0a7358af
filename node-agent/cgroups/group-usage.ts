import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { memoryV1, memoryV2, numberIn } from '../stats/figures.ts';

/** What the processes of a group take now. */
export interface GroupUsage {
  /** Without the file cache that could be dropped. */
  readonly memoryBytes: number;
  readonly pids: number;
}

/** Reads a group's files; undefined where there is no such group. `path` is its folder below the mount point (v2) or below each controller (v1). */
export async function groupUsage(mount: string, version: 1 | 2, path: string): Promise<GroupUsage | undefined> {
  const folder = (controller: string): string => join(mount, version === 2 ? '' : controller, path);
  const memoryFiles = version === 2 ? ['memory.current', 'memory.stat'] : ['memory.usage_in_bytes', 'memory.stat'];
  const texts = new Map<string, string>();
  const load = async (controller: string, file: string): Promise<void> => {
    const text = await readFile(join(folder(controller), file), 'utf8').catch(() => undefined);
    if (text !== undefined) texts.set(file, text);
  };
  await Promise.all([...memoryFiles.map((file) => load('memory', file)), load('pids', 'pids.current')]);
  const read = (file: string): string | undefined => texts.get(file);
  const memory = version === 2 ? memoryV2(read) : memoryV1(read);
  return memory === undefined
    ? undefined
    : { memoryBytes: memory.workingSetBytes, pids: numberIn(read('pids.current')) ?? 0 };
}
