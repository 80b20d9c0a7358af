import { isAbsent, isObject, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { formatSelector, matches, selectorOfLabelSelector } from '../labels.ts';
import type { Labels } from '../objects.ts';
import { readAgreement, rollingOrderAnnotation, rollingOrders, rollingUpdateAnnotation } from '../rolling-updates.ts';
import { onFailedRollout, onFailedRolloutAnnotation } from '../rollouts.ts';
import { validateConditions } from './conditions.ts';
import { refuseConfigChange, refuseRoll } from './config-change.ts';
import type { Findings } from './findings.ts';
import { immutable, validateLabels, validateLabelSelector } from './metadata.ts';
import { validateTemplate } from './pod.ts';
import { validateRebalancing } from './rebalancing.ts';

export function validateReplicationController(found: Findings, rc: Json): void {
  const spec = rc['spec'];
  if (!isObject(spec)) return found.required('spec');
  if (isAbsent(spec['replicas'])) found.required('spec.replicas');
  found.range('spec.replicas', spec['replicas'], 0, 2 ** 31 - 1);
  found.range('spec.minReadySeconds', spec['minReadySeconds'], 0, 2 ** 31 - 1);
  validateTemplate(found, 'spec.template', spec['template']);
  refuseRoll(found, 'spec.template', spec['template'], 'ReplicationController');
  validateSelector(found, spec);
  validateLasting(found, spec, 'ReplicationController');
  validateRollingUpdate(found, rc);
  validateRebalancing(found, 'metadata.annotations', objectAt(rc, 'metadata')['annotations']);
}

/** A rolling update is told by annotations: one that cannot be read would stand still without a word. */
function validateRollingUpdate(found: Findings, rc: Json): void {
  const annotations = objectAt(objectAt(rc, 'metadata'), 'annotations');
  const at = (name: string): string => `metadata.annotations[${name}]`;
  const [agreement, order, wish] = [rollingUpdateAnnotation, rollingOrderAnnotation, onFailedRolloutAnnotation].map(
    (name) => annotations[name],
  );
  if (typeof agreement === 'string') {
    const { problem, agreement: read } = readAgreement(agreement);
    if (problem !== undefined) found.invalid(at(rollingUpdateAnnotation), agreement, problem);
    else if (read.from === textAt(objectAt(rc, 'metadata'), 'name'))
      found.invalid(at(rollingUpdateAnnotation), agreement, 'from must name another ReplicationController');
  }
  if (!isAbsent(order)) found.oneOf(at(rollingOrderAnnotation), order, rollingOrders);
  if (!isAbsent(wish)) found.oneOf(at(onFailedRolloutAnnotation), wish, onFailedRollout);
}

export function validateReplicaSet(found: Findings, set: Json): void {
  const spec = set['spec'];
  if (!isObject(spec)) return found.required('spec');
  validateReplicas(found, spec, 'ReplicaSet');
  validateRebalancing(found, 'metadata.annotations', objectAt(set, 'metadata')['annotations']);
}

const maxInt = 2 ** 31 - 1;

export function validateDeployment(found: Findings, deployment: Json): void {
  const spec = deployment['spec'];
  if (!isObject(spec)) return found.required('spec');
  validateReplicas(found, spec, 'Deployment');
  validateRebalancing(found, 'metadata.annotations', objectAt(deployment, 'metadata')['annotations']);
  found.range('spec.revisionHistoryLimit', spec['revisionHistoryLimit'], 0, maxInt);
  found.range('spec.progressDeadlineSeconds', spec['progressDeadlineSeconds'], 0, maxInt);
  const [deadline, minReady] = [spec['progressDeadlineSeconds'], spec['minReadySeconds'] ?? 0];
  if (typeof deadline === 'number' && typeof minReady === 'number' && deadline <= minReady)
    found.invalid('spec.progressDeadlineSeconds', deadline, `must be greater than minReadySeconds (${minReady})`);
  const wish = objectAt(objectAt(deployment, 'metadata'), 'annotations')[onFailedRolloutAnnotation];
  if (!isAbsent(wish)) found.oneOf(`metadata.annotations[${onFailedRolloutAnnotation}]`, wish, onFailedRollout);
  refuseConfigChange(found, deployment, 'belongs to the pods: `spec.template.metadata.annotations`');
  const strategy = objectAt(spec, 'strategy');
  found.oneOf('spec.strategy.type', strategy['type'], ['Recreate', 'RollingUpdate']);
  const rolling = strategy['rollingUpdate'];
  if (strategy['type'] === 'Recreate' && !isAbsent(rolling))
    found.forbidden('spec.strategy.rollingUpdate', "may not be specified when strategy `type` is 'Recreate'");
  if (strategy['type'] === 'RollingUpdate' && isObject(rolling))
    validateBounds(found, 'spec.strategy.rollingUpdate', rolling, ['maxUnavailable']);
}

/** How far a rolling update may go at once; `parts` are those that are a part of the whole, so that 100 % is all of it. */
export function validateBounds(found: Findings, at: string, rolling: Json, parts: readonly string[]): void {
  for (const field of ['maxUnavailable', 'maxSurge']) {
    const value = rolling[field];
    if (typeof value === 'number') found.range(`${at}.${field}`, value, 0, maxInt);
    else if (typeof value === 'string' && !/^[0-9]+%$/.test(value))
      found.invalid(`${at}.${field}`, value, "must be a whole number, or a percentage such as '25%'");
  }
  for (const field of parts) {
    const part = rolling[field];
    if (typeof part === 'string' && Number.parseInt(part, 10) > 100)
      found.invalid(`${at}.${field}`, part, 'must not be greater than 100%');
  }
  const unavailable = rolling['maxUnavailable'];
  const isNone = (value: unknown): boolean => value === 0 || (typeof value === 'string' && /^0+%$/.test(value));
  if (isNone(unavailable) && isNone(rolling['maxSurge']))
    found.invalid(`${at}.maxUnavailable`, unavailable, 'may not be 0 when `maxSurge` is 0: no step could be made');
}

/** What ReplicaSets and Deployments have in common. */
function validateReplicas(found: Findings, spec: Json, kind: string): void {
  found.range('spec.replicas', spec['replicas'], 0, maxInt);
  validateTemplated(found, spec, kind);
}

/** What all that keep pods of a template and find them by a selector with operators have in common. */
export function validateTemplated(found: Findings, spec: Json, kind: string): void {
  found.range('spec.minReadySeconds', spec['minReadySeconds'], 0, maxInt);
  validateTemplate(found, 'spec.template', spec['template']);
  validateLasting(found, spec, kind);
  const selector = spec['selector'];
  if (!isObject(selector)) return found.required('spec.selector');
  const before = found.causes.length;
  validateLabelSelector(found, 'spec.selector', selector);
  if (found.causes.length > before) return;
  const wanted = selectorOfLabelSelector(selector);
  if (wanted.length === 0)
    return found.invalid(
      'spec.selector',
      selector,
      `empty selector is invalid for a ${kind}: it would match every pod`,
    );
  const labels = objectAt(objectAt(objectAt(spec, 'template'), 'metadata'), 'labels');
  if (isObject(spec['template']) && !matches(wanted, labels as Labels))
    found.invalid(
      'spec.template.metadata.labels',
      labels,
      `\`selector\` does not match template \`labels\`: ${formatSelector(wanted)} is asked for`,
    );
}

/** The pods of these kinds are there to stay. */
function validateLasting(found: Findings, spec: Json, kind: string): void {
  const podSpec = objectAt(objectAt(spec, 'template'), 'spec');
  const policy = textAt(podSpec, 'restartPolicy');
  if (policy !== '' && policy !== 'Always') found.notSupported('spec.template.spec.restartPolicy', policy, ['Always']);
  if (!isAbsent(podSpec['activeDeadlineSeconds']))
    found.forbidden('spec.template.spec.activeDeadlineSeconds', `activeDeadlineSeconds in ${kind} is not Supported`);
}

/** Pods are told from those of others by the selector: another one would leave them behind. */
export function validateSelectorUpdate(found: Findings, next: Json, previous: Json): void {
  immutable(found, 'spec.selector', objectAt(next, 'spec')['selector'], objectAt(previous, 'spec')['selector']);
}

/** A controller whose template its own selector does not find would make pods for ever. */
function validateSelector(found: Findings, spec: Json): void {
  const selector = objectAt(spec, 'selector');
  const wanted = Object.entries(selector);
  if (wanted.length === 0) return found.required('spec.selector');
  validateLabels(found, 'spec.selector', selector);
  if (!isObject(spec['template'])) return;
  const labels = objectAt(objectAt(spec['template'], 'metadata'), 'labels');
  const missing = wanted
    .filter(([key, value]) => labels[key] !== value)
    .map(([key, value]) => `${key}=${String(value)}`);
  if (missing.length > 0)
    found.invalid(
      'spec.template.metadata.labels',
      labels,
      `\`selector\` does not match template \`labels\`: ${missing.join(', ')} is missing`,
    );
}

/** Every count is of pods that `replicas` counts too. */
export function validateReplicationControllerStatus(found: Findings, rc: Json): void {
  const status = objectAt(rc, 'status');
  for (const field of ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'])
    found.range(`status.${field}`, status[field], 0);
  found.range('status.terminatingReplicas', status['terminatingReplicas'], 0);
  atMost(found, status, 'fullyLabeledReplicas', 'replicas');
  atMost(found, status, 'readyReplicas', 'replicas');
  atMost(found, status, 'availableReplicas', 'replicas');
  atMost(found, status, 'availableReplicas', 'readyReplicas');
  validateConditions(found, objectsAt(status, 'conditions'));
}

const deploymentCounts = [
  ...['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas', 'unavailableReplicas'],
  ...['terminatingReplicas', 'observedGeneration', 'collisionCount'],
];

export function validateDeploymentStatus(found: Findings, deployment: Json, previous: Json): void {
  const status = objectAt(deployment, 'status');
  for (const field of deploymentCounts) found.range(`status.${field}`, status[field], 0);
  atMost(found, status, 'updatedReplicas', 'replicas');
  atMost(found, status, 'readyReplicas', 'replicas');
  atMost(found, status, 'availableReplicas', 'readyReplicas');
  const [now = 0, before = 0] = [status['collisionCount'], objectAt(previous, 'status')['collisionCount']];
  if (typeof now === 'number' && typeof before === 'number' && now < before)
    found.invalid('status.collisionCount', now, `must not be lowered (it is ${before})`);
  validateConditions(found, objectsAt(status, 'conditions'));
}

export function atMost(found: Findings, status: Json, field: string, bound: string): void {
  const [count, max] = [status[field] ?? 0, status[bound] ?? 0];
  if (typeof count === 'number' && typeof max === 'number' && count > Math.max(max, 0))
    found.invalid(`status.${field}`, count, `cannot be greater than status.${bound} (${max})`);
}
