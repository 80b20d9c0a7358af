import { isAbsent, isObject, type MutableJson } from '../json.ts';
import { canonical, canonicalMilli, isQuantity } from '../quantity.ts';
import { each, ensured, fill, fillCount, fillText, inside } from './fill.ts';
import { qosClassOf } from './qos.ts';

/** How long a pod stays bound to a node that is not ready or unreachable, unless it says otherwise (D3). */
export const lostNodeTolerationSeconds = 5;
const lostNodeTaints = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];

/** 0644: what a file from a ConfigMap or Secret may be read by. */
const fileMode = 0o644;

export function defaultPod(pod: MutableJson): void {
  const spec = ensured(pod, 'spec');
  const status = ensured(pod, 'status');
  if (spec !== undefined) {
    defaultPodSpec(spec);
    for (const container of containersOf(spec)) requestsFromLimits(container);
    tolerateLostNodes(spec);
    if (status !== undefined) fillText(status, 'qosClass', qosClassOf(spec));
  }
  if (status !== undefined) fillText(status, 'phase', 'Pending');
}

/** What holds for a pod and for a template of pods alike. */
export function defaultPodSpec(spec: MutableJson): void {
  fillText(spec, 'restartPolicy', 'Always');
  fill(spec, 'terminationGracePeriodSeconds', 30);
  fillText(spec, 'dnsPolicy', 'ClusterFirst');
  fillText(spec, 'schedulerName', 'default-scheduler');
  fill(spec, 'securityContext', {});
  fill(spec, 'enableServiceLinks', true);
  mirrorServiceAccount(spec);
  for (const container of containersOf(spec)) defaultContainer(container, spec['hostNetwork'] === true);
  for (const container of each(spec, 'ephemeralContainers')) defaultContainer(container, false);
  for (const volume of each(spec, 'volumes')) defaultVolume(volume);
}

const containersOf = (spec: MutableJson): readonly MutableJson[] => [
  ...each(spec, 'initContainers'),
  ...each(spec, 'containers'),
];

/** `serviceAccount` is the old name of `serviceAccountName`: whichever is given is in both. */
function mirrorServiceAccount(spec: MutableJson): void {
  const name = spec['serviceAccountName'] ?? spec['serviceAccount'];
  if (typeof name !== 'string' || name === '') return;
  fillText(spec, 'serviceAccountName', name);
  spec['serviceAccount'] = spec['serviceAccountName'];
}

function defaultContainer(container: MutableJson, hostNetwork: boolean): void {
  fillText(container, 'terminationMessagePath', '/dev/termination-log');
  fillText(container, 'terminationMessagePolicy', 'File');
  fillText(container, 'imagePullPolicy', pullPolicyOf(container['image']));
  const resources = ensured(container, 'resources');
  if (resources !== undefined) {
    canonicalResources(resources, 'limits');
    canonicalResources(resources, 'requests');
  }
  for (const port of each(container, 'ports')) {
    fillText(port, 'protocol', 'TCP');
    if (hostNetwork && typeof port['containerPort'] === 'number') fillCount(port, 'hostPort', port['containerPort']);
  }
  for (const variable of each(container, 'env')) {
    const source = inside(variable, 'valueFrom');
    if (source !== undefined) defaultFieldSource(source);
  }
  for (const field of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = inside(container, field);
    if (probe !== undefined) defaultProbe(probe);
  }
  const lifecycle = inside(container, 'lifecycle') ?? {};
  for (const field of ['postStart', 'preStop']) {
    const handler = inside(lifecycle, field);
    if (handler !== undefined) defaultHandler(handler);
  }
}

/** Always for `latest` or no tag at all: such a name means another image tomorrow. */
function pullPolicyOf(image: unknown): 'Always' | 'IfNotPresent' {
  const [name = '', digest] = typeof image === 'string' ? image.split('@') : [];
  const tag = /:([^:/]+)$/.exec(name)?.[1];
  if (tag === undefined) return digest === undefined ? 'Always' : 'IfNotPresent';
  return tag === 'latest' ? 'Always' : 'IfNotPresent';
}

function defaultProbe(probe: MutableJson): void {
  defaultHandler(probe);
  fillCount(probe, 'timeoutSeconds', 1);
  fillCount(probe, 'periodSeconds', 10);
  fillCount(probe, 'successThreshold', 1);
  fillCount(probe, 'failureThreshold', 3);
}

function defaultHandler(handler: MutableJson): void {
  const http = inside(handler, 'httpGet');
  if (http === undefined) return;
  fillText(http, 'path', '/');
  fillText(http, 'scheme', 'HTTP');
}

function defaultFieldSource(source: MutableJson): void {
  const field = inside(source, 'fieldRef');
  if (field !== undefined) fillText(field, 'apiVersion', 'v1');
  const resource = inside(source, 'resourceFieldRef');
  if (resource === undefined) return;
  fillText(resource, 'divisor', '1');
  if (resource['divisor'] === '0' || resource['divisor'] === 0) resource['divisor'] = '1';
  canonicalField(resource, 'divisor');
}

/** A volume that names no source is an empty directory. */
function defaultVolume(volume: MutableJson): void {
  const hasSource = Object.keys(volume).some((field) => field !== 'name' && !isAbsent(volume[field]));
  if (!hasSource) volume['emptyDir'] = {};
  const emptyDir = inside(volume, 'emptyDir');
  if (emptyDir !== undefined) canonicalField(emptyDir, 'sizeLimit');
  for (const field of ['configMap', 'secret', 'downwardAPI', 'projected']) {
    const source = inside(volume, field);
    if (source !== undefined) fill(source, 'defaultMode', fileMode);
  }
  for (const item of each(inside(volume, 'downwardAPI') ?? {}, 'items')) defaultFieldSource(item);
  for (const source of each(inside(volume, 'projected') ?? {}, 'sources')) {
    for (const item of each(inside(source, 'downwardAPI') ?? {}, 'items')) defaultFieldSource(item);
    const token = inside(source, 'serviceAccountToken');
    if (token !== undefined) fill(token, 'expirationSeconds', 3600);
  }
}

/** A limit without a request asks for as much as it may use. */
function requestsFromLimits(container: MutableJson): void {
  const resources = inside(container, 'resources');
  const limits = resources === undefined ? undefined : inside(resources, 'limits');
  if (resources === undefined || limits === undefined || Object.keys(limits).length === 0) return;
  const requests = ensured(resources, 'requests');
  if (requests !== undefined) for (const name in limits) fill(requests, name, limits[name]);
}

function tolerateLostNodes(spec: MutableJson): void {
  if (!isAbsent(spec['tolerations']) && !Array.isArray(spec['tolerations'])) return;
  const tolerations = each(spec, 'tolerations');
  const covered = (key: string): boolean =>
    tolerations.some(
      (each) => ['', key].includes(text(each['key'])) && ['', 'NoExecute'].includes(text(each['effect'])),
    );
  const added = lostNodeTaints
    .filter((key) => !covered(key))
    .map((key) => ({
      key,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: lostNodeTolerationSeconds,
    }));
  if (added.length > 0) spec['tolerations'] = [...((spec['tolerations'] as unknown[] | undefined) ?? []), ...added];
}
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

/** Writes the amounts of a resource list in their canonical spelling, thousandths being the finest; what is no amount stays, for validation to tell. */
export function canonicalResources(parent: MutableJson, field: string): void {
  const list = parent[field];
  if (!isObject(list)) return;
  for (const [name, amount] of Object.entries(list))
    if (isQuantity(amount)) (list as MutableJson)[name] = canonicalMilli(amount);
}

function canonicalField(object: MutableJson, field: string): void {
  const amount = object[field];
  if (isQuantity(amount)) object[field] = canonical(amount);
}
