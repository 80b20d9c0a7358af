import { readdir, readFile } from 'node:fs/promises';

/**
 * An engine that is killed while it starts a container may leave that running and not know of it afterwards: it says `created`, refuses to
 * start it ("id already in use"), and does not end it when it removes it. What is left is found by the kernel's words: the shim that was
 * started for the container, and what runs in its control group. Resolves to how many processes were ended. Only for a
 * container that the engine says has never run. Looks at every process of the machine: some 10 ms, not for often.
 */
export async function endInterruptedStart(id: string): Promise<number> {
  const entries = await readdir('/proc').catch(() => []);
  const pids = entries.filter((name) => /^\d+$/.test(name)).map(Number);
  let ended = 0;
  for (const pid of pids) {
    if (!(await belongsTo(pid, id))) continue;
    try {
      process.kill(pid, 'SIGKILL');
      ended++;
    } catch {
      // it ended by itself
    }
  }
  return ended;
}

/** A shim names its container in its arguments; a container's own processes are in a group that is named by its id, plain or as a scope. */
async function belongsTo(pid: number, id: string): Promise<boolean> {
  if (pid === process.pid) return false;
  const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');
  const groups = await read('cgroup');
  if (groups.includes(id)) return true;
  const args = (await read('cmdline')).split('\0');
  return /(^|\/)containerd-shim[^/]*$/.test(args[0] ?? '') && args[args.indexOf('-id') + 1] === id;
}
