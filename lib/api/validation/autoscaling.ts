import { isAbsent, isObject, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { pathSegment, qualifiedName } from '../names.ts';
import { compareQuantities, isQuantity, quantityRule } from '../quantity.ts';
import { validateConditions } from './conditions.ts';
import type { Findings } from './findings.ts';
import { validateLabelSelector } from './metadata.ts';

const maxInt = 2 ** 31 - 1;
const maxWindow = 3600;
const maxPeriod = 1800;
/** Each is asked for in each pass, and told in one status. */
const maxMetrics = 50;
const maxPolicies = 20;

const members = {
  Resource: 'resource',
  ContainerResource: 'containerResource',
  Pods: 'pods',
  Object: 'object',
  External: 'external',
} as const;

/** The targets that a type of metric may have. */
const targets: Readonly<Record<keyof typeof members, readonly string[]>> = {
  Resource: ['Utilization', 'AverageValue'],
  ContainerResource: ['Utilization', 'AverageValue'],
  Pods: ['AverageValue'],
  Object: ['Value', 'AverageValue'],
  External: ['Value', 'AverageValue'],
};

export function validateAutoscaler(found: Findings, autoscaler: Json): void {
  const spec = autoscaler['spec'];
  if (!isObject(spec)) return found.required('spec');
  const metrics = objectsAt(spec, 'metrics');
  const [least, most] = [spec['minReplicas'], spec['maxReplicas']];
  found.range('spec.minReplicas', least, 0, maxInt);
  if (least === 0 && !metrics.some(({ type }) => type === 'Object' || type === 'External'))
    found.invalid(
      'spec.minReplicas',
      least,
      'must be 1 or more unless a metric is of type Object or External: without pods the others measure nothing',
    );
  if (isAbsent(most)) found.required('spec.maxReplicas');
  found.range('spec.maxReplicas', most, 1, maxInt);
  if (typeof least === 'number' && typeof most === 'number' && most < least)
    found.invalid('spec.maxReplicas', most, 'must be greater than or equal to `minReplicas`');
  validateReference(found, 'spec.scaleTargetRef', objectAt(spec, 'scaleTargetRef'));
  if (metrics.length > maxMetrics) found.tooLong('spec.metrics', maxMetrics, metrics.length, 'metrics');
  metrics.forEach((metric, index) => {
    validateMetric(found, `spec.metrics[${index}]`, metric);
  });
  const behavior = objectAt(spec, 'behavior');
  for (const direction of ['scaleUp', 'scaleDown'])
    if (isObject(behavior[direction])) validateRules(found, `spec.behavior.${direction}`, behavior[direction]);
}

function validateReference(found: Findings, at: string, reference: Json): void {
  found.checkRequired(`${at}.kind`, textAt(reference, 'kind'), pathSegment);
  found.checkRequired(`${at}.name`, textAt(reference, 'name'), pathSegment);
  const version = textAt(reference, 'apiVersion');
  if (version !== '' && !/^([a-z0-9]([-a-z0-9.]*[a-z0-9])?\/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(version))
    found.invalid(`${at}.apiVersion`, version, "must be a version, or a group and a version, such as 'apps/v1'");
}

function validateMetric(found: Findings, at: string, metric: Json): void {
  const type = metric['type'];
  found.oneOf(`${at}.type`, type, Object.keys(members));
  for (const [each, member] of Object.entries(members))
    if (each !== type && !isAbsent(metric[member]))
      found.forbidden(`${at}.${member}`, `must not be there when type is not ${each}`);
  if (typeof type !== 'string' || !Object.hasOwn(members, type)) return;
  const known = type as keyof typeof members;
  const field = `${at}.${members[known]}`;
  const source = metric[members[known]];
  if (!isObject(source)) return found.required(field, `type ${known} needs it`);
  if (known === 'Resource' || known === 'ContainerResource') validateResource(found, field, known, source);
  else validateIdentifier(found, `${field}.metric`, objectAt(source, 'metric'));
  if (known === 'Object') validateReference(found, `${field}.describedObject`, objectAt(source, 'describedObject'));
  validateTarget(found, `${field}.target`, source['target'], targets[known]);
}

function validateResource(found: Findings, at: string, type: string, source: Json): void {
  const name = textAt(source, 'name');
  found.checkRequired(`${at}.name`, name, qualifiedName);
  if (name !== '' && qualifiedName(name) === undefined) found.oneOf(`${at}.name`, name, ['cpu', 'memory']);
  if (type === 'ContainerResource') found.checkRequired(`${at}.container`, textAt(source, 'container'), pathSegment);
}

function validateIdentifier(found: Findings, at: string, metric: Json): void {
  found.checkRequired(`${at}.name`, textAt(metric, 'name'), pathSegment);
  validateLabelSelector(found, `${at}.selector`, metric['selector']);
}

const memberOfTarget: Readonly<Record<string, string>> = {
  Utilization: 'averageUtilization',
  Value: 'value',
  AverageValue: 'averageValue',
};

function validateTarget(found: Findings, at: string, target: unknown, allowed: readonly string[]): void {
  if (!isObject(target)) return found.required(at);
  found.oneOf(`${at}.type`, target['type'], allowed);
  const type = textAt(target, 'type');
  const wanted = memberOfTarget[type];
  if (wanted === undefined || !allowed.includes(type)) return;
  for (const other of Object.values(memberOfTarget))
    if (other !== wanted && !isAbsent(target[other]))
      found.forbidden(`${at}.${other}`, `a target of type ${type} has ${wanted} alone`);
  const value = target[wanted];
  if (isAbsent(value)) found.required(`${at}.${wanted}`, `type ${type} needs it`);
  else if (wanted === 'averageUtilization') found.range(`${at}.${wanted}`, value, 1, maxInt);
  else if (!isQuantity(value)) found.invalid(`${at}.${wanted}`, value, quantityRule);
  else if (compareQuantities(value, '0') <= 0) found.invalid(`${at}.${wanted}`, value, 'must be positive');
}

function validateRules(found: Findings, at: string, rules: Json): void {
  found.range(`${at}.stabilizationWindowSeconds`, rules['stabilizationWindowSeconds'], 0, maxWindow);
  if (!isAbsent(rules['selectPolicy']))
    found.oneOf(`${at}.selectPolicy`, rules['selectPolicy'], ['Max', 'Min', 'Disabled']);
  const tolerance = rules['tolerance'];
  if (!isAbsent(tolerance) && !isQuantity(tolerance)) found.invalid(`${at}.tolerance`, tolerance, quantityRule);
  else if (!isAbsent(tolerance) && compareQuantities(tolerance, '0') < 0)
    found.invalid(`${at}.tolerance`, tolerance, 'must be 0 or more');
  const policies = objectsAt(rules, 'policies');
  if (policies.length > maxPolicies) found.tooLong(`${at}.policies`, maxPolicies, policies.length, 'policies');
  policies.forEach((policy, index) => {
    const field = `${at}.policies[${index}]`;
    found.oneOf(`${field}.type`, policy['type'], ['Pods', 'Percent']);
    for (const [name, max] of [
      ['value', maxInt],
      ['periodSeconds', maxPeriod],
    ] as const) {
      if (isAbsent(policy[name])) found.required(`${field}.${name}`);
      found.range(`${field}.${name}`, policy[name], 1, max);
    }
  });
}

export function validateAutoscalerStatus(found: Findings, next: Json): void {
  const status = objectAt(next, 'status');
  for (const field of ['currentReplicas', 'desiredReplicas']) found.range(`status.${field}`, status[field], 0, maxInt);
  validateConditions(found, objectsAt(status, 'conditions'));
}
