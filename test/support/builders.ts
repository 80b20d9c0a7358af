import type {
  Container,
  ContainerStatus,
  Endpoints,
  EndpointSubset,
  Event,
  Labels,
  Namespace,
  Node,
  ObjectMeta,
  Pod,
  PodPhase,
  PodSpec,
  PodStatus,
  ReplicationController,
  Service,
  ServicePort,
  ServiceSpec,
  Taint,
  Toleration,
} from '../../lib/api/objects.ts';

/**
 * Complete valid objects as the apiserver serves them: a test names only what it is about. The uid is made from kind and
 * key, so that two calls with the same name build the same object.
 */
export interface MetaOptions {
  readonly name?: string;
  readonly namespace?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string;
  readonly finalizers?: readonly string[];
  /** Deletion has been asked for. */
  readonly deleted?: boolean;
}

export const epoch = '2026-01-01T00:00:00Z';
export const epochMs = Date.parse(epoch);

/** A uid in the form of a real one, the same for the same seed. */
export function uidOf(seed: string): string {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(seed)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  const hex = (hash.toString(16).padStart(16, '0') + (hash * 31n).toString(16).padStart(16, '0')).slice(0, 32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export function meta(kind: string, name: string, options: MetaOptions, namespaced = true): ObjectMeta {
  const namespace = options.namespace ?? 'default';
  return {
    name,
    ...(namespaced ? { namespace } : {}),
    uid: options.uid ?? uidOf(`${kind}/${namespaced ? namespace : ''}/${name}`),
    resourceVersion: options.resourceVersion ?? '1',
    generation: 1,
    creationTimestamp: options.creationTimestamp ?? epoch,
    ...(options.labels === undefined ? {} : { labels: options.labels }),
    ...(options.annotations === undefined ? {} : { annotations: options.annotations }),
    ...(options.finalizers === undefined ? {} : { finalizers: options.finalizers }),
    ...(options.deleted === true ? { deletionTimestamp: '2026-01-01T00:00:30Z', deletionGracePeriodSeconds: 30 } : {}),
  };
}

export interface PodOptions extends MetaOptions {
  readonly phase?: PodPhase;
  /** Default: true for a Running pod. */
  readonly ready?: boolean;
  /** When it became ready (RFC 3339). */
  readonly readySince?: string;
  readonly nodeName?: string;
  /** The uid of the ReplicationController that manages it; its name is `ownerName`, default `web`. */
  readonly ownerUid?: string;
  readonly ownerName?: string;
  readonly cpu?: string;
  readonly memory?: string;
  readonly disk?: string;
  /** What nodes declare beyond these: asked for as request and limit. */
  readonly others?: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly hostIP?: string;
  readonly restarts?: number;
  readonly image?: string;
  readonly ports?: Container['ports'];
  readonly tolerations?: readonly Toleration[];
  readonly nodeSelector?: Labels;
  readonly spec?: Partial<PodSpec>;
  readonly status?: Partial<PodStatus>;
}

export const aContainer = (options: Partial<Container> = {}): Container => ({
  name: 'main',
  image: 'example/web:1',
  resources: {},
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent',
  ...options,
});

export function aPodSpec(options: PodOptions = {}): PodSpec {
  const requests = {
    ...(options.cpu === undefined ? {} : { cpu: options.cpu }),
    ...(options.memory === undefined ? {} : { memory: options.memory }),
    ...(options.disk === undefined ? {} : { 'ephemeral-storage': options.disk }),
    ...options.others,
  };
  return {
    containers: [
      aContainer({
        resources:
          Object.keys(requests).length === 0
            ? {}
            : { requests, ...(options.others === undefined ? {} : { limits: options.others }) },
        ...(options.image === undefined ? {} : { image: options.image }),
        ...(options.ports === undefined ? {} : { ports: options.ports }),
      }),
    ],
    restartPolicy: 'Always',
    terminationGracePeriodSeconds: 30,
    dnsPolicy: 'ClusterFirst',
    securityContext: {},
    schedulerName: 'default-scheduler',
    enableServiceLinks: true,
    ...(options.nodeName === undefined ? {} : { nodeName: options.nodeName }),
    ...(options.tolerations === undefined ? {} : { tolerations: options.tolerations }),
    ...(options.nodeSelector === undefined ? {} : { nodeSelector: options.nodeSelector }),
    ...options.spec,
  };
}

export function aPod(options: PodOptions = {}): Pod {
  const name = options.name ?? 'web-1';
  const phase = options.phase ?? (options.nodeName === undefined && options.ip === undefined ? 'Pending' : 'Running');
  const ready = options.ready ?? phase === 'Running';
  const spec = aPodSpec(options);
  const owner = options.ownerUid;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...meta('Pod', name, options),
      ...(owner === undefined
        ? {}
        : {
            ownerReferences: [
              {
                apiVersion: 'v1',
                kind: 'ReplicationController',
                name: options.ownerName ?? 'web',
                uid: owner,
                controller: true,
                blockOwnerDeletion: true,
              },
            ],
          }),
    },
    spec,
    status: { phase, ...podStatus(options, phase, ready, spec), ...options.status },
  };
}

function podStatus(options: PodOptions, phase: PodPhase, ready: boolean, spec: PodSpec): PodStatus {
  const since = options.readySince ?? epoch;
  const condition = (type: string, value: boolean) =>
    ({ type, status: value ? 'True' : 'False', lastTransitionTime: since }) as const;
  return {
    conditions: [
      condition('PodScheduled', spec.nodeName !== undefined),
      condition('ContainersReady', ready),
      condition('Ready', ready),
    ],
    ...(options.ip === undefined ? {} : { podIP: options.ip, podIPs: [{ ip: options.ip }] }),
    ...(options.hostIP === undefined ? {} : { hostIP: options.hostIP }),
    ...(spec.nodeName === undefined ? {} : { startTime: epoch }),
    qosClass: options.cpu === undefined && options.memory === undefined ? 'BestEffort' : 'Burstable',
    ...(phase === 'Pending'
      ? {}
      : {
          containerStatuses: spec.containers.map((each) => containerStatus(each, phase, ready, options.restarts ?? 0)),
        }),
  };
}

const containerStatus = (
  { name, image }: Container,
  phase: PodPhase,
  ready: boolean,
  restartCount: number,
): ContainerStatus => ({
  name,
  image,
  imageID: `sha256:${name}`,
  containerID: `docker://${name}`,
  ready,
  restartCount,
  started: phase === 'Running',
  state:
    phase === 'Running'
      ? { running: { startedAt: epoch } }
      : {
          terminated: {
            exitCode: phase === 'Succeeded' ? 0 : 1,
            reason: phase === 'Succeeded' ? 'Completed' : 'Error',
            startedAt: epoch,
            finishedAt: epoch,
          },
        },
});

export interface RcOptions extends MetaOptions {
  readonly replicas?: number;
  /** Also the labels of the template. */
  readonly selector?: Labels;
  readonly minReadySeconds?: number;
  readonly template?: PodOptions;
  readonly status?: Partial<ReplicationController['status']>;
}

export function anRc(options: RcOptions = {}): ReplicationController {
  const selector = options.selector ?? { app: 'web' };
  return {
    apiVersion: 'v1',
    kind: 'ReplicationController',
    metadata: meta('ReplicationController', options.name ?? 'web', { labels: selector, ...options }),
    spec: {
      replicas: options.replicas ?? 1,
      selector,
      ...(options.minReadySeconds === undefined ? {} : { minReadySeconds: options.minReadySeconds }),
      template: {
        metadata: { labels: options.template?.labels ?? selector },
        spec: aPodSpec(options.template),
      },
    },
    status: { replicas: 0, ...options.status },
  };
}

export interface ServiceOptions extends MetaOptions {
  /** `null`: a Service without selector. */
  readonly selector?: Labels | null;
  readonly clusterIP?: string;
  readonly ports?: readonly (Partial<ServicePort> & { readonly port: number })[];
  readonly spec?: Partial<ServiceSpec>;
  readonly status?: Service['status'];
}

export function aService(options: ServiceOptions = {}): Service {
  const clusterIP = options.clusterIP ?? '10.96.0.20';
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: meta('Service', options.name ?? 'web', options),
    spec: {
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      clusterIP,
      clusterIPs: [clusterIP],
      ...(options.selector === null ? {} : { selector: options.selector ?? { app: 'web' } }),
      ports: (options.ports ?? [{ port: 80 }]).map((port) => ({ protocol: 'TCP', targetPort: port.port, ...port })),
      ...options.spec,
    },
    status: options.status ?? { loadBalancer: {} },
  };
}

export interface EndpointsOptions extends MetaOptions {
  /** Ready addresses, in one subset with `ports`. */
  readonly ips?: readonly string[];
  readonly notReadyIps?: readonly string[];
  readonly ports?: EndpointSubset['ports'];
  /** Instead of all of the above. */
  readonly subsets?: readonly EndpointSubset[];
}

export function anEndpoints(options: EndpointsOptions = {}): Endpoints {
  const addresses = (options.ips ?? []).map((ip) => ({ ip }));
  const notReadyAddresses = (options.notReadyIps ?? []).map((ip) => ({ ip }));
  const some = addresses.length + notReadyAddresses.length > 0;
  const subset: EndpointSubset = {
    ...(addresses.length > 0 ? { addresses } : {}),
    ...(notReadyAddresses.length > 0 ? { notReadyAddresses } : {}),
    ports: options.ports ?? [{ port: 80, protocol: 'TCP' }],
  };
  const subsets = options.subsets ?? (some ? [subset] : undefined);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: meta('Endpoints', options.name ?? 'web', options),
    ...(subsets === undefined ? {} : { subsets }),
  };
}

export interface NodeOptions extends MetaOptions {
  readonly ready?: boolean | 'Unknown';
  readonly cpu?: string;
  readonly memory?: string;
  readonly disk?: string;
  readonly others?: Readonly<Record<string, string>>;
  readonly pods?: string;
  readonly podCIDR?: string;
  readonly unschedulable?: boolean;
  readonly taints?: readonly Taint[];
  readonly ip?: string;
}

export function aNode(options: NodeOptions = {}): Node {
  const name = options.name ?? 'n1';
  const ready = options.ready ?? true;
  const capacity = {
    cpu: options.cpu ?? '4',
    memory: options.memory ?? '8Gi',
    ...(options.disk === undefined ? {} : { 'ephemeral-storage': options.disk }),
    pods: options.pods ?? '110',
    ...options.others,
  };
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: meta('Node', name, { ...options, labels: { 'kubernetes.io/hostname': name, ...options.labels } }, false),
    spec: {
      ...(options.podCIDR === undefined ? {} : { podCIDR: options.podCIDR, podCIDRs: [options.podCIDR] }),
      ...(options.unschedulable === undefined ? {} : { unschedulable: options.unschedulable }),
      ...(options.taints === undefined ? {} : { taints: options.taints }),
    },
    status: {
      capacity,
      allocatable: capacity,
      conditions: [
        {
          type: 'Ready',
          status: ready === 'Unknown' ? 'Unknown' : ready ? 'True' : 'False',
          reason: ready === true ? 'AgentReady' : 'AgentNotReady',
          lastHeartbeatTime: epoch,
          lastTransitionTime: epoch,
        },
      ],
      addresses: [
        { type: 'InternalIP', address: options.ip ?? '192.0.2.10' },
        { type: 'Hostname', address: name },
      ],
    },
  };
}

export function aNamespace(options: MetaOptions = {}): Namespace {
  const name = options.name ?? 'default';
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: meta(
      'Namespace',
      name,
      { ...options, labels: { 'kubernetes.io/metadata.name': name, ...options.labels } },
      false,
    ),
    spec: { finalizers: ['kubernetes'] },
    status: { phase: options.deleted === true ? 'Terminating' : 'Active' },
  };
}

export interface EventOptions extends MetaOptions {
  readonly about?: Pod | ReplicationController | Service | Node;
  readonly reason?: string;
  readonly message?: string;
  readonly type?: 'Normal' | 'Warning';
  readonly count?: number;
  readonly component?: string;
}

export function anEvent(options: EventOptions = {}): Event {
  const about = options.about ?? aPod();
  const namespace = about.metadata.namespace ?? 'default';
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: meta('Event', options.name ?? `${about.metadata.name}.1a2b3c`, { namespace, ...options }),
    involvedObject: {
      apiVersion: about.apiVersion,
      kind: about.kind,
      ...(about.metadata.namespace === undefined ? {} : { namespace }),
      name: about.metadata.name,
      uid: about.metadata.uid,
    },
    reason: options.reason ?? 'Scheduled',
    message: options.message ?? 'Assigned to n1',
    type: options.type ?? 'Normal',
    source: { component: options.component ?? 'scheduler' },
    firstTimestamp: epoch,
    lastTimestamp: epoch,
    count: options.count ?? 1,
  };
}
