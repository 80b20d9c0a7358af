import { fieldsOf } from '../codec/schema.ts';

/**
 * What the members of a list are told apart by, where a list is more than one value (Kubernetes API, `x-kubernetes-list-type`
 * and `x-kubernetes-patch-strategy`). Lists that do not stand here are replaced whole.
 */
export interface ListKind {
  /** `map`: objects with keys; `set`: each value once. */
  readonly type: 'map' | 'set';
  /** The members that together name an item of a map. */
  readonly keys: readonly string[];
  /** What a strategic merge patch tells items apart by, which is one of the keys; absent: to it the list is one value. */
  readonly mergeKey?: string;
  /** What a key that is left out stands for. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** A patch may say `$retainKeys`: members of one kind exclude those of another. */
  readonly retainKeys?: true;
}

const by = (...keys: readonly [string, ...string[]]): ListKind => ({ type: 'map', keys, mergeKey: keys[0] });
const tcp = { protocol: 'TCP' } as const;
const set: ListKind = { type: 'set', keys: [] };
const primitives: ListKind = { type: 'set', keys: [], mergeKey: '' };

/** Messages that share a field by the same name share its rule. */
const rules: Readonly<Record<string, Readonly<Record<string, ListKind>>>> = {
  ObjectMeta: { ownerReferences: by('uid'), finalizers: primitives },
  PodSpec: {
    volumes: { ...by('name'), retainKeys: true },
    initContainers: by('name'),
    containers: by('name'),
    ephemeralContainers: by('name'),
    imagePullSecrets: by('name'),
    hostAliases: by('ip'),
    topologySpreadConstraints: by('topologyKey', 'whenUnsatisfiable'),
    schedulingGates: by('name'),
    resourceClaims: { ...by('name'), retainKeys: true },
  },
  PodStatus: { conditions: by('type'), podIPs: by('ip'), hostIPs: { type: 'map', keys: ['ip'], mergeKey: 'ip' } },
  Container: {
    ports: { ...by('containerPort', 'protocol'), defaults: tcp },
    env: by('name'),
    volumeMounts: by('mountPath'),
    volumeDevices: by('devicePath'),
  },
  EphemeralContainerCommon: {
    ports: { ...by('containerPort', 'protocol'), defaults: tcp },
    env: by('name'),
    volumeMounts: by('mountPath'),
    volumeDevices: by('devicePath'),
  },
  ServiceSpec: { ports: { ...by('port', 'protocol'), defaults: tcp } },
  ServiceStatus: { conditions: { type: 'map', keys: ['type'], mergeKey: 'type' } },
  ServiceAccount: { secrets: by('name') },
  NodeSpec: { podCIDRs: primitives },
  NodeStatus: { conditions: by('type'), addresses: by('type') },
  NamespaceStatus: { conditions: by('type') },
  ReplicationControllerStatus: { conditions: by('type') },
  ReplicaSetStatus: { conditions: by('type') },
  DaemonSetStatus: { conditions: by('type') },
  DeploymentStatus: { conditions: by('type') },
  JobStatus: { conditions: by('type') },
  PodDisruptionBudgetStatus: { conditions: by('type') },
  HorizontalPodAutoscalerStatus: { conditions: { type: 'map', keys: ['type'], mergeKey: 'type' } },
  PersistentVolumeClaimStatus: { conditions: by('type') },
  TopologySpreadConstraint: { matchLabelKeys: set },
};

/** How a list of a message is to be taken; undefined: as one value. */
export const listKindOf = (message: string, field: string): ListKind | undefined => rules[message]?.[field];

/** Maps that are taken as one value although they are objects. */
const atomicMaps: ReadonlySet<string> = new Set([
  'LabelSelector',
  'LocalObjectReference',
  'ObjectReference',
  'ObjectFieldSelector',
  'ResourceFieldSelector',
  'ConfigMapKeySelector',
  'SecretKeySelector',
  'NodeSelector',
  'TypedLocalObjectReference',
]);
const atomicFields: ReadonlySet<string> = new Set([
  'ReplicationControllerSpec.selector',
  'ServiceSpec.selector',
  'PodSpec.nodeSelector',
]);

/** Whether server-side apply takes an object as one value, so that it has one owner as a whole. */
export const isAtomic = (message: string, field: string, type: string): boolean =>
  atomicMaps.has(type) || atomicFields.has(`${message}.${field}`);

export interface FieldType {
  readonly shape: 'one' | 'list' | 'map';
  /** The name of a message, or a scalar. */
  readonly type: string;
  /** The message in which the field is declared: with inlined messages another than the one that was asked. */
  readonly message: string;
}

/** The type of a JSON member of a message, looked up through inlined messages too; undefined when the schema does not know it. */
export function fieldTypeOf(message: string, name: string): FieldType | undefined {
  for (const field of fieldsOf(message) ?? []) {
    if (field.shape === 'inline') {
      const inner = fieldTypeOf(field.type, name);
      if (inner !== undefined) return inner;
    } else if (field.name === name) return { shape: field.shape, type: field.type, message };
  }
  return undefined;
}
