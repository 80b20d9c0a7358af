import { isAbsent, isObject, listAt, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { parseIp } from '../net.ts';
import { validateConfigChange } from './config-change.ts';
import { refuseEphemeral, validateEphemeralAdditions } from './ephemeral.ts';
import { ipRule, type Findings } from './findings.ts';
import { narrows, validateGatesUpdate, validateNewGates } from './gates.ts';
import { immutable, validateAnnotations, validateLabels } from './metadata.ts';
import { validatePodSpec } from './pod-spec.ts';
import { validateGang } from './gang.ts';
import { validateRebalancing } from './rebalancing.ts';
import { validateRestartBackoff } from './restart-backoff.ts';
import { validateServiceLinks } from './service-links.ts';
import { validateWithdrawal } from './withdrawal.ts';
import { validateConditions } from './conditions.ts';

export function validatePod(found: Findings, pod: Json): void {
  validateRestartBackoff(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  validateGang(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  validateServiceLinks(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  validateWithdrawal(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  validateConfigChange(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  validateRebalancing(found, 'metadata.annotations', objectAt(pod, 'metadata')['annotations']);
  if (!isObject(pod['spec'])) return found.required('spec');
  validatePodSpec(found, 'spec', pod['spec']);
}

/** What holds for a pod that is made. */
export function validateNewPod(found: Findings, pod: Json): void {
  const why =
    'cannot be set on create: they are added to a pod that is there (pods/ephemeralcontainers, kubectl debug)';
  refuseEphemeral(found, 'spec', pod['spec'], why);
  validateNewGates(found, objectAt(pod, 'spec'));
}

/** The template of a controller's pods. */
export function validateTemplate(found: Findings, field: string, template: unknown): void {
  if (!isObject(template)) return found.required(field);
  const metadata = objectAt(template, 'metadata');
  validateLabels(found, `${field}.metadata.labels`, metadata['labels']);
  validateAnnotations(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateRestartBackoff(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateGang(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateServiceLinks(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateWithdrawal(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateConfigChange(found, `${field}.metadata.annotations`, metadata['annotations']);
  validateRebalancing(found, `${field}.metadata.annotations`, metadata['annotations']);
  if (isObject(template['spec'])) validatePodSpec(found, `${field}.spec`, template['spec']);
  else found.required(`${field}.spec`);
  refuseEphemeral(found, `${field}.spec`, template['spec'], 'ephemeral containers not allowed in pod template');
}

/** What may change of a pod that exists; all the rest is what its containers were started with. */
const mutable = [
  '`spec.containers[*].image`',
  '`spec.initContainers[*].image`',
  '`spec.activeDeadlineSeconds`',
  '`spec.tolerations` (only additions to existing tolerations)',
  '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
];

export function validatePodUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  const changed = Object.keys({ ...before, ...spec }).flatMap((field) => frozenChanges(field, spec, before));
  if (changed.length > 0)
    found.forbidden(
      'spec',
      `pod updates may not change fields other than ${mutable.join(', ')}; this changes ${changed.map((field) => `spec.${field}`).join(', ')}`,
    );
  validateDeadlineUpdate(found, spec['activeDeadlineSeconds'], before['activeDeadlineSeconds']);
  validateTolerationsUpdate(found, listAt(spec, 'tolerations'), listAt(before, 'tolerations'));
  validateGatesUpdate(found, spec, before);
}

/** Another list of ephemeral containers, by the verb that is for them alone. */
export function validateEphemeralUpdate(found: Findings, next: Json, previous: Json): void {
  validatePod(found, next);
  validateEphemeralAdditions(found, next, previous);
}

/** The paths below one field of the spec that differ and must not. */
function frozenChanges(field: string, spec: Json, before: Json): readonly string[] {
  if (field === 'activeDeadlineSeconds' || field === 'tolerations' || field === 'schedulingGates') return [];
  const [now, then] = [spec[field] ?? undefined, before[field] ?? undefined];
  if (sameJson(now, then) || narrows(field, spec, before)) return [];
  if (field === 'terminationGracePeriodSeconds' && now === 1 && typeof then === 'number' && then < 0) return [];
  if (field !== 'containers' && field !== 'initContainers') return [field];
  const [containers, old] = [objectsAt(spec, field), objectsAt(before, field)];
  if (containers.length !== old.length) return [field];
  return containers.flatMap((container, index) =>
    Object.keys({ ...old[index], ...container })
      .filter((part) => part !== 'image' && !sameJson(container[part] ?? undefined, old[index]?.[part] ?? undefined))
      .map((part) => `${field}[${index}].${part}`),
  );
}

/** It may be set, and lowered. */
function validateDeadlineUpdate(found: Findings, next: unknown, previous: unknown): void {
  if (isAbsent(previous)) return;
  if (isAbsent(next))
    return found.invalid('spec.activeDeadlineSeconds', null, `must not be removed, it is ${Number(previous)}`);
  if (typeof next === 'number' && typeof previous === 'number' && next > previous)
    found.invalid('spec.activeDeadlineSeconds', next, `must be less than or equal to previous value (${previous})`);
}

/** Each that was there stays; how long it lasts may change. */
function validateTolerationsUpdate(found: Findings, next: readonly unknown[], previous: readonly unknown[]): void {
  const identity = (toleration: unknown): Json => ({ ...(toleration as Json), tolerationSeconds: undefined });
  const kept = previous.every((old) => next.some((each) => sameJson(identity(each), identity(old))));
  if (!kept)
    found.forbidden('spec.tolerations', 'existing toleration can not be modified except its tolerationSeconds');
}

const phases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'];

/** A terminal phase is never left (F56), and a container that ended for good never runs again. */
export function validatePodStatusUpdate(found: Findings, next: Json, previous: Json): void {
  const [status, before] = [objectAt(next, 'status'), objectAt(previous, 'status')];
  const [phase, old] = [textAt(status, 'phase'), textAt(before, 'phase')];
  if (phase !== '') found.oneOf('status.phase', phase, phases);
  if ((old === 'Succeeded' || old === 'Failed') && phase !== old)
    found.invalid(
      'status.phase',
      phase,
      `a pod that is ${old} stays so: a terminal phase is final, its controller makes a new pod instead`,
    );
  for (const [field, ip] of [
    ['status.podIP', textAt(status, 'podIP')],
    ['status.hostIP', textAt(status, 'hostIP')],
  ] as const)
    if (ip !== '' && parseIp(ip) === undefined) found.invalid(field, ip, ipRule);
  validateConditions(found, objectsAt(status, 'conditions'));
  const spec = objectAt(previous, 'spec');
  for (const field of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses'])
    objectsAt(status, field).forEach((container, index) => {
      found.range(`status.${field}[${index}].restartCount`, container['restartCount'], 0);
      const was = objectsAt(before, field).find((each) => each['name'] === container['name']);
      if (was !== undefined && staysEnded(spec, field, was) && !isEnded(container))
        found.forbidden(`status.${field}[${index}].state`, 'may not be transitioned to non-terminated state');
    });
  if (textAt(before, 'qosClass') !== '' && textAt(status, 'qosClass') !== '')
    immutable(found, 'status.qosClass', status['qosClass'], before['qosClass']);
}

const endOf = (container: Json): unknown => objectAt(container, 'state')['terminated'];
const isEnded = (container: Json): boolean => isObject(endOf(container));

/**
 * Whether a container status says an end that is final: by the pod's restart policy, or always for one that is ephemeral. Init containers may
 * run again with their pod.
 */
function staysEnded(spec: Json, field: string, status: Json): boolean {
  if (!isEnded(status) || field === 'initContainerStatuses') return false;
  if (field === 'ephemeralContainerStatuses') return true;
  const policy = spec['restartPolicy'];
  return (
    policy === 'Never' ||
    (policy === 'OnFailure' && objectAt(objectAt(status, 'state'), 'terminated')['exitCode'] === 0)
  );
}
