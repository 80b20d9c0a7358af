import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** What `troupe up` was asked for, complete. */
export interface ClusterOptions {
  readonly cluster: string;
  readonly dataDir: string;
  /** Where the built bundles are. */
  readonly distDir: string;
  readonly host: string;
  readonly apiPort: number;
  /** The services' telemetry endpoints take the ports from here on, one each. */
  readonly telemetryPort: number;
  readonly natsPort: number;
  readonly nodeName: string;
  /** The engine's socket; `ownEngine` says that it is one that this cluster starts. */
  readonly dockerSocket: string;
  readonly ownEngine: boolean;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly clusterDns: string;
  readonly proxyMode: string;
}

/** How one sees from outside that a part does its work. */
export type ReadyCheck =
  | { readonly kind: 'http'; readonly address: string; readonly path: string }
  | { readonly kind: 'socket'; readonly path: string; readonly request: string };

/** One process of the cluster, as the supervisor runs it. */
export interface Part {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly ready: ReadyCheck;
  /** Where its metrics are, when it has any. */
  readonly telemetry?: string;
  /** What to run once after this part has stopped for good, to take away what it left in the machine on purpose. */
  readonly cleanup?: { readonly command: string; readonly args: readonly string[] };
}

export const apiAddress = (options: ClusterOptions): string => `${options.host}:${options.apiPort}`;
export const natsUrl = (options: ClusterOptions): string => `nats://${options.host}:${options.natsPort}`;

/** Two clusters on one machine must not share a table of kernel rules. */
const proxyTable = ({ cluster }: ClusterOptions): string => `troupe_proxy_${cluster.replaceAll(/[^a-zA-Z0-9]/g, '_')}`;

/** Where an engine of our own has its sockets: their paths may have 107 bytes, so not below the data folder. */
export const engineRunDir = (dataDir: string): string =>
  join('/run/troupe', createHash('sha256').update(dataDir).digest('hex').slice(0, 12));

/** The processes of a one-machine cluster, in the order in which a person would name them. Stopped in reverse order. */
export function partsOf(options: ClusterOptions): readonly Part[] {
  const { dataDir, host } = options;
  let telemetryPort = options.telemetryPort;
  const service = (name: string, args: readonly string[], cleanupFlag?: string): Part => {
    const telemetry = `${host}:${telemetryPort++}`;
    const script = join(options.distDir, `${name}.js`);
    const all = [script, '--cluster', options.cluster, ...args];
    return {
      name,
      command: process.execPath,
      args: [...all, '--telemetry', telemetry],
      ready: { kind: 'http', address: telemetry, path: '/readyz' },
      telemetry,
      ...(cleanupFlag !== undefined && {
        cleanup: { command: process.execPath, args: [...all, cleanupFlag, '--telemetry', ''] },
      }),
    };
  };
  // One of each, started again under its own name when it dies: it leads again at once, and need not say often that it lives.
  const controller = (name: string, args: readonly string[] = []): Part =>
    service(name, [...reach, '--identity', `${options.nodeName}/${name}`, '--lease-duration', '10', ...args]);
  const reach = ['--apiserver', apiAddress(options), '--nats', natsUrl(options)];
  return [
    natsPart(options),
    ...(options.ownEngine ? [enginePart(options)] : []),
    service('apiserver', [
      '--listen',
      apiAddress(options),
      '--nats',
      natsUrl(options),
      '--data',
      join(dataDir, 'apiserver'),
      '--service-cidr',
      options.serviceCidr,
      // Where pods ask, by token only; they find it as the Service `kubernetes`, so that any free port will do.
      ...['--pod-listen', '0.0.0.0:0'],
    ]),
    controller('scheduler'),
    controller('replication-controller'),
    controller('endpoints-controller'),
    controller('node-controller', ['--cluster-cidr', options.clusterCidr]),
    controller('garbage-collector'),
    controller('persistent-volume-controller'),
    service(
      'dns',
      [...reach, '--listen', `${options.clusterDns}:53`, '--ensure-address', options.clusterDns],
      '--cleanup',
    ),
    service(
      'proxy',
      [
        ...[...reach, '--node-name', options.nodeName, '--mode', options.proxyMode],
        ...['--cluster-cidr', options.clusterCidr, '--table', proxyTable(options)],
      ],
      '--cleanup',
    ),
    service(
      'node-agent',
      [
        ...[
          ...reach,
          '--node-name',
          options.nodeName,
          '--docker-socket',
          options.dockerSocket,
          '--data',
          join(dataDir, 'node'),
        ],
        ...[
          '--cluster-dns',
          options.clusterDns,
          '--cluster-cidr',
          options.clusterCidr,
          '--service-cidr',
          options.serviceCidr,
        ],
      ],
      '--teardown',
    ),
  ];
}

const natsConfigFile = ({ dataDir }: ClusterOptions): string => join(dataDir, 'nats.conf');

/** Files that parts want before they start, by path. */
export function filesOf(options: ClusterOptions): ReadonlyMap<string, string> {
  const { host, natsPort, dataDir } = options;
  const lines = [
    `listen: ${host}:${natsPort}`,
    `http: ${host}:${natsPort + 4000}`,
    'max_payload: 4MB # an object may have 1.5 MiB',
    `jetstream { store_dir: ${JSON.stringify(join(dataDir, 'nats'))} }`,
  ];
  return new Map([[natsConfigFile(options), lines.join('\n') + '\n']]);
}

function natsPart(options: ClusterOptions): Part {
  return {
    name: 'nats',
    command: 'nats-server',
    args: ['--config', natsConfigFile(options)],
    ready: { kind: 'http', address: `${options.host}:${options.natsPort + 4000}`, path: '/healthz' },
  };
}

/** A Docker engine of the cluster's own. Pods' networks are ours, so it needs no bridge and no rules. */
function enginePart(options: ClusterOptions): Part {
  const folder = join(options.dataDir, 'docker');
  const runtime = join(options.dataDir, 'late-hostname.sh');
  const containerdPid = join(engineRunDir(options.dataDir), 'exec/containerd/containerd.pid');
  return {
    name: 'docker',
    command: 'sh',
    args: [
      // After a kill -9 the engine would wait in vain for a containerd that still has its pid file: it dies a moment after its engine.
      ...[
        '-c',
        'set -e; alive() { grep -qs containerd "/proc/$(cat "$0" 2>/dev/null)/cmdline"; }; i=0; while alive && [ $i -lt 40 ]; do sleep 0.05; i=$((i+1)); done; alive || rm -f "$0"; install -m 755 "$1" "$2"; shift 2; exec dockerd "$@"',
        containerdPid,
      ],
      // Containers that run name it by its path: it must outlive the version of ours that started them.
      ...[join(options.distDir, 'late-hostname.sh'), runtime, '--add-runtime', `troupe=${runtime}`],
      ...[
        '--host',
        `unix://${options.dockerSocket}`,
        '--data-root',
        folder,
        '--exec-root',
        join(engineRunDir(options.dataDir), 'exec'),
      ],
      ...[
        '--pidfile',
        join(engineRunDir(options.dataDir), 'docker.pid'),
        '--bridge=none',
        '--iptables=false',
        '--ip6tables=false',
        '--ip-forward=false',
        '--ip-masq=false',
      ],
      ...['--live-restore', '--log-level', 'warn', '--log-opt', 'max-size=10m', '--log-opt', 'max-file=2'],
    ],
    ready: { kind: 'socket', path: options.dockerSocket, request: '/_ping' },
    // The engine leaves its namespaces mounted, and one that was killed its data folder.
    cleanup: {
      command: 'sh',
      args: [
        '-c',
        `awk -v run='${engineRunDir(options.dataDir)}/' -v data='${folder}' 'index($2, run) == 1 || $2 == data { print $2 }' /proc/mounts | sort -r | xargs -r umount`,
      ],
    },
  };
}
