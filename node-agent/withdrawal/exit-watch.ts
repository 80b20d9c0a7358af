import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { backoffMs } from '../../lib/base/backoff.ts';
import { messageOf } from '../../lib/base/errors.ts';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';

/**
 * Tells of the end of a container's main process the moment the kernel does, which is long before an engine has noticed, tidied up and told.
 * It only ever says something earlier: whatever it misses, the engine tells.
 */
export interface ExitWatch {
  /** From now on the end of this process is told under the container's id; again for the same container does nothing. */
  watch(containerId: string, pid: number): void;
}

export interface ExitWatchOptions {
  readonly onExit: (containerId: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/**
 * The kernel tells of processes that are not one's children by descriptors (pidfd_open, Linux 5.3), which Node cannot open. Perl can, and is part
 * of every Debian. It reads `<pid> <name>` and says `<name>` when that process has ended; it ends with its input.
 */
const program = `
my ($in, %name) = ('');
my $all = '';
vec($all, 0, 1) = 1;
while (1) {
  my $ready = $all;
  next if select($ready, undef, undef, undef) < 1;
  if (vec($ready, 0, 1)) {
    exit 0 unless sysread(STDIN, $in, 65536, length($in));
    while ($in =~ s/^(\\d+) (\\S+)\\n//) {
      my $fd = syscall(434, $1 + 0, 0);
      if ($fd >= 0) { $name{$fd} = $2; vec($all, $fd, 1) = 1 }
      elsif ($! == 3) { syswrite(STDOUT, "$2\\n") }
    }
  }
  for my $fd (keys %name) {
    next unless vec($ready, $fd, 1);
    syswrite(STDOUT, "$name{$fd}\\n");
    vec($all, $fd, 1) = 0;
    delete $name{$fd};
    open(my $file, '<&=', $fd) and close($file);
  }
}`;

const retry = { firstMs: 1_000, maxMs: 60_000 };
/** More than a node runs; the oldest are forgotten. */
const mostWatched = 4_096;

export function newExitWatch({ onExit, clock, log, signal }: ExitWatchOptions): ExitWatch {
  /** By container, those that have ended too: engines go on saying for a moment that they run. */
  const watched = new Map<string, number>();
  let helper: ChildProcess | undefined;
  let failures = 0;

  function start(): void {
    if (signal.aborted) return;
    const child = spawn('perl', ['-e', program], { stdio: ['pipe', 'pipe', 'ignore'], env: { LC_ALL: 'C' } });
    helper = child;
    child.stdin.on('error', () => undefined); // its end follows
    child.unref();
    createInterface({ input: child.stdout }).on('line', (id) => {
      failures = 0;
      if (watched.has(id)) onExit(id);
    });
    const ended = (why: string): void => {
      if (helper !== child) return;
      helper = undefined;
      if (signal.aborted) return;
      if (failures === 0) log.info({ why }, 'deaths are told as late as the engine tells them');
      clock.after(backoffMs(failures++, retry), start);
    };
    child.once('error', (error) => {
      ended(messageOf(error));
    });
    child.once('exit', (code) => {
      ended(`perl ended with ${code ?? 'a signal'}`);
    });
    for (const [id, pid] of watched) child.stdin.write(`${pid} ${id}\n`);
  }

  signal.addEventListener('abort', () => {
    helper?.kill('SIGKILL');
  });
  return {
    watch(id, pid) {
      if (watched.get(id) === pid || signal.aborted) return;
      watched.set(id, pid);
      if (watched.size > mostWatched) watched.delete(watched.keys().next().value ?? '');
      if (helper === undefined && failures === 0) start();
      else helper?.stdin?.write(`${pid} ${id}\n`);
    },
  };
}
