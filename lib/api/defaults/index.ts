import { isAbsent, type Json, listAt, objectAt, textAt, type MutableJson } from '../json.ts';
import { apiVersionOf, kinds, type BuiltIn, type Resource } from '../kinds.ts';
import { dropNulls, each, ensured, fill, fillText, inside } from './fill.ts';
import { canonicalResources, defaultPod, defaultPodSpec } from './pod.ts';
import {
  defaultBinding,
  defaultEndpointSlice,
  defaultLimitRange,
  defaultPriorityClass,
  defaultResourceQuota,
} from './bounds.ts';
import { defaultAutoscaler } from './autoscaling.ts';
import { defaultCronJob, defaultJob } from './batch.ts';
import { defaultDaemonSet } from './daemon.ts';
import { defaultPodDisruptionBudget } from './disruption.ts';
import { defaultDefinition } from './extension.ts';
import { defaultPersistentVolume, defaultPersistentVolumeClaim, defaultStorageClass } from './storage.ts';
import { keepTokenVolume } from './token-volume.ts';
import { defaultDeployment, defaultReplicaSet, defaultReplicationController } from './workload.ts';
import { defaultService, keepServiceAllocations } from './service.ts';
import { dropOutgrown } from './service-type.ts';

/**
 * Fills in what a draft left out, in place (spec: Kubernetes v1, "Defaults"). Doing it twice changes nothing more. A null
 * counts as left out and is dropped. Never throws: a shape that is not the kind's stays as it is, for the type check
 * and validation to name. Metadata that only the server knows (uid, times, revision) is not its business.
 */
export function applyDefaults(resource: BuiltIn, object: MutableJson): void {
  dropNulls(object);
  const info = kinds[resource];
  fillText(object, 'apiVersion', apiVersionOf(info));
  fillText(object, 'kind', info.kind);
  ensured(object, 'metadata');
  rules[resource](object);
}

/**
 * Carries over, in place, what the cluster assigned to the stored object and an update left out: a Service's addresses and
 * node ports, a pod's node, account, token and ephemeral containers, a node's CIDR. Call it on a full replacement after `applyDefaults`.
 */
export function keepAssigned(resource: Resource, next: MutableJson, previous: Json): void {
  if (resource === 'services') keepServiceAllocations(next, previous);
  if (resource === 'pods') keepAdmitted(next, previous);
  if (resource === 'nodes') keepText(next, previous, 'podCIDR');
}

/** Takes away, in place, what an update merely carries along from a shape that the object no longer has. Call it before `applyDefaults`. */
export function dropCarried(resource: Resource, next: MutableJson, previous: Json): void {
  if (resource === 'services') dropOutgrown(next, previous);
}

function keepAdmitted(next: MutableJson, previous: Json): void {
  for (const field of ['nodeName', 'serviceAccountName', 'serviceAccount']) keepText(next, previous, field);
  keepTokenVolume(next, previous);
  keepEphemeral(next, previous);
}

/** Who sends the manifest again from which the pod was made does not mean to take away what was added since. */
function keepEphemeral(next: MutableJson, previous: Json): void {
  const spec = inside(next, 'spec');
  const kept = listAt(objectAt(previous, 'spec'), 'ephemeralContainers');
  if (spec !== undefined && kept.length > 0) fill(spec, 'ephemeralContainers', kept);
}

function keepText(next: MutableJson, previous: Json, field: string): void {
  const value = textAt(objectAt(previous, 'spec'), field);
  const spec = inside(next, 'spec');
  if (spec !== undefined && value !== '') fillText(spec, field, value);
}

const rules: Readonly<Record<BuiltIn, (object: MutableJson) => void>> = {
  pods: defaultPod,
  services: defaultService,
  replicationcontrollers: defaultReplicationController,
  namespaces: defaultNamespace,
  nodes: defaultNode,
  endpoints: defaultEndpoints,
  secrets: defaultSecret,
  leases: (lease) => void ensured(lease, 'spec'),
  events: () => undefined,
  configmaps: () => undefined,
  serviceaccounts: () => undefined,
  persistentvolumes: defaultPersistentVolume,
  persistentvolumeclaims: defaultPersistentVolumeClaim,
  storageclasses: defaultStorageClass,
  podtemplates: defaultPodTemplate,
  resourcequotas: defaultResourceQuota,
  limitranges: defaultLimitRange,
  endpointslices: defaultEndpointSlice,
  priorityclasses: defaultPriorityClass,
  roles: () => undefined,
  rolebindings: defaultBinding,
  clusterroles: () => undefined,
  clusterrolebindings: defaultBinding,
  customresourcedefinitions: defaultDefinition,
  replicasets: defaultReplicaSet,
  daemonsets: defaultDaemonSet,
  controllerrevisions: () => undefined,
  deployments: defaultDeployment,
  jobs: defaultJob,
  cronjobs: defaultCronJob,
  poddisruptionbudgets: defaultPodDisruptionBudget,
  horizontalpodautoscalers: defaultAutoscaler,
};

function defaultPodTemplate(stored: MutableJson): void {
  const template = inside(stored, 'template');
  const podSpec = template === undefined ? undefined : ensured(template, 'spec');
  if (podSpec !== undefined) defaultPodSpec(podSpec);
}

/** The finalizer is filled in only while the namespace lives: its removal is how a namespace ends. */
function defaultNamespace(namespace: MutableJson): void {
  const metadata = inside(namespace, 'metadata');
  const deleting = metadata !== undefined && !isAbsent(metadata['deletionTimestamp']);
  const spec = ensured(namespace, 'spec');
  if (spec !== undefined && !deleting) fill(spec, 'finalizers', ['kubernetes']);
  const status = ensured(namespace, 'status');
  if (status !== undefined) fillText(status, 'phase', deleting ? 'Terminating' : 'Active');
  if (metadata === undefined || typeof metadata['name'] !== 'string') return;
  const labels = ensured(metadata, 'labels');
  if (labels !== undefined) labels['kubernetes.io/metadata.name'] = metadata['name'];
}

function defaultNode(node: MutableJson): void {
  const spec = ensured(node, 'spec');
  if (spec !== undefined) {
    const [first] = listAt(spec, 'podCIDRs');
    if (typeof first === 'string') fillText(spec, 'podCIDR', first);
    if (textAt(spec, 'podCIDR') !== '' && listAt(spec, 'podCIDRs').length === 0) spec['podCIDRs'] = [spec['podCIDR']];
  }
  const status = ensured(node, 'status');
  if (status === undefined) return;
  canonicalResources(status, 'capacity');
  const capacity = inside(status, 'capacity');
  if (capacity !== undefined) fill(status, 'allocatable', { ...capacity });
  canonicalResources(status, 'allocatable');
}

function defaultEndpoints(endpoints: MutableJson): void {
  const access = inside(endpoints, 'access');
  for (const subset of [...each(endpoints, 'subsets'), ...(access === undefined ? [] : each(access, 'leaving'))])
    for (const port of each(subset, 'ports')) fillText(port, 'protocol', 'TCP');
}

/** `stringData` is for writing only: it is folded into `data`, where it wins. */
function defaultSecret(secret: MutableJson): void {
  fillText(secret, 'type', 'Opaque');
  const plain = inside(secret, 'stringData');
  if (plain === undefined || Object.values(plain).some((value) => typeof value !== 'string')) return;
  const data = ensured(secret, 'data');
  if (data === undefined) return;
  for (const [key, value] of Object.entries(plain)) data[key] = Buffer.from(value as string).toString('base64');
  delete secret['stringData'];
}
