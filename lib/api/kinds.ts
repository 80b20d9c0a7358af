import type {
  ApiObject,
  ConfigMap,
  Endpoints,
  Event,
  Lease,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  Pod,
  ReplicationController,
  Secret,
  Service,
  ServiceAccount,
  StorageClass,
} from './objects.ts';

/** The resources with a typed form, by the plural name under which the API serves them. */
export interface Objects {
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
}
export type Resource = keyof Objects;

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

export const kinds: Readonly<Record<Resource, KindInfo>> = {
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
};

export const resources = Object.keys(kinds) as readonly Resource[];
export const apiVersionOf = (info: KindInfo): string =>
  info.group === '' ? info.version : `${info.group}/${info.version}`;

const byName = new Map<string, Resource>();
for (const resource of resources) {
  const info = kinds[resource];
  for (const name of [resource, info.singular, info.kind.toLowerCase(), ...info.shortNames]) byName.set(name, resource);
}

/** The resource that a person means by `pods`, `pod`, `Pod` or `po`; undefined when there is none. */
export const resourceByName = (name: string): Resource | undefined => byName.get(name.toLowerCase());

/** The resource of an object's apiVersion and kind; undefined when it is not served. */
export function resourceOfKind(apiVersion: string, kind: string): Resource | undefined {
  return resources.find((resource) => kinds[resource].kind === kind && apiVersionOf(kinds[resource]) === apiVersion);
}

/** An object that is none of the typed kinds, or whose kind does not matter here. */
export type AnyObject = ApiObject & Readonly<Record<string, unknown>>;
