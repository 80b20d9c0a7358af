import { isAbsent, isObject, listAt, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { isMoment, maintenanceAnnotation } from '../maintenance.ts';
import { labelValue, qualifiedName } from '../names.ts';
import { parseCidr } from '../net.ts';
import { checkAmount, checkPieces } from './amounts.ts';
import { validateConditions } from './conditions.ts';
import { Seen, type Findings } from './findings.ts';
import { finalizerRule, immutable } from './metadata.ts';
import { taintEffects } from './pod-spec.ts';

// ---- Node --------------------------------------------------------------------------------------

export function validateNode(found: Findings, node: Json): void {
  validateMaintenance(found, node);
  const spec = objectAt(node, 'spec');
  const taints = new Seen();
  objectsAt(spec, 'taints').forEach((taint, index) => {
    const at = `spec.taints[${index}]`;
    const [key, effect] = [textAt(taint, 'key'), textAt(taint, 'effect')];
    found.checkRequired(`${at}.key`, key, qualifiedName);
    found.check(`${at}.value`, textAt(taint, 'value'), labelValue);
    if (effect === '') found.required(`${at}.effect`);
    else found.oneOf(`${at}.effect`, effect, taintEffects);
    if (taints.again(`${key}:${effect}`)) found.duplicate(at, { key, effect });
  });
  const cidrs = listAt(spec, 'podCIDRs');
  cidrs.forEach((cidr, index) => {
    if (typeof cidr !== 'string' || parseCidr(cidr) === undefined)
      found.invalid(`spec.podCIDRs[${index}]`, cidr, 'must be an IPv4 block, such as 10.244.3.0/24');
  });
  if (cidrs.length > 1)
    found.invalid('spec.podCIDRs', cidrs, 'may only hold one block: clusters have one address family');
  const first = textAt(spec, 'podCIDR');
  if (cidrs.length > 0 && first !== '' && cidrs[0] !== first)
    found.invalid('spec.podCIDRs', cidrs, 'first value must match `podCIDR`');
  validateNodeStatus(found, node);
}

function validateMaintenance(found: Findings, node: Json): void {
  const text = textAt(objectAt(objectAt(node, 'metadata'), 'annotations'), maintenanceAnnotation);
  if (text !== '' && !isMoment(text))
    found.invalid(
      `metadata.annotations[${maintenanceAnnotation}]`,
      text,
      'must be a moment by RFC 3339, such as 2026-01-31T22:00:00Z',
    );
}

export function validateNodeUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  for (const field of ['podCIDR', 'providerID'])
    if (textAt(before, field) !== '') immutable(found, `spec.${field}`, spec[field], before[field]);
}

const addressTypes = ['Hostname', 'InternalIP', 'ExternalIP', 'InternalDNS', 'ExternalDNS'];

export function validateNodeStatus(found: Findings, node: Json): void {
  const status = objectAt(node, 'status');
  for (const list of ['capacity', 'allocatable'])
    for (const [name, amount] of Object.entries(objectAt(status, list))) {
      const wrong = qualifiedName(name);
      if (wrong !== undefined) found.invalid(`status.${list}[${name}]`, name, wrong);
      checkAmount(found, `status.${list}[${name}]`, amount);
      checkPieces(found, `status.${list}[${name}]`, name, amount);
    }
  validateConditions(found, objectsAt(status, 'conditions'));
  const addresses = new Seen();
  objectsAt(status, 'addresses').forEach((address, index) => {
    const at = `status.addresses[${index}]`;
    found.oneOf(`${at}.type`, address['type'], addressTypes);
    if (textAt(address, 'address') === '') found.required(`${at}.address`);
    if (addresses.again(`${textAt(address, 'type')} ${textAt(address, 'address')}`))
      found.duplicate(at, { type: address['type'], address: address['address'] });
  });
}

// ---- Namespace ---------------------------------------------------------------------------------

export function validateNamespace(found: Findings, namespace: Json): void {
  listAt(objectAt(namespace, 'spec'), 'finalizers').forEach((finalizer, index) => {
    if (typeof finalizer === 'string') found.check(`spec.finalizers[${index}]`, finalizer, finalizerRule);
  });
}

/** Terminating only while it is being deleted, and never back. */
export function validateNamespaceStatus(found: Findings, next: Json, previous: Json): void {
  const phase = objectAt(next, 'status')['phase'];
  found.oneOf('status.phase', phase, ['Active', 'Terminating']);
  const deleting = !isAbsent(objectAt(previous, 'metadata')['deletionTimestamp']);
  if (deleting && phase === 'Active')
    found.invalid('status.phase', phase, "may only be 'Terminating' once deletionTimestamp is set");
  if (!deleting && phase === 'Terminating')
    found.invalid('status.phase', phase, "may only be 'Active' while deletionTimestamp is not set");
}

// ---- Event and Lease ---------------------------------------------------------------------------

export const maxReasonLength = 128;
export const maxMessageLength = 1024;

export function validateEvent(found: Findings, event: Json): void {
  const about = event['involvedObject'];
  if (!isObject(about)) return found.required('involvedObject');
  const namespace = textAt(objectAt(event, 'metadata'), 'namespace');
  const expected = textAt(about, 'namespace') || 'default';
  if (namespace !== expected)
    found.invalid(
      'involvedObject.namespace',
      about['namespace'] ?? '',
      `does not match event.namespace ${JSON.stringify(namespace)}; events about objects of the whole cluster are in "default"`,
    );
  tooLong(found, 'reason', textAt(event, 'reason'), maxReasonLength);
  tooLong(found, 'message', textAt(event, 'message'), maxMessageLength);
  const type = textAt(event, 'type');
  if (type !== '') found.oneOf('type', type, ['Normal', 'Warning']);
  found.range('count', event['count'], 0);
}

const tooLong = (found: Findings, field: string, value: string, max: number): void => {
  if (value.length > max) found.tooLong(field, max, value.length, 'characters');
};

export function validateLease(found: Findings, lease: Json): void {
  const spec = objectAt(lease, 'spec');
  found.range('spec.leaseDurationSeconds', spec['leaseDurationSeconds'], 1);
  found.range('spec.leaseTransitions', spec['leaseTransitions'], 0);
}
