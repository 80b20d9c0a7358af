/**
 * The objects of the API as our own code sees them: the JSON form of Kubernetes v1, readonly,
 * with the fields required that the apiserver guarantees on everything it serves (it defaults and
 * validates before it stores). The wire form is generated from `proto/`; `test/unit/api` holds
 * both together with a round-trip property.
 */

/** `10`, `"250m"`, `"1Gi"`: read with `quantity.ts`. */
export type Quantity = string | number;
/** RFC 3339 in UTC, whole seconds. */
export type Time = string;
/** RFC 3339 in UTC, microseconds. */
export type MicroTime = string;
export type IntOrString = number | string;
export type Labels = Readonly<Record<string, string>>;
export type ResourceList = Readonly<Record<string, Quantity>>;

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Identical for every kind (ACM Queue 2016: "ObjectMetadata, Spec, Status"). */
export interface ObjectMeta {
  readonly name: string;
  readonly generateName?: string;
  /** Absent on cluster-scoped objects. */
  readonly namespace?: string;
  readonly uid: string;
  /** The revision of the last write, a decimal string; opaque to clients. */
  readonly resourceVersion: string;
  readonly generation?: number;
  readonly creationTimestamp: Time;
  /** Set once deletion has been asked for; the moment by which it should be over. */
  readonly deletionTimestamp?: Time;
  readonly deletionGracePeriodSeconds?: number;
  readonly labels?: Labels;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ownerReferences?: readonly OwnerReference[];
  readonly finalizers?: readonly string[];
}

/** What every object has. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
}

export interface ObjectReference {
  readonly kind?: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly uid?: string;
  readonly apiVersion?: string;
  readonly resourceVersion?: string;
  readonly fieldPath?: string;
}

export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: Time;
}

// ---- Pod ---------------------------------------------------------------------------------------

export interface Pod extends ApiObject {
  readonly spec: PodSpec;
  readonly status: PodStatus;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly terminationGracePeriodSeconds: number;
  readonly activeDeadlineSeconds?: number;
  readonly dnsPolicy: 'ClusterFirst' | 'ClusterFirstWithHostNet' | 'Default' | 'None';
  readonly nodeSelector?: Labels;
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  /** Set once, by Bind, and never changed: "once scheduled to a node, pods do not move". */
  readonly nodeName?: string;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly shareProcessNamespace?: boolean;
  readonly securityContext: PodSecurityContext;
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly schedulerName: string;
  readonly tolerations?: readonly Toleration[];
  readonly hostAliases?: readonly { readonly ip: string; readonly hostnames?: readonly string[] }[];
  readonly priorityClassName?: string;
  readonly priority?: number;
  readonly dnsConfig?: {
    readonly nameservers?: readonly string[];
    readonly searches?: readonly string[];
    readonly options?: readonly { readonly name?: string; readonly value?: string }[];
  };
  readonly enableServiceLinks: boolean;
  readonly readinessGates?: readonly { readonly conditionType: string }[];
  readonly setHostnameAsFQDN?: boolean;
  readonly volumes?: readonly Volume[];
}

export interface PodSecurityContext {
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot?: boolean;
  readonly fsGroup?: number;
  readonly fsGroupChangePolicy?: 'Always' | 'OnRootMismatch';
  readonly supplementalGroups?: readonly number[];
  readonly seccompProfile?: SecurityProfile;
  readonly appArmorProfile?: SecurityProfile;
  readonly sysctls?: readonly { readonly name: string; readonly value: string }[];
}

/** A seccomp or AppArmor profile; `localhostProfile` names one that the node has. */
export interface SecurityProfile {
  readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
  readonly localhostProfile?: string;
}

export interface SecurityContext {
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
  readonly privileged?: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsNonRoot?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly procMount?: 'Default' | 'Unmasked';
  readonly seccompProfile?: SecurityProfile;
  readonly appArmorProfile?: SecurityProfile;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly ports?: readonly ContainerPort[];
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly EnvFromSource[];
  readonly resources: ResourceRequirements;
  readonly volumeMounts?: readonly VolumeMount[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly lifecycle?: {
    readonly postStart?: LifecycleHandler;
    readonly preStop?: LifecycleHandler;
    /** Asks the container to end; default: the image's, else SIGTERM. */
    readonly stopSignal?: string;
  };
  readonly terminationMessagePath: string;
  readonly terminationMessagePolicy: 'File' | 'FallbackToLogsOnError';
  readonly imagePullPolicy: 'Always' | 'IfNotPresent' | 'Never';
  readonly securityContext?: SecurityContext;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly tty?: boolean;
  readonly restartPolicy?: 'Always';
}

export interface ContainerPort {
  readonly name?: string;
  readonly hostPort?: number;
  readonly containerPort: number;
  readonly protocol: Protocol;
  readonly hostIP?: string;
}
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

export interface EnvVar {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly fieldRef?: { readonly apiVersion?: string; readonly fieldPath: string };
    readonly resourceFieldRef?: {
      readonly containerName?: string;
      readonly resource: string;
      readonly divisor?: Quantity;
    };
    readonly configMapKeyRef?: KeySelector;
    readonly secretKeyRef?: KeySelector;
  };
}
export interface KeySelector {
  readonly name?: string;
  readonly key: string;
  readonly optional?: boolean;
}
export interface EnvFromSource {
  readonly prefix?: string;
  readonly configMapRef?: { readonly name?: string; readonly optional?: boolean };
  readonly secretRef?: { readonly name?: string; readonly optional?: boolean };
}

export interface ResourceRequirements {
  readonly limits?: ResourceList;
  readonly requests?: ResourceList;
}

export interface VolumeMount {
  readonly name: string;
  readonly readOnly?: boolean;
  readonly mountPath: string;
  readonly subPath?: string;
  /** As `subPath`, with `$(VAR)` of the container's variables. */
  readonly subPathExpr?: string;
  readonly mountPropagation?: 'None' | 'HostToContainer' | 'Bidirectional';
}

export interface HttpGetAction {
  readonly path: string;
  readonly port: IntOrString;
  readonly host?: string;
  readonly scheme: 'HTTP' | 'HTTPS';
  readonly httpHeaders?: readonly { readonly name: string; readonly value: string }[];
}
export interface ProbeHandler {
  readonly exec?: { readonly command?: readonly string[] };
  readonly httpGet?: HttpGetAction;
  readonly tcpSocket?: { readonly port: IntOrString; readonly host?: string };
  readonly grpc?: { readonly port: number; readonly service?: string };
}
export interface LifecycleHandler {
  readonly exec?: { readonly command?: readonly string[] };
  readonly httpGet?: HttpGetAction;
  readonly tcpSocket?: { readonly port: IntOrString; readonly host?: string };
  readonly sleep?: { readonly seconds: number };
}
export interface Probe extends ProbeHandler {
  readonly initialDelaySeconds?: number;
  readonly timeoutSeconds: number;
  readonly periodSeconds: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
  readonly terminationGracePeriodSeconds?: number;
}

export interface Toleration {
  readonly key?: string;
  readonly operator?: 'Exists' | 'Equal';
  readonly value?: string;
  readonly effect?: TaintEffect;
  readonly tolerationSeconds?: number;
}
export type TaintEffect = 'NoSchedule' | 'PreferNoSchedule' | 'NoExecute';
export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: TaintEffect;
  readonly timeAdded?: Time;
}

/** Exactly one source is set after defaulting (`emptyDir: {}` where a manifest gave none). */
export interface Volume {
  readonly name: string;
  readonly emptyDir?: { readonly medium?: '' | 'Memory'; readonly sizeLimit?: Quantity };
  readonly hostPath?: { readonly path: string; readonly type?: string };
  readonly nfs?: { readonly server: string; readonly path: string; readonly readOnly?: boolean };
  readonly gcePersistentDisk?: {
    readonly pdName: string;
    readonly fsType?: string;
    readonly partition?: number;
    readonly readOnly?: boolean;
  };
  readonly configMap?: FileSource & { readonly name?: string };
  readonly secret?: FileSource & { readonly secretName?: string };
  readonly downwardAPI?: { readonly items?: readonly unknown[]; readonly defaultMode?: number };
  readonly projected?: { readonly sources?: readonly unknown[]; readonly defaultMode?: number };
  readonly persistentVolumeClaim?: { readonly claimName: string; readonly readOnly?: boolean };
}
export interface FileSource {
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[];
  readonly defaultMode?: number;
  readonly optional?: boolean;
}

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';
export interface PodStatus {
  readonly phase?: PodPhase;
  readonly conditions?: readonly PodCondition[];
  readonly message?: string;
  readonly reason?: string;
  readonly nominatedNodeName?: string;
  readonly hostIP?: string;
  readonly hostIPs?: readonly { readonly ip?: string }[];
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip?: string }[];
  readonly startTime?: Time;
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly qosClass?: 'Guaranteed' | 'Burstable' | 'BestEffort';
}
export interface PodCondition extends Condition {
  readonly lastProbeTime?: Time | null;
}
export interface ContainerState {
  readonly waiting?: { readonly reason?: string; readonly message?: string };
  readonly running?: { readonly startedAt?: Time };
  readonly terminated?: ContainerTerminated;
}
export interface ContainerTerminated {
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly startedAt?: Time;
  readonly finishedAt?: Time;
  readonly containerID?: string;
}
export interface ContainerStatus {
  readonly name: string;
  readonly state?: ContainerState;
  readonly lastState?: ContainerState;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly image: string;
  readonly imageID: string;
  /** `docker://<id>` */
  readonly containerID?: string;
  readonly started?: boolean;
}

// ---- ReplicationController ---------------------------------------------------------------------

export interface PodTemplateSpec {
  readonly metadata?: {
    readonly labels?: Labels;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly finalizers?: readonly string[];
  };
  readonly spec: PodSpec;
}
export interface ReplicationController extends ApiObject {
  readonly spec: {
    readonly replicas: number;
    readonly minReadySeconds?: number;
    readonly selector: Labels;
    readonly template: PodTemplateSpec;
  };
  readonly status: ReplicationControllerStatus;
}
export interface ReplicationControllerStatus {
  readonly replicas: number;
  readonly fullyLabeledReplicas?: number;
  readonly readyReplicas?: number;
  readonly availableReplicas?: number;
  readonly observedGeneration?: number;
  readonly conditions?: readonly Condition[];
}
export interface Scale extends ApiObject {
  readonly spec: { readonly replicas?: number };
  readonly status: { readonly replicas: number; readonly selector?: string };
}

// ---- Service and Endpoints ---------------------------------------------------------------------

export interface Service extends ApiObject {
  readonly spec: ServiceSpec;
  readonly status: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
}
export interface ServiceSpec {
  readonly ports?: readonly ServicePort[];
  readonly selector?: Labels;
  /** An address, `None` (headless), or absent for ExternalName. */
  readonly clusterIP?: string;
  readonly clusterIPs?: readonly string[];
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer' | 'ExternalName';
  readonly externalIPs?: readonly string[];
  readonly sessionAffinity: 'None' | 'ClientIP';
  readonly sessionAffinityConfig?: { readonly clientIP?: { readonly timeoutSeconds?: number } };
  readonly externalName?: string;
  readonly publishNotReadyAddresses?: boolean;
  readonly internalTrafficPolicy?: 'Cluster' | 'Local';
  readonly externalTrafficPolicy?: 'Cluster' | 'Local';
}
export interface ServicePort {
  readonly name?: string;
  readonly protocol: Protocol;
  readonly appProtocol?: string;
  readonly port: number;
  readonly targetPort: IntOrString;
  readonly nodePort?: number;
}

export interface Endpoints extends ApiObject {
  readonly subsets?: readonly EndpointSubset[];
}
export interface EndpointSubset {
  readonly addresses?: readonly EndpointAddress[];
  readonly notReadyAddresses?: readonly EndpointAddress[];
  readonly ports?: readonly EndpointPort[];
}
export interface EndpointAddress {
  readonly ip: string;
  readonly hostname?: string;
  readonly nodeName?: string;
  readonly targetRef?: ObjectReference;
}
export interface EndpointPort {
  readonly name?: string;
  readonly port: number;
  readonly protocol: Protocol;
  readonly appProtocol?: string;
}

// ---- Node, Namespace, Event, Lease, configuration ----------------------------------------------

export interface Node extends ApiObject {
  readonly spec: {
    readonly podCIDR?: string;
    readonly podCIDRs?: readonly string[];
    readonly providerID?: string;
    readonly unschedulable?: boolean;
    readonly taints?: readonly Taint[];
  };
  readonly status: NodeStatus;
}
export interface NodeStatus {
  readonly capacity?: ResourceList;
  readonly allocatable?: ResourceList;
  readonly conditions?: readonly NodeCondition[];
  readonly addresses?: readonly { readonly type: string; readonly address: string }[];
  readonly nodeInfo?: Readonly<Record<string, string>>;
  readonly images?: readonly { readonly names?: readonly string[]; readonly sizeBytes?: number }[];
}
export interface NodeCondition extends Condition {
  readonly lastHeartbeatTime?: Time;
}

export interface Namespace extends ApiObject {
  readonly spec: { readonly finalizers?: readonly string[] };
  readonly status: { readonly phase?: 'Active' | 'Terminating'; readonly conditions?: readonly Condition[] };
}

/** A fact worth telling a person, aggregated by (source, object, reason, message). */
export interface Event extends ApiObject {
  readonly involvedObject: ObjectReference;
  readonly reason?: string;
  readonly message?: string;
  readonly source?: { readonly component?: string; readonly host?: string };
  readonly firstTimestamp?: Time | null;
  readonly lastTimestamp?: Time | null;
  readonly count?: number;
  readonly type?: 'Normal' | 'Warning';
  readonly eventTime?: MicroTime | null;
  readonly reportingComponent?: string;
  readonly reportingInstance?: string;
}

export interface Lease extends ApiObject {
  readonly spec: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: MicroTime;
    readonly renewTime?: MicroTime;
    readonly leaseTransitions?: number;
  };
}

export interface ConfigMap extends ApiObject {
  readonly immutable?: boolean;
  readonly data?: Readonly<Record<string, string>>;
  readonly binaryData?: Readonly<Record<string, string>>;
}
export interface Secret extends ApiObject {
  readonly immutable?: boolean;
  /** Values in base64. */
  readonly data?: Readonly<Record<string, string>>;
  readonly type?: string;
}

/** An identity that pods of its namespace may have. */
export interface ServiceAccount extends ApiObject {
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
  /** Whether pods get a token without asking; absent: yes. */
  readonly automountServiceAccountToken?: boolean;
}

/** Asks for a token, and answers with it (authentication.k8s.io/v1). */
export interface TokenRequest {
  readonly spec?: {
    readonly audiences?: readonly string[];
    readonly expirationSeconds?: number;
    readonly boundObjectRef?: { readonly kind?: string; readonly name?: string; readonly uid?: string };
  };
  readonly status?: { readonly token?: string; readonly expirationTimestamp?: string };
}

// ---- Disks that outlive pods ---------------------------------------------------------------------

export type AccessMode = 'ReadWriteOnce' | 'ReadOnlyMany' | 'ReadWriteMany' | 'ReadWriteOncePod';

/** A disk. Exactly one source is set. */
export interface PersistentVolume extends ApiObject {
  readonly spec: PersistentVolumeSpec;
  readonly status: {
    readonly phase?: 'Pending' | 'Available' | 'Bound' | 'Released' | 'Failed';
    readonly message?: string;
    readonly reason?: string;
    readonly lastPhaseTransitionTime?: Time;
  };
}
export interface PersistentVolumeSpec extends Pick<Volume, 'hostPath' | 'nfs' | 'gcePersistentDisk'> {
  readonly capacity: ResourceList;
  readonly accessModes: readonly AccessMode[];
  readonly local?: { readonly path: string; readonly fsType?: string };
  /** Whose the disk is; without uid it is kept for a claim of that name. */
  readonly claimRef?: ObjectReference;
  readonly persistentVolumeReclaimPolicy: 'Retain' | 'Delete';
  readonly storageClassName?: string;
  readonly mountOptions?: readonly string[];
  readonly volumeMode: 'Filesystem';
  /** The nodes from which it can be reached; all where it is absent. */
  readonly nodeAffinity?: { readonly required?: NodeSelector };
}
/** Terms, of which one must hold; of each, all requirements. */
export interface NodeSelector {
  readonly nodeSelectorTerms: readonly NodeSelectorTerm[];
}
export interface NodeSelectorTerm {
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  readonly matchFields?: readonly NodeSelectorRequirement[];
}
export interface NodeSelectorRequirement {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist' | 'Gt' | 'Lt';
  readonly values?: readonly string[];
}

/** A wish for a disk, and the right to the one it got. */
export interface PersistentVolumeClaim extends ApiObject {
  readonly spec: {
    readonly accessModes: readonly AccessMode[];
    readonly selector?: LabelSelector;
    readonly resources: ResourceRequirements;
    /** The PersistentVolume: asked for by its maker, or given by the controller. Set once. */
    readonly volumeName?: string;
    /** Absent: the default class. Empty: a volume without a class. */
    readonly storageClassName?: string;
    readonly volumeMode: 'Filesystem';
  };
  readonly status: {
    readonly phase?: 'Pending' | 'Bound' | 'Lost';
    readonly accessModes?: readonly AccessMode[];
    readonly capacity?: ResourceList;
    readonly conditions?: readonly Condition[];
  };
}
export interface LabelSelector {
  readonly matchLabels?: Labels;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

/** A kind of disk, and who makes it. */
export interface StorageClass extends ApiObject {
  readonly provisioner: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly reclaimPolicy: 'Retain' | 'Delete';
  readonly mountOptions?: readonly string[];
  readonly allowVolumeExpansion?: boolean;
  readonly volumeBindingMode: 'Immediate' | 'WaitForFirstConsumer';
}

/** The target of a Bind. */
export interface Binding {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    /** Binds this life of the pod alone. */
    readonly uid?: string;
    /** Copied to the pod. */
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly target: { readonly kind?: 'Node'; readonly name: string };
}
