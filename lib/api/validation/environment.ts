import { isAbsent, isObject, objectAt, textAt, type Json } from '../json.ts';
import { dataKey, dnsSubdomain, envName, qualifiedName } from '../names.ts';
import { compareQuantities, isExtended, isQuantity } from '../quantity.ts';
import type { Findings } from './findings.ts';

/** Variables with a value of their own or one taken from elsewhere. */
export function validateEnv(found: Findings, field: string, env: readonly Json[]): void {
  env.forEach((variable, index) => {
    const at = `${field}[${index}]`;
    found.checkRequired(`${at}.name`, textAt(variable, 'name'), envName);
    const source = variable['valueFrom'];
    if (!isObject(source)) return;
    if (textAt(variable, 'value') !== '')
      found.invalid(`${at}.valueFrom`, '', 'may not be specified when `value` is not empty');
    validateValueSource(found, `${at}.valueFrom`, source);
  });
}

function validateValueSource(found: Findings, field: string, source: Json): void {
  const given = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef'].filter((each) =>
    isObject(source[each]),
  );
  if (given.length === 0)
    found.invalid(
      field,
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
    );
  if (given.length > 1) found.invalid(field, given, 'may not have more than one field specified at a time');
  if (isObject(source['fieldRef'])) validateFieldRef(found, `${field}.fieldRef`, source['fieldRef'], envFields);
  if (isObject(source['resourceFieldRef']))
    validateResourceFieldRef(found, `${field}.resourceFieldRef`, source['resourceFieldRef']);
  for (const ref of ['configMapKeyRef', 'secretKeyRef']) {
    const selector = source[ref];
    if (!isObject(selector)) continue;
    if (textAt(selector, 'name') === '') found.required(`${field}.${ref}.name`);
    found.checkRequired(`${field}.${ref}.key`, textAt(selector, 'key'), dataKey);
  }
}

/** The fields of a pod that its containers can be told. */
const metadataFields = ['metadata.name', 'metadata.namespace', 'metadata.uid'];
const envFields = [
  ...metadataFields,
  'spec.nodeName',
  'spec.serviceAccountName',
  'status.hostIP',
  'status.hostIPs',
  'status.podIP',
  'status.podIPs',
];
export const fileFields = [...metadataFields, 'metadata.labels', 'metadata.annotations'];

export function validateFieldRef(found: Findings, field: string, ref: Json, supported: readonly string[]): void {
  const path = textAt(ref, 'fieldPath');
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/s.exec(path);
  if (path === '') found.required(`${field}.fieldPath`);
  else if (subscript !== null)
    found.check(`${field}.fieldPath`, path, () => qualifiedName((subscript[2] ?? '').toLowerCase()));
  else if (!supported.includes(path))
    found.notSupported(`${field}.fieldPath`, path, [
      ...supported,
      `metadata.labels['<KEY>']`,
      `metadata.annotations['<KEY>']`,
    ]);
  const version = textAt(ref, 'apiVersion');
  if (version !== '' && version !== 'v1') found.notSupported(`${field}.apiVersion`, version, ['v1']);
}

const resourceFields = ['limits', 'requests'].flatMap((list) =>
  ['cpu', 'memory', 'ephemeral-storage'].map((name) => `${list}.${name}`),
);

export function validateResourceFieldRef(found: Findings, field: string, ref: Json): void {
  const resource = textAt(ref, 'resource');
  if (resource === '') found.required(`${field}.resource`);
  else if (!isExtended(resource.replace(/^(limits|requests)\./, '')) || !/^(limits|requests)\./.test(resource))
    found.oneOf(`${field}.resource`, resource, resourceFields);
  const divisor = ref['divisor'];
  if (!isAbsent(divisor) && (!isQuantity(divisor) || compareQuantities(divisor, 0) <= 0))
    found.invalid(`${field}.divisor`, divisor, 'must be a quantity greater than 0');
}

/** Whole ConfigMaps and Secrets as variables. */
export function validateEnvFrom(found: Findings, field: string, sources: readonly Json[]): void {
  sources.forEach((source, index) => {
    const at = `${field}[${index}]`;
    const prefix = textAt(source, 'prefix');
    if (prefix !== '') found.check(`${at}.prefix`, prefix, envName);
    const given = ['configMapRef', 'secretRef'].filter((each) => isObject(source[each]));
    if (given.length === 0) found.invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`');
    if (given.length > 1) found.invalid(at, given, 'may not have more than one field specified at a time');
    for (const ref of given)
      found.checkRequired(`${at}.${ref}.name`, textAt(objectAt(source, ref), 'name'), dnsSubdomain);
  });
}
