import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ClusterOptions, Part } from './part.ts';

/** Where an engine of our own has its sockets: their paths may have 107 bytes, so not below the data folder. */
export const engineRunDir = (dataDir: string): string =>
  join('/run/troupe', createHash('sha256').update(dataDir).digest('hex').slice(0, 12));

export interface ContainerdFolders {
  /** What it keeps. */
  readonly root: string;
  /** What it knows of containers that run; gone with the machine's start. */
  readonly state: string;
  readonly socket: string;
  /** Answers `/debug/pprof/cmdline` over HTTP, which is how one sees that it is there. */
  readonly debugSocket: string;
}

/** The folders are those that an engine with a containerd of its own would use. */
export const containerdFolders = (dataRoot: string, runDir: string): ContainerdFolders => ({
  root: join(dataRoot, 'containerd/daemon'),
  state: join(runDir, 'exec/containerd/daemon'),
  socket: join(runDir, 'containerd.sock'),
  debugSocket: join(runDir, 'containerd-debug.sock'),
});

export const containerdConfig = ({ root, state, socket, debugSocket }: ContainerdFolders): string =>
  [
    'version = 2',
    `root = ${JSON.stringify(root)}`,
    `state = ${JSON.stringify(state)}`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    '[grpc]',
    `address = ${JSON.stringify(socket)}`,
    '[debug]',
    `address = ${JSON.stringify(debugSocket)}`,
    'level = "warn"',
    '',
  ].join('\n');

const dataRootOf = ({ dataDir }: ClusterOptions): string => join(dataDir, 'docker');
const containerdOf = (options: ClusterOptions): ContainerdFolders =>
  containerdFolders(dataRootOf(options), engineRunDir(options.dataDir));
const configFile = ({ dataDir }: ClusterOptions): string => join(dataDir, 'containerd.toml');

/** Files that these parts want before they start, by path. */
export const engineFiles = (options: ClusterOptions): ReadonlyMap<string, string> =>
  new Map(options.ownEngine ? [[configFile(options), containerdConfig(containerdOf(options))]] : []);

/**
 * A Docker engine of the cluster's own. Its containerd is a part beside it: one that the engine starts itself dies with it, and with it
 * dies the knowledge how the containers ended that ended meanwhile.
 */
export function engineParts(options: ClusterOptions): readonly Part[] {
  const { socket, debugSocket } = containerdOf(options);
  const folder = dataRootOf(options);
  const runDir = engineRunDir(options.dataDir);
  const runtime = join(options.dataDir, 'late-hostname.sh');
  return [
    {
      name: 'containerd',
      command: 'containerd',
      args: ['--config', configFile(options)],
      ready: { kind: 'socket', path: debugSocket, request: '/debug/pprof/cmdline' },
    },
    {
      name: 'docker',
      command: 'sh',
      args: [
        // Containers that run name the runtime by its path: it must outlive the version of ours that started them.
        ...['-c', 'set -e; install -m 755 "$0" "$1"; shift; exec dockerd "$@"'],
        ...[join(options.distDir, 'late-hostname.sh'), runtime, '--add-runtime', `troupe=${runtime}`],
        ...['--host', `unix://${options.dockerSocket}`, '--containerd', socket],
        ...['--data-root', folder, '--exec-root', join(runDir, 'exec'), '--pidfile', join(runDir, 'docker.pid')],
        // Pods' networks are ours: it needs no bridge and no rules.
        ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false'],
        ...['--live-restore', '--log-level', 'warn', '--log-opt', 'max-size=10m', '--log-opt', 'max-file=2'],
      ],
      ready: { kind: 'socket', path: options.dockerSocket, request: '/_ping' },
      // The engine leaves its namespaces mounted, and one that was killed its data folder.
      cleanup: {
        command: 'sh',
        args: [
          '-c',
          `awk -v run='${runDir}/' -v data='${folder}' 'index($2, run) == 1 || $2 == data { print $2 }' /proc/mounts | sort -r | xargs -r umount`,
        ],
      },
    },
  ];
}
