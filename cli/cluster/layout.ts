import { join } from 'node:path';
import { engineFiles, engineParts } from './engine-parts.ts';
import type { ClusterOptions, Part } from './part.ts';

export const apiAddress = (options: ClusterOptions): string => `${options.host}:${options.apiPort}`;
export const restAddress = (options: ClusterOptions): string => `${options.host}:${options.httpsPort}`;
/** Where the apiserver keeps the cluster's authority, and what kubectl shows it. */
export const certificatesFolder = ({ dataDir }: ClusterOptions): string => join(dataDir, 'pki');
export const natsUrl = (options: ClusterOptions): string => `nats://${options.host}:${options.natsPort}`;

/** Two clusters on one machine must not share a table of kernel rules. */
const proxyTable = ({ cluster }: ClusterOptions): string => `troupe_proxy_${cluster.replaceAll(/[^a-zA-Z0-9]/g, '_')}`;

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
  const controller = (name: string, args: readonly string[] = [], cleanupFlag?: string): Part => {
    const own = ['--identity', `${options.nodeName}/${name}`, '--lease-duration', '10'];
    return service(name, [...reach, ...own, ...args], cleanupFlag);
  };
  const reach = ['--apiserver', apiAddress(options), '--nats', natsUrl(options)];
  return [
    natsPart(options),
    ...(options.ownEngine ? engineParts(options) : []),
    service('apiserver', [
      '--listen',
      apiAddress(options),
      '--nats',
      natsUrl(options),
      '--data',
      join(dataDir, 'apiserver'),
      '--service-cidr',
      options.serviceCidr,
      ...['--https-listen', restAddress(options), '--certificates', certificatesFolder(options)],
      // Where pods ask, by token only; they find it as the Service `kubernetes`, so that any free port will do.
      ...['--pod-listen', '0.0.0.0:0', '--pod-https-listen', '0.0.0.0:0'],
    ]),
    ...controllerParts(options, controller),
    service(
      'dns',
      [
        ...[...reach, '--node-name', options.nodeName],
        ...['--listen', `${options.clusterDns}:53`, '--ensure-address', options.clusterDns],
      ],
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
    ...balancerPart(options, controller),
  ];
}

type NewController = (name: string, args?: readonly string[], cleanupFlag?: string) => Part;

/** Each a process of its own, or all in one. */
function controllerParts({ clusterCidr, together }: ClusterOptions, controller: NewController): readonly Part[] {
  if (together) return [controller('controller-manager', ['--node-controller-cluster-cidr', clusterCidr])];
  return [
    controller('scheduler'),
    controller('replication-controller'),
    controller('deployment-controller'),
    controller('disruption-controller'),
    controller('daemonset-controller'),
    controller('job-controller'),
    controller('endpoints-controller'),
    controller('node-controller', ['--cluster-cidr', clusterCidr]),
    controller('autoscaler'),
    controller('rebalancer'),
    controller('garbage-collector'),
    controller('persistent-volume-controller'),
  ];
}

/** Load balancers need addresses that somebody has set aside for them. */
function balancerPart({ loadBalancerPool, dataDir }: ClusterOptions, controller: NewController): readonly Part[] {
  if (loadBalancerPool === '') return [];
  const args = ['--pool', loadBalancerPool, '--data', join(dataDir, 'load-balancer')];
  return [controller('load-balancer-controller', args, '--cleanup')];
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
  return new Map([[natsConfigFile(options), lines.join('\n') + '\n'], ...engineFiles(options)]);
}

function natsPart(options: ClusterOptions): Part {
  return {
    name: 'nats',
    command: 'nats-server',
    args: ['--config', natsConfigFile(options)],
    urgent: true,
    ready: { kind: 'http', address: `${options.host}:${options.natsPort + 4000}`, path: '/healthz' },
  };
}
