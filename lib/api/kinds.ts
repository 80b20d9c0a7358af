import type {
  ApiObject,
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  CronJob,
  CustomResourceDefinition,
  ControllerRevision,
  DaemonSet,
  Deployment,
  Endpoints,
  EndpointSlice,
  Event,
  HorizontalPodAutoscaler,
  Job,
  Lease,
  LimitRange,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  PodDisruptionBudget,
  PodTemplate,
  PriorityClass,
  ReplicaSet,
  ReplicationController,
  ResourceQuota,
  Role,
  RoleBinding,
  Secret,
  Service,
  ServiceAccount,
  StorageClass,
} from './objects.ts';

/** The kinds that are built in, by the plural name under which the API serves them. */
export interface BuiltInObjects {
  readonly namespaces: Namespace;
  readonly nodes: Node;
  readonly pods: Pod;
  readonly replicationcontrollers: ReplicationController;
  readonly services: Service;
  readonly endpoints: Endpoints;
  readonly events: Event;
  readonly leases: Lease;
  readonly configmaps: ConfigMap;
  readonly secrets: Secret;
  readonly serviceaccounts: ServiceAccount;
  readonly persistentvolumes: PersistentVolume;
  readonly persistentvolumeclaims: PersistentVolumeClaim;
  readonly storageclasses: StorageClass;
  readonly podtemplates: PodTemplate;
  readonly resourcequotas: ResourceQuota;
  readonly limitranges: LimitRange;
  readonly endpointslices: EndpointSlice;
  readonly priorityclasses: PriorityClass;
  readonly roles: Role;
  readonly rolebindings: RoleBinding;
  readonly clusterroles: ClusterRole;
  readonly clusterrolebindings: ClusterRoleBinding;
  readonly customresourcedefinitions: CustomResourceDefinition;
  readonly replicasets: ReplicaSet;
  readonly daemonsets: DaemonSet;
  readonly controllerrevisions: ControllerRevision;
  readonly deployments: Deployment;
  readonly jobs: Job;
  readonly cronjobs: CronJob;
  readonly poddisruptionbudgets: PodDisruptionBudget;
  readonly horizontalpodautoscalers: HorizontalPodAutoscaler;
}
export type BuiltIn = keyof BuiltInObjects;

/** A kind that users defined (CustomResourceDefinition): `<plural>.<group>`. No name of a built-in resource has a dot. */
export type Custom = `${string}.${string}`;
export const isCustom = (resource: string): resource is Custom => resource.includes('.');

/** An object of such a kind; its shape is known to its schema alone. */
export type CustomObject = ApiObject & Readonly<Record<string, unknown>>;

export interface Objects extends BuiltInObjects {
  readonly [custom: Custom]: CustomObject;
}
export type Resource = BuiltIn | Custom;

/** What the machinery must know of a kind; all else about it is in its validation and defaults. */
export interface KindInfo {
  readonly resource: string;
  readonly kind: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly namespaced: boolean;
  /** Has a status that only its own verb may write. */
  readonly hasStatus: boolean;
}

const core = { group: '', version: 'v1', namespaced: true, hasStatus: true } as const;

export const kinds: Readonly<Record<BuiltIn, KindInfo>> = {
  namespaces: {
    ...core,
    resource: 'namespaces',
    kind: 'Namespace',
    singular: 'namespace',
    shortNames: ['ns'],
    namespaced: false,
  },
  nodes: {
    ...core,
    resource: 'nodes',
    kind: 'Node',
    singular: 'node',
    shortNames: ['no', 'minion', 'minions'],
    namespaced: false,
  },
  pods: { ...core, resource: 'pods', kind: 'Pod', singular: 'pod', shortNames: ['po'] },
  replicationcontrollers: {
    ...core,
    resource: 'replicationcontrollers',
    kind: 'ReplicationController',
    singular: 'replicationcontroller',
    shortNames: ['rc'],
  },
  services: { ...core, resource: 'services', kind: 'Service', singular: 'service', shortNames: ['svc'] },
  endpoints: {
    ...core,
    resource: 'endpoints',
    kind: 'Endpoints',
    singular: 'endpoints',
    shortNames: ['ep'],
    hasStatus: false,
  },
  events: { ...core, resource: 'events', kind: 'Event', singular: 'event', shortNames: ['ev'], hasStatus: false },
  leases: {
    ...core,
    resource: 'leases',
    kind: 'Lease',
    singular: 'lease',
    shortNames: [],
    group: 'coordination.k8s.io',
    hasStatus: false,
  },
  configmaps: {
    ...core,
    resource: 'configmaps',
    kind: 'ConfigMap',
    singular: 'configmap',
    shortNames: ['cm'],
    hasStatus: false,
  },
  secrets: { ...core, resource: 'secrets', kind: 'Secret', singular: 'secret', shortNames: [], hasStatus: false },
  serviceaccounts: {
    ...core,
    resource: 'serviceaccounts',
    kind: 'ServiceAccount',
    singular: 'serviceaccount',
    shortNames: ['sa'],
    hasStatus: false,
  },
  persistentvolumes: {
    ...core,
    resource: 'persistentvolumes',
    kind: 'PersistentVolume',
    singular: 'persistentvolume',
    shortNames: ['pv'],
    namespaced: false,
  },
  persistentvolumeclaims: {
    ...core,
    resource: 'persistentvolumeclaims',
    kind: 'PersistentVolumeClaim',
    singular: 'persistentvolumeclaim',
    shortNames: ['pvc'],
  },
  storageclasses: {
    ...core,
    resource: 'storageclasses',
    kind: 'StorageClass',
    singular: 'storageclass',
    shortNames: ['sc'],
    group: 'storage.k8s.io',
    namespaced: false,
    hasStatus: false,
  },
  podtemplates: {
    ...core,
    resource: 'podtemplates',
    kind: 'PodTemplate',
    singular: 'podtemplate',
    shortNames: [],
    hasStatus: false,
  },
  resourcequotas: {
    ...core,
    resource: 'resourcequotas',
    kind: 'ResourceQuota',
    singular: 'resourcequota',
    shortNames: ['quota'],
  },
  limitranges: {
    ...core,
    resource: 'limitranges',
    kind: 'LimitRange',
    singular: 'limitrange',
    shortNames: ['limits'],
    hasStatus: false,
  },
  endpointslices: {
    ...core,
    resource: 'endpointslices',
    kind: 'EndpointSlice',
    singular: 'endpointslice',
    shortNames: [],
    group: 'discovery.k8s.io',
    hasStatus: false,
  },
  priorityclasses: {
    ...core,
    resource: 'priorityclasses',
    kind: 'PriorityClass',
    singular: 'priorityclass',
    shortNames: ['pc'],
    group: 'scheduling.k8s.io',
    namespaced: false,
    hasStatus: false,
  },
  roles: {
    ...core,
    resource: 'roles',
    kind: 'Role',
    singular: 'role',
    shortNames: [],
    group: 'rbac.authorization.k8s.io',
    hasStatus: false,
  },
  rolebindings: {
    ...core,
    resource: 'rolebindings',
    kind: 'RoleBinding',
    singular: 'rolebinding',
    shortNames: [],
    group: 'rbac.authorization.k8s.io',
    hasStatus: false,
  },
  clusterroles: {
    ...core,
    resource: 'clusterroles',
    kind: 'ClusterRole',
    singular: 'clusterrole',
    shortNames: [],
    group: 'rbac.authorization.k8s.io',
    namespaced: false,
    hasStatus: false,
  },
  clusterrolebindings: {
    ...core,
    resource: 'clusterrolebindings',
    kind: 'ClusterRoleBinding',
    singular: 'clusterrolebinding',
    shortNames: [],
    group: 'rbac.authorization.k8s.io',
    namespaced: false,
    hasStatus: false,
  },
  customresourcedefinitions: {
    ...core,
    resource: 'customresourcedefinitions',
    kind: 'CustomResourceDefinition',
    singular: 'customresourcedefinition',
    shortNames: ['crd', 'crds'],
    group: 'apiextensions.k8s.io',
    namespaced: false,
  },
  replicasets: {
    ...core,
    resource: 'replicasets',
    kind: 'ReplicaSet',
    singular: 'replicaset',
    shortNames: ['rs'],
    group: 'apps',
  },
  daemonsets: {
    ...core,
    resource: 'daemonsets',
    kind: 'DaemonSet',
    singular: 'daemonset',
    shortNames: ['ds'],
    group: 'apps',
  },
  controllerrevisions: {
    ...core,
    resource: 'controllerrevisions',
    kind: 'ControllerRevision',
    singular: 'controllerrevision',
    shortNames: [],
    group: 'apps',
  },
  deployments: {
    ...core,
    resource: 'deployments',
    kind: 'Deployment',
    singular: 'deployment',
    shortNames: ['deploy'],
    group: 'apps',
  },
  jobs: { ...core, resource: 'jobs', kind: 'Job', singular: 'job', shortNames: [], group: 'batch' },
  cronjobs: { ...core, resource: 'cronjobs', kind: 'CronJob', singular: 'cronjob', shortNames: ['cj'], group: 'batch' },
  poddisruptionbudgets: {
    ...core,
    resource: 'poddisruptionbudgets',
    kind: 'PodDisruptionBudget',
    singular: 'poddisruptionbudget',
    shortNames: ['pdb'],
    group: 'policy',
  },
  horizontalpodautoscalers: {
    ...core,
    resource: 'horizontalpodautoscalers',
    kind: 'HorizontalPodAutoscaler',
    singular: 'horizontalpodautoscaler',
    shortNames: ['hpa'],
    group: 'autoscaling',
    version: 'v2',
  },
};

/** Of a kind that is built in; undefined for one that users defined. */
export const builtInInfo = (resource: Resource): KindInfo | undefined =>
  isCustom(resource) ? undefined : kinds[resource];

export const resources = Object.keys(kinds) as readonly BuiltIn[];
export const apiVersionOf = (info: KindInfo): string =>
  info.group === '' ? info.version : `${info.group}/${info.version}`;

const byName = new Map<string, BuiltIn>();
for (const resource of resources) {
  const info = kinds[resource];
  for (const name of [resource, info.singular, info.kind.toLowerCase(), ...info.shortNames]) byName.set(name, resource);
}

/** The resource that a person means by `pods`, `pod`, `Pod` or `po`; undefined when there is none. */
export const resourceByName = (name: string): BuiltIn | undefined => byName.get(name.toLowerCase());

/** The resource of an object's apiVersion and kind, also in an older version that is read; undefined when it is not served. */
export function resourceOfKind(apiVersion: string, kind: string): BuiltIn | undefined {
  if (apiVersion === 'autoscaling/v1' && kind === 'HorizontalPodAutoscaler') return 'horizontalpodautoscalers';
  return resources.find((resource) => kinds[resource].kind === kind && apiVersionOf(kinds[resource]) === apiVersion);
}

/** An object that is none of the typed kinds, or whose kind does not matter here. */
export type AnyObject = ApiObject & Readonly<Record<string, unknown>>;
