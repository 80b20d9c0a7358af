import { accountGrantAnnotation, accountGrants } from '../account-grants.ts';
import { isAbsent, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { dataKey } from '../names.ts';
import { validateConfigChange } from './config-change.ts';
import type { Findings } from './findings.ts';
import { immutable } from './metadata.ts';

/** All values of one object together. */
export const maxDataBytes = 1024 * 1024;

export function validateConfigMap(found: Findings, configMap: Json): void {
  validateConfigChange(found, 'metadata.annotations', objectAt(configMap, 'metadata')['annotations']);
  const [data, binary] = [objectAt(configMap, 'data'), objectAt(configMap, 'binaryData')];
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    found.check(`data[${key}]`, key, dataKey);
    if (key in binary && Object.hasOwn(binary, key))
      found.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
    if (typeof value === 'string') bytes += Buffer.byteLength(value);
  }
  bytes += validateEncoded(found, 'binaryData', binary);
  if (bytes > maxDataBytes) found.tooLong('', maxDataBytes, bytes);
}

/** What each well-known type must hold. */
const keysOfType: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

export function validateSecret(found: Findings, secret: Json): void {
  validateConfigChange(found, 'metadata.annotations', objectAt(secret, 'metadata')['annotations']);
  const data = objectAt(secret, 'data');
  const bytes = validateEncoded(found, 'data', data);
  if (bytes > maxDataBytes) found.tooLong('data', maxDataBytes, bytes);
  const type = textAt(secret, 'type');
  for (const key of keysOfType[type] ?? [])
    if (isAbsent(data[key])) found.required(`data[${key}]`, `a secret of type ${type} has this key`);
  const basic = ['username', 'password'];
  if (type === 'kubernetes.io/basic-auth' && basic.every((key) => isAbsent(data[key])))
    found.required('data[username]', `a secret of type ${type} has username, password or both`);
}

/** Checks keys and base64; answers the size of what the values decode to. */
function validateEncoded(found: Findings, field: string, data: Json): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(data)) {
    found.check(`${field}[${key}]`, key, dataKey);
    if (typeof value !== 'string') continue;
    if (!isBase64(value)) found.invalid(`${field}[${key}]`, '<value>', 'must be base64 (RFC 4648, with padding)');
    bytes += Buffer.byteLength(value, 'base64');
  }
  return bytes;
}
const isBase64 = (value: string): boolean => value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);

/** Both kinds: once immutable, for ever so. */
export function validateDataUpdate(found: Findings, next: Json, previous: Json): void {
  if (!isAbsent(previous['type'])) immutable(found, 'type', next['type'], previous['type']);
  if (previous['immutable'] !== true) return;
  if (next['immutable'] !== true) found.forbidden('immutable', 'field is immutable when `immutable` is set');
  for (const field of ['data', 'binaryData'])
    if (!same(next[field], previous[field])) found.forbidden(field, 'field is immutable when `immutable` is set');
}
const same = (a: unknown, b: unknown): boolean => {
  const [left, right] = [objectAt({ a }, 'a'), objectAt({ b }, 'b')];
  const keys = Object.keys(left);
  return keys.length === Object.keys(right).length && keys.every((key) => left[key] === right[key]);
};

export function validateServiceAccount(found: Findings, account: Json): void {
  const grant = objectAt(objectAt(account, 'metadata'), 'annotations')[accountGrantAnnotation];
  if (!isAbsent(grant)) found.oneOf(`metadata.annotations[${accountGrantAnnotation}]`, grant, accountGrants);
  objectsAt(account, 'imagePullSecrets').forEach((secret, index) => {
    if (textAt(secret, 'name') === '') found.required(`imagePullSecrets[${index}].name`);
  });
}
