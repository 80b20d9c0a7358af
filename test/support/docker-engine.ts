import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import Docker from 'dockerode';
import tar from 'tar-stream';
import { silentLog } from '../../lib/base/log.ts';
import { engineRunDir } from '../../cli/cluster/engine-parts.ts';
import { isAlive, startPrivateEngine, type PrivateEngine } from './private-engine.ts';
import { importImage } from '../../node-agent/runtime/docker-images.ts';
import { until } from './until.ts';

/** A Docker engine for one test, in a temporary folder; nothing of it is left after `stop`, also when the test failed. */
export interface DockerEngine {
  readonly socketPath: string;
  readonly docker: Docker;
  readonly dataDir: string;
  /** kill -9 of the engine (containers go on), and its return on the same folder and socket. */
  kill(): Promise<void>;
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Why tests with a real engine cannot run here; undefined when they can. */
export function whyNoDocker(): string | undefined {
  if (process.platform !== 'linux') return 'it takes Linux';
  if (process.getuid?.() !== 0) return 'it takes root';
  const found = (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, 'dockerd')));
  return found ? undefined : 'no dockerd on the path (Debian: apt-get install docker.io)';
}

/** `enter`: what starts its programs, where that is to be elsewhere. */
export async function startDockerEngine(enter: readonly string[] = []): Promise<DockerEngine> {
  const dataDir = mkdtempSync(join(tmpdir(), 'troupe-engine-'));
  const options = { dataDir, log: silentLog, enter };
  let engine: PrivateEngine;
  try {
    engine = await startPrivateEngine(options);
  } catch (error) {
    cleanUp(dataDir);
    throw error;
  }
  const docker = new Docker({ socketPath: engine.socketPath });
  return {
    socketPath: engine.socketPath,
    docker,
    dataDir,
    async kill() {
      process.kill(engine.pid, 'SIGKILL');
      await until(() => !isAlive(engine.pid), { what: 'the engine is dead' });
    },
    async restart() {
      engine = await startPrivateEngine(options);
    },
    async stop() {
      try {
        for (const { Id } of await docker.listContainers({ all: true })) {
          await docker
            .getContainer(Id)
            .remove({ force: true })
            .catch(() => undefined);
        }
      } catch {
        // the engine is dead: the shims are ended below
      }
      await engine.stop();
      cleanUp(dataDir);
    },
  };
}

/** `troupe-test/busybox:1`: the machine's static busybox with its commands as links; its command is a shell. */
export async function importBusybox(docker: Docker, name = 'troupe-test/busybox:1'): Promise<string> {
  const program = readFileSync(execFileSync('sh', ['-c', 'command -v busybox']).toString().trim());
  const applets = execFileSync('busybox', ['--list']).toString().trim().split('\n');
  const pack = tar.pack();
  pack.entry({ name: 'bin/busybox', mode: 0o755 }, program);
  for (const applet of applets) {
    if (applet !== 'busybox') pack.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox' });
  }
  pack.entry({ name: 'tmp', type: 'directory', mode: 0o1777 });
  pack.entry({ name: 'etc/passwd', mode: 0o644 }, 'root:x:0:0:root:/:/bin/sh\n');
  pack.finalize();
  await importImage(docker, Readable.from(pack), name);
  return name;
}

/** `troupe-test/perl:1`: this machine's perl with the libraries it needs, beside the commands of busybox. For what takes system calls. */
export async function importPerl(docker: Docker, name = 'troupe-test/perl:1'): Promise<string> {
  const program = execFileSync('sh', ['-c', 'readlink -f "$(command -v perl)"']).toString().trim();
  const libraries = [
    ...execFileSync('ldd', [program])
      .toString()
      .matchAll(/(\/\S+) \(0x/g),
  ].map(([, path]) => path ?? '');
  const busybox = readFileSync(execFileSync('sh', ['-c', 'command -v busybox']).toString().trim());
  const pack = tar.pack();
  pack.entry({ name: 'usr/bin/perl', mode: 0o755 }, readFileSync(program));
  for (const path of libraries) pack.entry({ name: path.slice(1), mode: 0o755 }, readFileSync(path));
  pack.entry({ name: 'bin/busybox', mode: 0o755 }, busybox);
  for (const applet of ['sh', 'sleep', 'cat', 'echo'])
    pack.entry({ name: `bin/${applet}`, type: 'symlink', linkname: 'busybox' });
  pack.finalize();
  await importImage(docker, Readable.from(pack), name);
  return name;
}

/** Ends what an engine left behind (containerd, shims and their containers), unmounts, removes. By folder: nobody else's. */
function cleanUp(dataDir: string): void {
  const runDir = engineRunDir(dataDir);
  for (let round = 0; round < 50; round++) {
    const left = processesOf([dataDir, runDir]);
    for (const pid of left) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // gone
      }
    }
    if (left.length === 0) break;
    execFileSync('sleep', ['0.05']); // the kernel needs a moment; nothing else may run meanwhile
  }
  for (let round = 0; ; round++) {
    unmountUnder([dataDir, runDir]);
    try {
      rmSync(dataDir, { recursive: true, force: true });
      rmSync(runDir, { recursive: true, force: true });
      return;
    } catch (error) {
      if (round === 20) throw error; // busy: a mount of a process that is ending this moment
      execFileSync('sleep', ['0.1']);
    }
  }
}

function unmountUnder(folders: readonly string[]): void {
  const mounts = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => folders.some((folder) => path.startsWith(folder)))
    .sort((a, b) => b.length - a.length);
  for (const path of mounts) {
    try {
      execFileSync('umount', ['-l', path], { stdio: 'ignore' });
    } catch {
      // went with its parent
    }
  }
}

/** Processes that name one of our folders in their command, and the children of such shims. */
function processesOf(folders: readonly string[]): readonly number[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid=,args='])
    .toString()
    .trim()
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .flatMap((found) =>
      found === null ? [] : [{ pid: Number(found[1]), parent: Number(found[2]), args: found[3] ?? '' }],
    );
  const ours = new Set(
    rows
      .filter(
        ({ pid, args }) =>
          pid !== process.pid && /dockerd|containerd/.test(args) && folders.some((f) => args.includes(f)),
      )
      .map(({ pid }) => pid),
  );
  for (const { pid, parent } of rows) if (ours.has(parent) && pid !== process.pid) ours.add(pid);
  return [...ours];
}
