import type { FieldCause } from '../../base/errors.ts';
import { asObject, type Json } from '../json.ts';
import type { Resource } from '../kinds.ts';
import {
  validateEvent,
  validateLease,
  validateNamespace,
  validateNamespaceStatus,
  validateNode,
  validateNodeStatus,
  validateNodeUpdate,
} from './cluster.ts';
import { validateConfigMap, validateDataUpdate, validateSecret, validateServiceAccount } from './config.ts';
import { Findings } from './findings.ts';
import { validateMetadata, validateMetadataUpdate } from './metadata.ts';
import { validatePod, validatePodStatusUpdate, validatePodUpdate } from './pod.ts';
import { validateEndpoints, validateService, validateServiceStatusUpdate, validateServiceUpdate } from './service.ts';
import {
  validatePersistentVolume,
  validatePersistentVolumeClaim,
  validatePersistentVolumeClaimStatus,
  validatePersistentVolumeClaimUpdate,
  validatePersistentVolumeStatus,
  validatePersistentVolumeUpdate,
  validateStorageClass,
  validateStorageClassUpdate,
} from './storage.ts';
import { validateReplicationController, validateReplicationControllerStatus } from './workload.ts';

/**
 * The rules that an object must keep (Kubernetes v1). Objects come defaulted (`defaults/`) and with the
 * types of the schema checked (`codec/`); an odd shape is never a crash, at worst a finding less. Each
 * answers with every broken rule, each naming the field, the value and the rule; none means valid.
 */
export function validateCreate(resource: Resource, object: object): readonly FieldCause[] {
  const found = new Findings();
  validateObject(found, resource, asObject(object));
  return found.causes;
}

/** A replacement of spec and metadata. `next` has what the cluster assigned (see `keepAssigned`). */
export function validateUpdate(resource: Resource, next: object, previous: object): readonly FieldCause[] {
  const found = new Findings();
  const [now, then] = [asObject(next), asObject(previous)];
  validateObject(found, resource, now);
  validateMetadataUpdate(found, now, then);
  rules[resource].update?.(found, now, then);
  return found.causes;
}

/** A replacement of the status alone; what `next` says elsewhere does not count. */
export function validateStatusUpdate(resource: Resource, next: object, previous: object): readonly FieldCause[] {
  const found = new Findings();
  rules[resource].status?.(found, asObject(next), asObject(previous));
  return found.causes;
}

function validateObject(found: Findings, resource: Resource, object: Json): void {
  validateMetadata(found, resource, object);
  rules[resource].create(found, object);
}

interface KindRules {
  readonly create: (found: Findings, object: Json) => void;
  readonly update?: (found: Findings, next: Json, previous: Json) => void;
  readonly status?: (found: Findings, next: Json, previous: Json) => void;
}

const rules: Readonly<Record<Resource, KindRules>> = {
  pods: { create: validatePod, update: validatePodUpdate, status: validatePodStatusUpdate },
  replicationcontrollers: { create: validateReplicationController, status: validateReplicationControllerStatus },
  services: { create: validateService, update: validateServiceUpdate, status: validateServiceStatusUpdate },
  endpoints: { create: validateEndpoints },
  nodes: { create: validateNode, update: validateNodeUpdate, status: validateNodeStatus },
  namespaces: { create: validateNamespace, status: validateNamespaceStatus },
  events: { create: validateEvent },
  leases: { create: validateLease },
  configmaps: { create: validateConfigMap, update: validateDataUpdate },
  secrets: { create: validateSecret, update: validateDataUpdate },
  serviceaccounts: { create: validateServiceAccount },
  persistentvolumes: {
    create: validatePersistentVolume,
    update: validatePersistentVolumeUpdate,
    status: validatePersistentVolumeStatus,
  },
  persistentvolumeclaims: {
    create: validatePersistentVolumeClaim,
    update: validatePersistentVolumeClaimUpdate,
    status: validatePersistentVolumeClaimStatus,
  },
  storageclasses: { create: validateStorageClass, update: validateStorageClassUpdate },
};
