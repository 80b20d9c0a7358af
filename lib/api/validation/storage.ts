import { isAbsent, isObject, listAt, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { dnsSubdomain, labelValue, qualifiedName } from '../names.ts';
import { compareQuantities, isQuantity } from '../quantity.ts';
import { localProvisioner } from '../storage.ts';
import { checkAmount } from './amounts.ts';
import type { Findings } from './findings.ts';
import { immutable, validateLabels } from './metadata.ts';
import { validateNodeSelector } from './placing.ts';
import { validateVolumeSource } from './volumes.ts';

const accessModes = ['ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOncePod'];
const policies = ['Retain', 'Delete'];

// ---- PersistentVolume ----------------------------------------------------------------------------

/** Members of the spec that are no source. */
const plainFields = new Set([
  ...['capacity', 'accessModes', 'claimRef', 'persistentVolumeReclaimPolicy', 'storageClassName', 'mountOptions'],
  ...['volumeMode', 'nodeAffinity', 'volumeAttributesClassName'],
]);
const sourcesOf = (spec: Json): readonly string[] =>
  Object.keys(spec).filter((field) => !plainFields.has(field) && isObject(spec[field]));

export function validatePersistentVolume(found: Findings, volume: Json): void {
  const spec = objectAt(volume, 'spec');
  checkSize(found, 'spec.capacity', objectAt(spec, 'capacity'));
  checkModes(found, listAt(spec, 'accessModes'));
  checkMode(found, spec);
  found.oneOf('spec.persistentVolumeReclaimPolicy', spec['persistentVolumeReclaimPolicy'], policies);
  const className = textAt(spec, 'storageClassName');
  if (className !== '') found.check('spec.storageClassName', className, dnsSubdomain);
  const sources = sourcesOf(spec);
  const [source] = sources;
  if (source === undefined) found.required('spec', 'must specify a volume type, such as local, hostPath or nfs');
  for (const other of sources.slice(1)) found.forbidden(`spec.${other}`, 'may not specify more than 1 volume type');
  if (source === 'local') checkLocal(found, spec);
  else if (source !== undefined) validateVolumeSource(found, 'spec', source, objectAt(spec, source));
  checkAffinity(found, spec['nodeAffinity']);
  const claim = spec['claimRef'];
  if (isObject(claim))
    for (const field of ['namespace', 'name'])
      if (textAt(claim, field) === '') found.required(`spec.claimRef.${field}`);
}

function checkLocal(found: Findings, spec: Json): void {
  const path = textAt(objectAt(spec, 'local'), 'path');
  if (path === '') found.required('spec.local.path');
  else if (!path.startsWith('/') || path.split('/').includes('..'))
    found.invalid('spec.local.path', path, `must be an absolute path without '..'`);
  if (!isObject(objectAt(spec, 'nodeAffinity')['required']))
    found.required('spec.nodeAffinity', 'a local volume names the node it is on');
}

function checkAffinity(found: Findings, affinity: unknown): void {
  if (isObject(affinity)) validateNodeSelector(found, 'spec.nodeAffinity.required', objectAt(affinity, 'required'));
}

/** What the disk is, and where, stays; whose it is may change. */
export function validatePersistentVolumeUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  for (const source of new Set([...sourcesOf(spec), ...sourcesOf(before)]))
    if (!sameJson(spec[source], before[source]))
      found.forbidden(`spec.${source}`, 'spec.persistentvolumesource is immutable after creation');
  immutable(found, 'spec.volumeMode', spec['volumeMode'], before['volumeMode']);
  if (!isAbsent(before['nodeAffinity']))
    immutable(found, 'spec.nodeAffinity', spec['nodeAffinity'], before['nodeAffinity']);
}

const volumePhases = ['Pending', 'Available', 'Bound', 'Released', 'Failed'];
export function validatePersistentVolumeStatus(found: Findings, volume: Json): void {
  found.oneOf('status.phase', objectAt(volume, 'status')['phase'], volumePhases);
}

// ---- PersistentVolumeClaim -----------------------------------------------------------------------

export function validatePersistentVolumeClaim(found: Findings, claim: Json): void {
  const spec = objectAt(claim, 'spec');
  checkModes(found, listAt(spec, 'accessModes'));
  checkMode(found, spec);
  checkSize(found, 'spec.resources.requests', objectAt(objectAt(spec, 'resources'), 'requests'));
  const selector = spec['selector'];
  if (isObject(selector)) checkSelector(found, selector);
  for (const field of ['storageClassName', 'volumeName']) {
    const name = textAt(spec, field);
    if (name !== '') found.check(`spec.${field}`, name, dnsSubdomain);
  }
  for (const field of ['dataSource', 'dataSourceRef'])
    if (isObject(spec[field])) found.forbidden(`spec.${field}`, 'disks with contents from elsewhere are not supported');
}

/** A wish is not changed: what may is its volume and class, once, where they were left out. */
export function validatePersistentVolumeClaimUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  const rule = 'is immutable after creation';
  for (const field of ['accessModes', 'selector', 'resources', 'volumeMode'])
    if (!sameJson(spec[field], before[field])) found.forbidden(`spec.${field}`, rule);
  if (textAt(before, 'volumeName') !== '' && textAt(spec, 'volumeName') !== textAt(before, 'volumeName'))
    found.forbidden('spec.volumeName', `${rule} and binding; it is ${JSON.stringify(before['volumeName'])}`);
  if (!isAbsent(before['storageClassName']) && spec['storageClassName'] !== before['storageClassName'])
    found.forbidden('spec.storageClassName', rule);
}

const claimPhases = ['Pending', 'Bound', 'Lost'];
export function validatePersistentVolumeClaimStatus(found: Findings, claim: Json): void {
  found.oneOf('status.phase', objectAt(claim, 'status')['phase'], claimPhases);
}

const selectorOperators = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

function checkSelector(found: Findings, selector: Json): void {
  validateLabels(found, 'spec.selector.matchLabels', selector['matchLabels']);
  objectsAt(selector, 'matchExpressions').forEach((requirement, index) => {
    const at = `spec.selector.matchExpressions[${index}]`;
    found.checkRequired(`${at}.key`, textAt(requirement, 'key'), qualifiedName);
    found.oneOf(`${at}.operator`, requirement['operator'], selectorOperators);
    const values = listAt(requirement, 'values');
    const wants = textAt(requirement, 'operator').endsWith('In');
    if (wants && values.length === 0)
      found.required(`${at}.values`, `must be specified when \`operator\` is 'In' or 'NotIn'`);
    if (!wants && values.length > 0)
      found.forbidden(`${at}.values`, `may not be specified when \`operator\` is 'Exists' or 'DoesNotExist'`);
    values.forEach((value, position) => {
      if (typeof value === 'string') found.check(`${at}.values[${position}]`, value, labelValue);
    });
  });
}

// ---- StorageClass --------------------------------------------------------------------------------

/** What a disk of the local class can have of its own, which bounds its size; without one it is a folder. */
const localFileSystems = ['ext4'];

export function validateStorageClass(found: Findings, storageClass: Json): void {
  const provisioner = textAt(storageClass, 'provisioner');
  found.checkRequired('provisioner', provisioner, (name) => qualifiedName(name.toLowerCase()));
  found.oneOf('reclaimPolicy', storageClass['reclaimPolicy'], policies);
  found.oneOf('volumeBindingMode', storageClass['volumeBindingMode'], ['Immediate', 'WaitForFirstConsumer']);
  if (provisioner !== localProvisioner) return;
  for (const [name, value] of Object.entries(objectAt(storageClass, 'parameters')))
    if (name === 'fsType') found.oneOf('parameters[fsType]', value, localFileSystems);
    else found.notSupported(`parameters[${name}]`, name, ['fsType']);
  for (const field of ['mountOptions', 'allowedTopologies'])
    if (listAt(storageClass, field).length > 0) found.forbidden(field, `means nothing to ${localProvisioner}`);
  if (storageClass['allowVolumeExpansion'] === true)
    found.forbidden('allowVolumeExpansion', `disks of ${localProvisioner} do not grow`);
}

export function validateStorageClassUpdate(found: Findings, next: Json, previous: Json): void {
  for (const field of ['provisioner', 'parameters', 'reclaimPolicy', 'volumeBindingMode'])
    if (!sameJson(next[field], previous[field])) found.forbidden(field, 'updates to this field are forbidden');
}

// ---- Shared --------------------------------------------------------------------------------------

function checkModes(found: Findings, modes: readonly unknown[]): void {
  if (modes.length === 0) found.required('spec.accessModes', 'at least 1 access mode is required');
  modes.forEach((mode, index) => found.oneOf(`spec.accessModes[${index}]`, mode, accessModes));
  if (modes.includes('ReadWriteOncePod') && modes.length > 1)
    found.forbidden('spec.accessModes', 'may not use ReadWriteOncePod with other access modes');
}

/** Raw devices are not handed to pods. */
function checkMode(found: Findings, spec: Json): void {
  found.oneOf('spec.volumeMode', spec['volumeMode'], ['Filesystem']);
}

/** `storage` and nothing else, more than nothing. */
function checkSize(found: Findings, field: string, amounts: Json): void {
  const size = amounts['storage'];
  if (isAbsent(size)) return found.required(`${field}[storage]`);
  for (const name of Object.keys(amounts)) if (name !== 'storage') found.notSupported(field, name, ['storage']);
  checkAmount(found, `${field}[storage]`, size);
  if (isQuantity(size) && compareQuantities(size, 0) === 0)
    found.invalid(`${field}[storage]`, size, 'must be greater than zero');
}
