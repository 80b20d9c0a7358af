import { runCommand } from '../network/run-command.ts';

const measureMs = 60_000;

/**
 * The bytes that a folder takes on its own file system, each file once. It is counted by a process of its own, of the lowest priority: 0.2 s
 * of a core for 100,000 files that the kernel has in mind. Undefined where that takes more than a minute, or the folder is gone.
 */
export async function diskUsage(folder: string, signal?: AbortSignal): Promise<number | undefined> {
  const { stdout } = await runCommand('nice', ['-n', '19', 'du', '-skx', '--', folder], {
    timeoutMs: measureMs,
    ...(signal === undefined ? {} : { signal }),
  });
  // It may complain of files that went while it counted: the sum is the last line all the same.
  const kilobytes = /^(\d+)\t/.exec(stdout)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
}
