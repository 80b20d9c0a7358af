import { readFileSync } from 'node:fs';

/** A process's proportional share of memory (PSS) in bytes: pages shared by several processes are split among them. */
export function memoryOf(pid: number): number | undefined {
  try {
    const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
    return match === null ? undefined : Number(match[1]) * 1024;
  } catch {
    return undefined;
  }
}
