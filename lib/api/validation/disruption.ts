import { isAbsent, isObject, objectAt, objectsAt, type Json } from '../json.ts';
import { validateConditions } from './conditions.ts';
import type { Findings } from './findings.ts';
import { validateLabelSelector } from './metadata.ts';

const maxInt = 2 ** 31 - 1;
const amounts = ['minAvailable', 'maxUnavailable'];

export function validatePodDisruptionBudget(found: Findings, budget: Json): void {
  const spec = budget['spec'];
  if (!isObject(spec)) return found.required('spec');
  if (amounts.every((field) => !isAbsent(spec[field])))
    found.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set');
  for (const field of amounts) validateAmount(found, `spec.${field}`, spec[field]);
  if (isObject(spec['selector'])) validateLabelSelector(found, 'spec.selector', spec['selector']);
  if (!isAbsent(spec['unhealthyPodEvictionPolicy']))
    found.oneOf('spec.unhealthyPodEvictionPolicy', spec['unhealthyPodEvictionPolicy'], [
      'AlwaysAllow',
      'IfHealthyBudget',
    ]);
}

function validateAmount(found: Findings, field: string, value: unknown): void {
  if (isAbsent(value)) return;
  if (typeof value !== 'string') return found.range(field, value, 0, maxInt);
  const percent = /^([0-9]+)%$/.exec(value)?.[1];
  if (percent === undefined) found.invalid(field, value, "must be a whole number, or a percentage such as '25%'");
  else if (Number(percent) > 100) found.invalid(field, value, 'must not be greater than 100%');
}

export function validatePodDisruptionBudgetStatus(found: Findings, next: Json): void {
  const status = objectAt(next, 'status');
  for (const count of ['disruptionsAllowed', 'currentHealthy', 'desiredHealthy', 'expectedPods', 'observedGeneration'])
    found.range(`status.${count}`, status[count], 0);
  validateConditions(found, objectsAt(status, 'conditions'));
}
