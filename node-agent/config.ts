import { hostname } from 'node:os';
import { listOf, type ConfigTable } from '../lib/base/config.ts';
import { parseThresholds } from './eviction/thresholds.ts';
import { parseReserved } from './node/allocatable.ts';
import { parseResources } from './node/declared.ts';
import { controllerOptions } from '../lib/controller/service.ts';

const { apiserver, nats, cluster } = controllerOptions;

function secondsFrom(least: number, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < least) throw new Error(`must be a number from ${least}`);
  return value;
}

/** Everything that can be set on a node agent. */
export const agentOptions = {
  nodeName: {
    flag: '--node-name',
    env: 'TROUPE_NODE_NAME',
    default: hostname().toLowerCase(),
    help: 'Name of the Node that stands for this machine',
  },
  apiserver,
  nats,
  cluster,
  dockerSocket: {
    flag: '--docker-socket',
    env: 'TROUPE_DOCKER_SOCKET',
    default: '/var/run/docker.sock',
    unit: 'path',
    help: 'Where the container engine answers',
  },
  data: {
    flag: '--data',
    env: 'TROUPE_NODE_DATA',
    default: '/var/lib/troupe/node',
    unit: 'path',
    help: 'Folder for the volumes and files of pods',
  },
  hostPaths: {
    flag: '--host-paths',
    env: 'TROUPE_HOST_PATHS',
    default: '/var/lib/troupe/shared,/var/log:ro,/etc/localtime:ro,/usr/share/zoneinfo:ro',
    unit: 'paths',
    help: 'What of the machine pods may mount as hostPath, divided by commas, ":ro" to read only; "/" is all, empty nothing',
  },
  nodeIp: {
    flag: '--node-ip',
    env: 'TROUPE_NODE_IP',
    default: '',
    unit: 'address',
    help: "The node's address for other nodes; empty: that of the default route",
  },
  clusterDns: {
    flag: '--cluster-dns',
    env: 'TROUPE_CLUSTER_DNS',
    default: '10.96.0.10',
    unit: 'address',
    help: 'Name server of pods',
  },
  clusterDomain: {
    flag: '--cluster-domain',
    env: 'TROUPE_CLUSTER_DOMAIN',
    default: 'cluster.local',
    help: 'Domain of the cluster, for the search list of pods',
  },
  clusterCidr: {
    flag: '--cluster-cidr',
    env: 'TROUPE_CLUSTER_CIDR',
    default: '10.244.0.0/16',
    unit: 'range',
    help: 'Addresses of all pods; traffic to them is never translated',
  },
  serviceCidr: {
    flag: '--service-cidr',
    env: 'TROUPE_SERVICE_CIDR',
    default: '10.96.0.0/16',
    unit: 'range',
    help: 'Addresses of all Services',
  },
  nftTable: {
    flag: '--nft-table',
    env: 'TROUPE_NODE_NFT_TABLE',
    default: '',
    help: "Name of the agent's nft table; empty: troupe_node_<cluster>",
  },
  infraImage: {
    flag: '--infra-image',
    env: 'TROUPE_INFRA_IMAGE',
    default: 'troupe/infra:1',
    unit: 'image',
    help: 'Image of the container that holds a pod together; the default one is made by the agent itself',
  },
  warmSandboxes: {
    flag: '--warm-sandboxes',
    env: 'TROUPE_WARM_SANDBOXES',
    default: 2,
    help: 'How many sandboxes are kept ready for pods to come; needs the engine to know the runtime "troupe"',
  },
  maxPods: {
    flag: '--max-pods',
    env: 'TROUPE_MAX_PODS',
    default: 110,
    help: 'How many pods the node takes',
  },
  systemReserved: {
    flag: '--system-reserved',
    env: 'TROUPE_SYSTEM_RESERVED',
    default: 'cpu=100m,memory=256Mi',
    parse: (text: string) => (parseReserved(text), text),
    help: "What pods cannot have: kept for the machine's own programs; cpu, memory, ephemeral-storage",
  },
  resources: {
    flag: '--resources',
    env: 'TROUPE_RESOURCES',
    default: '',
    unit: 'domain/name=n,…',
    parse: (text: string) => (parseResources(text), text),
    help: 'What the machine has beyond cpu, memory and disk, by the piece, such as example.com/gpu=2',
  },
  evictionHard: {
    flag: '--eviction-hard',
    env: 'TROUPE_EVICTION_HARD',
    default:
      'memory.available<100Mi,nodefs.available<5%,nodefs.inodesFree<5%,imagefs.available<5%,imagefs.inodesFree<5%,pid.available<10%',
    parse: (text: string) => (parseThresholds(text), text),
    help: 'When the node is short of something and ends pods',
  },
  pressureHold: {
    flag: '--eviction-pressure-transition-period',
    env: 'TROUPE_EVICTION_PRESSURE_TRANSITION_PERIOD',
    default: 60,
    unit: 's',
    help: 'A shortage counts as over when it has been for so long',
  },
  imageGcHigh: {
    flag: '--image-gc-high',
    env: 'TROUPE_IMAGE_GC_HIGH',
    default: 85,
    unit: '%',
    help: 'With more of the disk of images in use, unused images that the agent pulled are removed',
  },
  imageGcLow: {
    flag: '--image-gc-low',
    env: 'TROUPE_IMAGE_GC_LOW',
    default: 80,
    unit: '%',
    help: 'Until no more than this is in use',
  },
  podPidsLimit: {
    flag: '--pod-pids-limit',
    env: 'TROUPE_POD_PIDS_LIMIT',
    default: 4096,
    help: 'How many processes and threads a pod may have; 0: any number',
  },
  seccompProfiles: {
    flag: '--seccomp-profiles',
    env: 'TROUPE_SECCOMP_PROFILES',
    default: '',
    unit: 'path',
    help: 'Folder of the seccomp profiles that containers may name; empty: seccomp in --data',
  },
  allowedSysctls: {
    flag: '--allowed-sysctls',
    env: 'TROUPE_ALLOWED_SYSCTLS',
    default: [] as readonly string[],
    unit: 'name,net.*',
    help: 'Kernel settings that pods may ask for beyond the safe ones',
    parse: listOf,
  },
  parallelSteps: {
    flag: '--parallel-steps',
    env: 'TROUPE_PARALLEL_STEPS',
    default: 8,
    help: 'How much is asked of the engine at one time',
  },
  parallelPulls: {
    flag: '--parallel-pulls',
    env: 'TROUPE_PARALLEL_PULLS',
    default: 3,
    help: 'How many images are pulled at one time',
  },
  streamIdle: {
    flag: '--stream-idle',
    env: 'TROUPE_STREAM_IDLE',
    default: 14_400,
    unit: 's',
    help: 'exec, attach and port-forward end when nothing is sent either way for so long',
  },
  heartbeat: {
    flag: '--heartbeat',
    env: 'TROUPE_HEARTBEAT',
    default: 500,
    unit: 'ms',
    help: 'Between two heartbeats on the bus',
  },
  statsInterval: {
    flag: '--stats-interval',
    env: 'TROUPE_STATS_INTERVAL',
    default: 5,
    unit: 's',
    help: 'Between two readings of what each container uses; readers get fresher ones',
    parse: (text: string) => secondsFrom(1, text),
  },
  metricLabels: {
    flag: '--metric-labels',
    env: 'TROUPE_METRIC_LABELS',
    default: ['app', 'app.kubernetes.io/name'] as readonly string[],
    unit: 'key,key',
    help: 'Labels of pods that are told as the metric kube_pod_labels',
    parse: listOf,
  },
  teardown: {
    flag: '--teardown',
    env: 'TROUPE_TEARDOWN',
    default: false,
    help: 'Ends all pods of this node, removes what the agent made on the machine, and exits',
  },
  teardownGrace: {
    flag: '--teardown-grace',
    env: 'TROUPE_TEARDOWN_GRACE',
    default: 10,
    unit: 's',
    help: 'How long containers may take to end on --teardown',
  },
} as const satisfies ConfigTable;
