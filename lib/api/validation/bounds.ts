import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { qualifiedName } from '../names.ts';
import { compareQuantities, isQuantity } from '../quantity.ts';
import { canBeScoped, isCounted, quotaScopes } from '../bounds/quota-names.ts';
import { checkAmount } from './amounts.ts';
import type { Findings } from './findings.ts';
import { immutable } from './metadata.ts';

// ---- ResourceQuota -------------------------------------------------------------------------------

export function validateResourceQuota(found: Findings, quota: Json): void {
  const spec = objectAt(quota, 'spec');
  const scoped = scopesIn(found, spec);
  for (const [name, amount] of Object.entries(objectAt(spec, 'hard'))) {
    const at = `spec.hard[${name}]`;
    if (!isCounted(name)) found.invalid(at, name, countedRule);
    else if (scoped && !canBeScoped(name)) found.invalid(at, name, 'is no matter of pods, and scopes are about pods');
    checkAmount(found, at, amount);
  }
}

const countedRule =
  'must be something that a quota counts, such as requests.cpu, limits.memory, pods, services.nodeports, requests.storage or count/<resource>.<group>';

/** Whether the quota is for some pods only. */
function scopesIn(found: Findings, spec: Json): boolean {
  const scopes = listAt(spec, 'scopes');
  scopes.forEach((scope, index) => {
    found.oneOf(`spec.scopes[${index}]`, scope, quotaScopes);
  });
  const opposite = [
    ['BestEffort', 'NotBestEffort'],
    ['Terminating', 'NotTerminating'],
  ].find((pair) => pair.every((scope) => scopes.includes(scope)));
  if (opposite !== undefined) found.invalid('spec.scopes', scopes, `conflicting scopes: ${opposite.join(' and ')}`);
  const terms = objectsAt(objectAt(spec, 'scopeSelector'), 'matchExpressions');
  terms.forEach((term, index) => {
    const at = `spec.scopeSelector.matchExpressions[${index}]`;
    const [scope, operator] = [textAt(term, 'scopeName'), textAt(term, 'operator')];
    found.oneOf(`${at}.scopeName`, term['scopeName'], quotaScopes);
    found.oneOf(`${at}.operator`, term['operator'], ['In', 'NotIn', 'Exists', 'DoesNotExist']);
    const takesValues = operator === 'In' || operator === 'NotIn';
    const values = listAt(term, 'values').length;
    if (takesValues && values === 0) found.required(`${at}.values`, 'must name a value for `In` and `NotIn`');
    if (!takesValues && values > 0) found.forbidden(`${at}.values`, 'only `In` and `NotIn` take values');
    if (scope !== 'PriorityClass' && scope !== '' && operator !== 'Exists')
      found.invalid(`${at}.operator`, operator, 'must be `Exists` for every scope but PriorityClass');
  });
  return scopes.length > 0 || terms.length > 0;
}

/** For which pods a quota is does not change: what it has counted would be of others. */
export function validateResourceQuotaUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  immutable(found, 'spec.scopes', spec['scopes'], before['scopes']);
  immutable(found, 'spec.scopeSelector', spec['scopeSelector'], before['scopeSelector']);
}

export function validateResourceQuotaStatus(found: Findings, quota: Json): void {
  for (const field of ['hard', 'used'])
    for (const [name, amount] of Object.entries(objectAt(objectAt(quota, 'status'), field)))
      checkAmount(found, `status.${field}[${name}]`, amount);
}

// ---- LimitRange ----------------------------------------------------------------------------------

const lists = ['min', 'defaultRequest', 'default', 'max'] as const;

export function validateLimitRange(found: Findings, range: Json): void {
  const seen = new Set<string>();
  objectsAt(objectAt(range, 'spec'), 'limits').forEach((item, index) => {
    const at = `spec.limits[${index}]`;
    const type = textAt(item, 'type');
    found.oneOf(`${at}.type`, item['type'], ['Container', 'Pod', 'PersistentVolumeClaim']);
    if (seen.has(type)) found.duplicate(`${at}.type`, type);
    seen.add(type);
    for (const list of [...lists, 'maxLimitRequestRatio'])
      for (const [name, amount] of Object.entries(objectAt(item, list))) {
        const wrong = qualifiedName(name);
        if (wrong !== undefined) found.invalid(`${at}.${list}[${name}]`, name, wrong);
        checkAmount(found, `${at}.${list}[${name}]`, amount);
      }
    if (type !== 'Container')
      for (const list of ['default', 'defaultRequest'])
        if (isObject(item[list]) && Object.keys(item[list]).length > 0)
          found.forbidden(`${at}.${list}`, `may not be specified when \`type\` is '${type}'`);
    if (type === 'PersistentVolumeClaim' && ['min', 'max'].every((list) => isAbsent(objectAt(item, list)['storage'])))
      found.required(at, 'either minimum or maximum storage value is required, but neither was provided');
    checkOrder(found, at, item);
    checkRatio(found, at, item);
  });
}

/** What is smaller by its name may not be larger. */
function checkOrder(found: Findings, at: string, item: Json): void {
  lists.forEach((lower, index) => {
    for (const upper of lists.slice(index + 1))
      for (const [name, amount] of Object.entries(objectAt(item, lower))) {
        const bound = objectAt(item, upper)[name];
        if (isQuantity(amount) && isQuantity(bound) && compareQuantities(amount, bound) > 0)
          found.invalid(
            `${at}.${lower}[${name}]`,
            amount,
            `${lower} value ${String(amount)} is greater than ${upper} value ${String(bound)}`,
          );
      }
  });
}

function checkRatio(found: Findings, at: string, item: Json): void {
  for (const [name, ratio] of Object.entries(objectAt(item, 'maxLimitRequestRatio'))) {
    if (!isQuantity(ratio)) continue;
    if (compareQuantities(ratio, 1) < 0)
      found.invalid(`${at}.maxLimitRequestRatio[${name}]`, ratio, 'ratio must be 1 or more');
  }
}

// ---- PriorityClass -------------------------------------------------------------------------------

/** The highest value that users may give; what lies above is for the system's own classes. */
export const maxUserPriority = 1_000_000_000;
/** The classes that are always there, by their values. */
export const systemPriorities: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

export function validatePriorityClass(found: Findings, priority: Json): void {
  const name = textAt(objectAt(priority, 'metadata'), 'name');
  const fixed = Object.hasOwn(systemPriorities, name) ? systemPriorities[name] : undefined;
  const value = priority['value'] ?? 0;
  if (fixed !== undefined) {
    if (value !== fixed) found.forbidden('value', `the value of ${name} is ${fixed}`);
  } else {
    if (name.startsWith('system-'))
      found.forbidden('metadata.name', "priority class names with 'system-' prefix are reserved for system use only");
    if (typeof value === 'number' && value > maxUserPriority)
      found.forbidden('value', `maximum allowed value of a user defined priority is ${maxUserPriority}`);
  }
  found.oneOf('preemptionPolicy', priority['preemptionPolicy'], ['PreemptLowerPriority', 'Never']);
}

export function validatePriorityClassUpdate(found: Findings, next: Json, previous: Json): void {
  if ((next['value'] ?? 0) !== (previous['value'] ?? 0))
    found.forbidden('value', 'may not be changed in an update: pods have it already');
  immutable(found, 'preemptionPolicy', next['preemptionPolicy'], previous['preemptionPolicy']);
}
