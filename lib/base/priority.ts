import { readFileSync, writeFileSync } from 'node:fs';
import { setPriority } from 'node:os';

/** By this the kernel gives nine times the share of others to who wants the processor at the same moment; who wants little gets it at once. */
const nice = -10;

/**
 * Has the kernel run a process (this one; with it what it starts from now on) ahead of the others of its machine, for the few that do little at a time and for whom
 * everybody waits. Where the kernel shares out the processor by sessions first (`sched_autogroup_enabled`) a nice value counts within a session alone,
 * so that the session's own is set, too, provided that the process leads it: whoever was started by hand from a shell does not raise the shell. What is not
 * permitted or not there is left as it is; within a control group of its own the group's weight decides.
 */
export function raisePriority(pid = process.pid): void {
  try {
    setPriority(pid, nice);
    if (leadsSession(pid)) writeFileSync(`/proc/${pid}/autogroup`, String(nice));
  } catch {
    // Everything works without it, though later where the processor is short.
  }
}

/** proc(5): after the name in brackets come state, parent, process group and session. */
function leadsSession(pid: number): boolean {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const [, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(session) === pid;
}
