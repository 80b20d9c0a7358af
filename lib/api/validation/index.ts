import type { FieldCause } from '../../base/errors.ts';
import { asObject, type Json } from '../json.ts';
import { kinds, type BuiltIn } from '../kinds.ts';
import {
  validateBindingUpdate,
  validateClusterRole,
  validateClusterRoleBinding,
  validateRole,
  validateRoleBinding,
} from './access.ts';
import { validateAutoscaler, validateAutoscalerStatus } from './autoscaling.ts';
import { validateJob, validateJobStatus, validateJobUpdate } from './batch.ts';
import {
  validateLimitRange,
  validatePriorityClass,
  validatePriorityClassUpdate,
  validateResourceQuota,
  validateResourceQuotaStatus,
  validateResourceQuotaUpdate,
} from './bounds.ts';
import { validateCronJob, validateCronJobStatus } from './cron.ts';
import {
  validateControllerRevision,
  validateControllerRevisionUpdate,
  validateDaemonSet,
  validateDaemonSetStatus,
} from './daemon.ts';
import { validatePodDisruptionBudget, validatePodDisruptionBudgetStatus } from './disruption.ts';
import { validateDefinition, validateDefinitionUpdate } from './extension.ts';
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
import { dnsSubdomain } from '../names.ts';
import { nameRule, validateMetadata, validateMetadataUpdate } from './metadata.ts';
import {
  validateEphemeralUpdate,
  validateNewPod,
  validatePod,
  validatePodStatusUpdate,
  validatePodUpdate,
  validateTemplate,
} from './pod.ts';
import { validateEndpoints, validateService, validateServiceStatusUpdate, validateServiceUpdate } from './service.ts';
import { validateEndpointSlice, validateEndpointSliceUpdate } from './slices.ts';
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
import {
  validateDeployment,
  validateDeploymentStatus,
  validateReplicaSet,
  validateReplicationController,
  validateReplicationControllerStatus,
  validateSelectorUpdate,
} from './workload.ts';

/**
 * The rules that an object must keep (Kubernetes v1). Objects come defaulted (`defaults/`) and with the
 * types of the schema checked (`codec/`); an odd shape is never a crash, at worst a finding less. Each
 * answers with every broken rule, each naming the field, the value and the rule; none means valid.
 */
export function validateCreate(resource: BuiltIn, object: object): readonly FieldCause[] {
  const found = new Findings();
  validateObject(found, resource, asObject(object));
  rules[resource].fresh?.(found, asObject(object));
  return found.causes;
}

/** Another list of a pod's ephemeral containers; all else of `next` is as in `previous`. */
export function validateEphemeralContainers(next: object, previous: object): readonly FieldCause[] {
  const found = new Findings();
  validateEphemeralUpdate(found, asObject(next), asObject(previous));
  return found.causes;
}

/** A replacement of spec and metadata. `next` has what the cluster assigned (see `keepAssigned`). */
export function validateUpdate(resource: BuiltIn, next: object, previous: object): readonly FieldCause[] {
  const found = new Findings();
  const [now, then] = [asObject(next), asObject(previous)];
  validateObject(found, resource, now);
  validateMetadataUpdate(found, now, then);
  rules[resource].update?.(found, now, then);
  return found.causes;
}

/** A replacement of the status alone; what `next` says elsewhere does not count. */
export function validateStatusUpdate(resource: BuiltIn, next: object, previous: object): readonly FieldCause[] {
  const found = new Findings();
  rules[resource].status?.(found, asObject(next), asObject(previous));
  return found.causes;
}

function validateObject(found: Findings, resource: BuiltIn, object: Json): void {
  validateMetadata(found, { namespaced: kinds[resource].namespaced, named: nameRule(resource) }, object);
  rules[resource].create(found, object);
}

/** What holds for the metadata of every object, of a kind that users defined too. */
export function validateCustomMetadata(
  namespaced: boolean,
  next: object,
  previous: object | undefined,
): readonly FieldCause[] {
  const found = new Findings();
  validateMetadata(found, { namespaced, named: dnsSubdomain }, asObject(next));
  if (previous !== undefined) validateMetadataUpdate(found, asObject(next), asObject(previous));
  return found.causes;
}

interface KindRules {
  /** What holds for every object of the kind. */
  readonly create: (found: Findings, object: Json) => void;
  /** What holds beside it for one that is made. */
  readonly fresh?: (found: Findings, object: Json) => void;
  readonly update?: (found: Findings, next: Json, previous: Json) => void;
  readonly status?: (found: Findings, next: Json, previous: Json) => void;
}

const rules: Readonly<Record<BuiltIn, KindRules>> = {
  pods: { create: validatePod, fresh: validateNewPod, update: validatePodUpdate, status: validatePodStatusUpdate },
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
  podtemplates: {
    create: (found, stored) => {
      validateTemplate(found, 'template', stored['template']);
    },
  },
  resourcequotas: {
    create: validateResourceQuota,
    update: validateResourceQuotaUpdate,
    status: validateResourceQuotaStatus,
  },
  limitranges: { create: validateLimitRange },
  endpointslices: { create: validateEndpointSlice, update: validateEndpointSliceUpdate },
  priorityclasses: { create: validatePriorityClass, update: validatePriorityClassUpdate },
  roles: { create: validateRole },
  rolebindings: { create: validateRoleBinding, update: validateBindingUpdate },
  clusterroles: { create: validateClusterRole },
  clusterrolebindings: { create: validateClusterRoleBinding, update: validateBindingUpdate },
  customresourcedefinitions: { create: validateDefinition, update: validateDefinitionUpdate },
  replicasets: {
    create: validateReplicaSet,
    update: validateSelectorUpdate,
    status: validateReplicationControllerStatus,
  },
  daemonsets: { create: validateDaemonSet, update: validateSelectorUpdate, status: validateDaemonSetStatus },
  controllerrevisions: { create: validateControllerRevision, update: validateControllerRevisionUpdate },
  deployments: { create: validateDeployment, update: validateSelectorUpdate, status: validateDeploymentStatus },
  jobs: { create: validateJob, update: validateJobUpdate, status: validateJobStatus },
  cronjobs: { create: validateCronJob, status: validateCronJobStatus },
  poddisruptionbudgets: { create: validatePodDisruptionBudget, status: validatePodDisruptionBudgetStatus },
  horizontalpodautoscalers: { create: validateAutoscaler, status: validateAutoscalerStatus },
};
