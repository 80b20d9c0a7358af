import { isAbsent, type Json, listAt, objectAt, textAt, type MutableJson } from '../json.ts';
import { apiVersionOf, kinds, type Resource } from '../kinds.ts';
import { dropNulls, each, ensured, fill, fillText, inside } from './fill.ts';
import { canonicalResources, defaultPod, defaultPodSpec } from './pod.ts';
import { defaultPersistentVolume, defaultPersistentVolumeClaim, defaultStorageClass } from './storage.ts';
import { keepTokenVolume } from './token-volume.ts';
import { defaultService, keepServiceAllocations } from './service.ts';

/**
 * Fills in what a draft left out, in place (spec: Kubernetes v1, "Defaults"). Doing it twice changes nothing more. A null
 * counts as left out and is dropped. Never throws: a shape that is not the kind's stays as it is, for the type check
 * and validation to name. Metadata that only the server knows (uid, times, revision) is not its business.
 */
export function applyDefaults(resource: Resource, object: MutableJson): void {
  dropNulls(object);
  const info = kinds[resource];
  fillText(object, 'apiVersion', apiVersionOf(info));
  fillText(object, 'kind', info.kind);
  ensured(object, 'metadata');
  rules[resource](object);
}

/**
 * Carries over, in place, what the cluster assigned to the stored object and an update left out: a Service's addresses and
 * node ports, a pod's node, account and token, a node's CIDR. Call it on a full replacement after `applyDefaults`.
 */
export function keepAssigned(resource: Resource, next: MutableJson, previous: Json): void {
  if (resource === 'services') keepServiceAllocations(next, previous);
  if (resource === 'pods') keepAdmitted(next, previous);
  if (resource === 'nodes') keepText(next, previous, 'podCIDR');
}

function keepAdmitted(next: MutableJson, previous: Json): void {
  for (const field of ['nodeName', 'serviceAccountName', 'serviceAccount']) keepText(next, previous, field);
  keepTokenVolume(next, previous);
}

function keepText(next: MutableJson, previous: Json, field: string): void {
  const value = textAt(objectAt(previous, 'spec'), field);
  const spec = inside(next, 'spec');
  if (spec !== undefined && value !== '') fillText(spec, field, value);
}

const rules: Readonly<Record<Resource, (object: MutableJson) => void>> = {
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
};

/** The template's labels stand in for a selector and for the controller's own labels. */
function defaultReplicationController(rc: MutableJson): void {
  const status = ensured(rc, 'status');
  if (status !== undefined) fill(status, 'replicas', 0);
  const spec = ensured(rc, 'spec');
  if (spec === undefined) return;
  fill(spec, 'replicas', 1);
  const template = inside(spec, 'template');
  if (template === undefined) return;
  const podSpec = ensured(template, 'spec');
  if (podSpec !== undefined) defaultPodSpec(podSpec);
  const labels = objectAt(objectAt(template, 'metadata'), 'labels');
  if (Object.keys(labels).length === 0) return;
  if (isEmpty(spec['selector'])) spec['selector'] = { ...labels };
  const metadata = inside(rc, 'metadata');
  if (metadata !== undefined && isEmpty(metadata['labels'])) metadata['labels'] = { ...labels };
}
const isEmpty = (value: unknown): boolean =>
  isAbsent(value) || (typeof value === 'object' && !Array.isArray(value) && Object.keys(value).length === 0);

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
  for (const subset of each(endpoints, 'subsets'))
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
