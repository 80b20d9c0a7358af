import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** The lines of the kernel's table for what is mounted at a folder and below, in the order in which it was mounted. */
export const mountLines = (folder: string): readonly string[] =>
  readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(folder));

/** What pods have of an agent's folder as mounts, and as folders of the node's one memory; that itself is no pod's. */
export function podMounts(dataDir: string): readonly string[] {
  const memory = join(dataDir, 'memory');
  const held = existsSync(memory) ? readdirSync(memory).map((uid) => join(memory, uid)) : [];
  return [...mountLines(dataDir).filter((line) => line.split(' ')[1] !== memory), ...held];
}
