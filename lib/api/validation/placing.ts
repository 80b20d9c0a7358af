import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dnsLabel, dnsSubdomain, qualifiedName } from '../names.ts';
import { Seen, type Findings } from './findings.ts';
import { validateLabelSelector } from './metadata.ts';

/** Rules about where a pod may be: affinity to nodes and to pods, and how evenly pods are spread. */

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';

export function validateAffinity(found: Findings, field: string, affinity: unknown): void {
  if (!isObject(affinity)) return;
  const nodes = objectAt(affinity, 'nodeAffinity');
  const at = `${field}.nodeAffinity`;
  if (isObject(nodes[required])) validateNodeSelector(found, `${at}.${required}`, nodes[required]);
  objectsAt(nodes, preferred).forEach((each, index) => {
    validateWeight(found, `${at}.${preferred}[${index}]`, each);
    validateTerm(found, `${at}.${preferred}[${index}].preference`, objectAt(each, 'preference'));
  });
  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    const pods = objectAt(affinity, kind);
    objectsAt(pods, required).forEach((term, index) => {
      validatePodTerm(found, `${field}.${kind}.${required}[${index}]`, term);
    });
    objectsAt(pods, preferred).forEach((each, index) => {
      const place = `${field}.${kind}.${preferred}[${index}]`;
      validateWeight(found, place, each);
      validatePodTerm(found, `${place}.podAffinityTerm`, objectAt(each, 'podAffinityTerm'));
    });
  }
}

function validateWeight(found: Findings, field: string, each: Json): void {
  if (isAbsent(each['weight'])) found.required(`${field}.weight`, 'must be in the range 1-100');
  else found.range(`${field}.weight`, each['weight'], 1, 100);
}

// ---- Nodes --------------------------------------------------------------------------------------

export function validateNodeSelector(found: Findings, field: string, selector: Json): void {
  const terms = objectsAt(selector, 'nodeSelectorTerms');
  const at = `${field}.nodeSelectorTerms`;
  if (terms.length === 0) found.required(at, 'must have at least one node selector term');
  terms.forEach((term, index) => {
    validateTerm(found, `${at}[${index}]`, term);
  });
}

const nodeOperators = ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'];

function validateTerm(found: Findings, field: string, term: Json): void {
  objectsAt(term, 'matchExpressions').forEach((requirement, index) => {
    const at = `${field}.matchExpressions[${index}]`;
    found.checkRequired(`${at}.key`, textAt(requirement, 'key'), qualifiedName);
    const operator = requirement['operator'];
    found.oneOf(`${at}.operator`, operator, nodeOperators);
    const values = listAt(requirement, 'values');
    if ((operator === 'In' || operator === 'NotIn') && values.length === 0)
      found.required(`${at}.values`, `must be specified when \`operator\` is 'In' or 'NotIn'`);
    if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0)
      found.forbidden(`${at}.values`, `may not be specified when \`operator\` is 'Exists' or 'DoesNotExist'`);
    if ((operator === 'Gt' || operator === 'Lt') && !(values.length === 1 && /^-?\d+$/.test(String(values[0]))))
      found.invalid(`${at}.values`, values, 'must be one whole number');
  });
  objectsAt(term, 'matchFields').forEach((requirement, index) => {
    const at = `${field}.matchFields[${index}]`;
    const key = textAt(requirement, 'key');
    if (key === '') found.required(`${at}.key`);
    else if (key !== 'metadata.name') found.notSupported(`${at}.key`, key, ['metadata.name']);
    found.oneOf(`${at}.operator`, requirement['operator'], ['In', 'NotIn']);
    const values = listAt(requirement, 'values');
    if (values.length !== 1) found.invalid(`${at}.values`, values, 'must be one name of a node');
    else if (typeof values[0] === 'string') found.check(`${at}.values[0]`, values[0], dnsSubdomain);
  });
}

// ---- Pods ---------------------------------------------------------------------------------------

function validatePodTerm(found: Findings, field: string, term: Json): void {
  validateTopologyKey(found, field, term);
  validateLabelSelector(found, `${field}.labelSelector`, term['labelSelector']);
  validateLabelSelector(found, `${field}.namespaceSelector`, term['namespaceSelector']);
  listAt(term, 'namespaces').forEach((name, index) => {
    if (typeof name === 'string') found.check(`${field}.namespaces[${index}]`, name, dnsLabel);
  });
  validateLabelKeys(found, field, term, 'matchLabelKeys');
  validateLabelKeys(found, field, term, 'mismatchLabelKeys');
  const both = new Set(listAt(term, 'matchLabelKeys'));
  listAt(term, 'mismatchLabelKeys').forEach((key, index) => {
    if (both.has(key)) found.invalid(`${field}.mismatchLabelKeys[${index}]`, key, 'exists in matchLabelKeys too');
  });
}

function validateTopologyKey(found: Findings, field: string, term: Json): void {
  const key = textAt(term, 'topologyKey');
  if (key === '') found.required(`${field}.topologyKey`, 'can not be empty');
  else found.check(`${field}.topologyKey`, key, qualifiedName);
}

/** Keys whose values are taken from the pod itself, so that they say nothing without a selector, nor beside the same key in it. */
function validateLabelKeys(found: Findings, field: string, term: Json, list: string): void {
  const keys = listAt(term, list);
  const selector = term['labelSelector'];
  if (keys.length > 0 && !isObject(selector))
    return found.forbidden(`${field}.${list}`, 'must not be specified when `labelSelector` is not set');
  const selected = isObject(selector)
    ? [
        ...Object.keys(objectAt(selector, 'matchLabels')),
        ...objectsAt(selector, 'matchExpressions').map((each) => textAt(each, 'key')),
      ]
    : [];
  keys.forEach((key, index) => {
    if (typeof key !== 'string') return;
    found.check(`${field}.${list}[${index}]`, key, qualifiedName);
    if (selected.includes(key)) found.invalid(`${field}.${list}[${index}]`, key, 'exists in labelSelector too');
  });
}

// ---- Spreading ----------------------------------------------------------------------------------

const policies = ['Honor', 'Ignore'];

export function validateSpreading(found: Findings, field: string, constraints: readonly Json[]): void {
  const seen = new Seen();
  constraints.forEach((constraint, index) => {
    const at = `${field}[${index}]`;
    if (isAbsent(constraint['maxSkew'])) found.required(`${at}.maxSkew`, 'must be greater than zero');
    else found.range(`${at}.maxSkew`, constraint['maxSkew'], 1);
    validateTopologyKey(found, at, constraint);
    const when = constraint['whenUnsatisfiable'];
    found.oneOf(`${at}.whenUnsatisfiable`, when, ['DoNotSchedule', 'ScheduleAnyway']);
    found.range(`${at}.minDomains`, constraint['minDomains'], 1);
    if (!isAbsent(constraint['minDomains']) && when !== 'DoNotSchedule')
      found.invalid(
        `${at}.minDomains`,
        constraint['minDomains'],
        'can only use minDomains if whenUnsatisfiable=DoNotSchedule',
      );
    for (const policy of ['nodeAffinityPolicy', 'nodeTaintsPolicy'])
      if (!isAbsent(constraint[policy])) found.oneOf(`${at}.${policy}`, constraint[policy], policies);
    validateLabelSelector(found, `${at}.labelSelector`, constraint['labelSelector']);
    validateLabelKeys(found, at, constraint, 'matchLabelKeys');
    const pair = `{${textAt(constraint, 'topologyKey')}, ${textAt(constraint, 'whenUnsatisfiable')}}`;
    if (seen.again(pair)) found.duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, pair);
  });
}
