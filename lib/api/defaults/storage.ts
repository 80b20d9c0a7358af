import type { MutableJson } from '../json.ts';
import { ensured, fill, fillText, inside } from './fill.ts';
import { canonicalResources } from './pod.ts';

export function defaultPersistentVolume(volume: MutableJson): void {
  const status = ensured(volume, 'status');
  if (status !== undefined) fillText(status, 'phase', 'Pending');
  const spec = ensured(volume, 'spec');
  if (spec === undefined) return;
  canonicalResources(spec, 'capacity');
  fillText(spec, 'persistentVolumeReclaimPolicy', 'Retain');
  fillText(spec, 'volumeMode', 'Filesystem');
  const hostPath = inside(spec, 'hostPath');
  if (hostPath !== undefined) fill(hostPath, 'type', '');
}

export function defaultPersistentVolumeClaim(claim: MutableJson): void {
  const status = ensured(claim, 'status');
  if (status !== undefined) fillText(status, 'phase', 'Pending');
  const spec = ensured(claim, 'spec');
  if (spec === undefined) return;
  fillText(spec, 'volumeMode', 'Filesystem');
  const resources = ensured(spec, 'resources');
  if (resources === undefined) return;
  canonicalResources(resources, 'requests');
  canonicalResources(resources, 'limits');
}

export function defaultStorageClass(storageClass: MutableJson): void {
  fillText(storageClass, 'reclaimPolicy', 'Delete');
  fillText(storageClass, 'volumeBindingMode', 'Immediate');
}
