import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const modulesRoot = '/usr/lib/uml/modules';

/** Why a kernel of our own cannot be run; undefined when it can. */
export function whyNoGuestKernel(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux';
  if (!existsSync('/usr/bin/linux.uml')) return 'no linux.uml (Debian: apt-get install user-mode-linux)';
  if (!existsSync('/usr/sbin/exportfs')) return 'no NFS server (Debian: apt-get install nfs-kernel-server)';
  return undefined;
}

export interface GuestOptions {
  /** Names below `kernel/`, without what they depend on. */
  readonly modules: readonly string[];
  /** Shell, run as root; memory file systems are on /run and /mnt, all else is the machine's own tree, to read only. */
  readonly script: string;
  readonly timeoutMs: number;
}

/**
 * Boots a Linux kernel as a process (User Mode Linux) on this machine's files, runs a script in it and resolves to what it printed. For what
 * this machine's own kernel may lack, or what had better hang another.
 */
export async function runInGuest({ modules, script, timeoutMs }: GuestOptions): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-guest-'));
  const init = join(folder, 'init');
  writeFileSync(init, initScript(modules, script), { mode: 0o755 });
  const child = spawn(
    'linux.uml',
    [
      ...['mem=768M', 'root=/dev/root', 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${init}`, `uml_dir=${folder}`],
      ...['con=null', 'con0=fd:0,fd:1', 'quiet'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], detached: true },
  );
  let output = '';
  const collect = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(-100_000));
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const endAll = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL'); // its processes are the guest's; the group is ours alone
    } catch {
      // ended
    }
  };
  const deadline = setTimeout(endAll, timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => {
        resolve();
      });
    });
    return output;
  } finally {
    clearTimeout(deadline);
    endAll();
    rmSync(folder, { recursive: true, force: true });
  }
}

function initScript(modules: readonly string[], script: string): string {
  const root = join(modulesRoot, readdirSync(modulesRoot)[0] ?? '');
  const dependencies = new Map(
    readFileSync(join(root, 'modules.dep'), 'utf8')
      .split('\n')
      .map((line) => line.split(': '))
      .map(
        ([name = '', needs = '']) => [name.replace(/:$/, ''), needs.split(' ').filter((need) => need !== '')] as const,
      ),
  );
  const all = modules.flatMap((name) => [...(dependencies.get(`kernel/${name}`) ?? []).toReversed(), `kernel/${name}`]);
  return [
    '#!/bin/sh',
    'exec >/dev/console 2>&1',
    `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/mnt TMPDIR=/mnt`,
    'mount -t proc proc /proc',
    'mount -t sysfs sysfs /sys',
    'mount -t tmpfs tmpfs /run',
    'mount -t tmpfs tmpfs /mnt',
    'ip link set lo up',
    ...[...new Set(all)].map((name) => `busybox insmod ${join(root, name)}`),
    script,
    'echo o > /proc/sysrq-trigger',
    'sleep 10',
    '',
  ].join('\n');
}
