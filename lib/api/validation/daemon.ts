import { isAbsent, isObject, objectAt, objectsAt, type Json } from '../json.ts';
import type { PodSpec } from '../objects.ts';
import { hostPortsOf } from '../pods.ts';
import { onFailedRollout, onFailedRolloutAnnotation } from '../rollouts.ts';
import { validateConditions } from './conditions.ts';
import { refuseConfigChange } from './config-change.ts';
import type { Findings } from './findings.ts';
import { immutable } from './metadata.ts';
import { atMost, validateBounds, validateTemplated } from './workload.ts';

const maxInt = 2 ** 31 - 1;

export function validateDaemonSet(found: Findings, set: Json): void {
  const spec = set['spec'];
  if (!isObject(spec)) return found.required('spec');
  validateTemplated(found, spec, 'DaemonSet');
  refuseConfigChange(found, set, 'belongs to the pods: `spec.template.metadata.annotations`');
  const wish = objectAt(objectAt(set, 'metadata'), 'annotations')[onFailedRolloutAnnotation];
  if (!isAbsent(wish)) found.oneOf(`metadata.annotations[${onFailedRolloutAnnotation}]`, wish, onFailedRollout);
  found.range('spec.revisionHistoryLimit', spec['revisionHistoryLimit'], 0, maxInt);
  const strategy = objectAt(spec, 'updateStrategy');
  found.oneOf('spec.updateStrategy.type', strategy['type'], ['RollingUpdate', 'OnDelete']);
  const rolling = strategy['rollingUpdate'];
  if (strategy['type'] === 'OnDelete' && !isAbsent(rolling))
    found.forbidden('spec.updateStrategy.rollingUpdate', "may not be specified when strategy `type` is 'OnDelete'");
  if (strategy['type'] === 'RollingUpdate' && isObject(rolling)) validateRolling(found, rolling, spec);
}

/** On one node a pod is either taken away before the next comes, or after it: the two bounds exclude each other. */
function validateRolling(found: Findings, rolling: Json, spec: Json): void {
  const at = 'spec.updateStrategy.rollingUpdate';
  const before = found.causes.length;
  validateBounds(found, at, rolling, ['maxUnavailable', 'maxSurge']);
  if (found.causes.length > before) return;
  const isNone = (value: unknown): boolean => value === 0 || (typeof value === 'string' && /^0+%$/.test(value));
  const surge = rolling['maxSurge'];
  if (isNone(surge)) return;
  if (!isNone(rolling['maxUnavailable']))
    found.invalid(`${at}.maxSurge`, surge, 'may not be set when `maxUnavailable` is not 0');
  const podSpec = objectAt(objectAt(spec, 'template'), 'spec');
  if (!Array.isArray(podSpec['containers'])) return;
  const [port] = hostPortsOf(podSpec as unknown as PodSpec);
  if (port !== undefined)
    found.invalid(
      `${at}.maxSurge`,
      surge,
      `must be 0 while the pods take ports of their node (${port.port}): two of them cannot be on one node`,
    );
}

const counts = ['currentNumberScheduled', 'numberMisscheduled', 'desiredNumberScheduled', 'numberReady'] as const;
const laterCounts = ['updatedNumberScheduled', 'numberAvailable', 'numberUnavailable'] as const;

export function validateDaemonSetStatus(found: Findings, set: Json, previous: Json): void {
  const status = objectAt(set, 'status');
  for (const field of [...counts, ...laterCounts, 'observedGeneration', 'collisionCount'])
    found.range(`status.${field}`, status[field], 0);
  for (const field of ['currentNumberScheduled', 'numberReady', 'updatedNumberScheduled'])
    atMost(found, status, field, 'desiredNumberScheduled');
  atMost(found, status, 'numberAvailable', 'numberReady');
  const [now = 0, before = 0] = [status['collisionCount'], objectAt(previous, 'status')['collisionCount']];
  if (typeof now === 'number' && typeof before === 'number' && now < before)
    found.invalid('status.collisionCount', now, `must not be lowered (it is ${before})`);
  validateConditions(found, objectsAt(status, 'conditions'));
}

export function validateControllerRevision(found: Findings, object: Json): void {
  if (isAbsent(object['revision'])) found.required('revision');
  found.range('revision', object['revision'], 0);
  if (isAbsent(object['data'])) found.required('data');
}

/** What once was stays as it was. */
export const validateControllerRevisionUpdate = (found: Findings, next: Json, previous: Json): void =>
  void immutable(found, 'data', next['data'], previous['data']);
