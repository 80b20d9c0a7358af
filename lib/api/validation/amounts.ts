import { objectAt, type Json } from '../json.ts';
import { qualifiedName } from '../names.ts';
import { canonical, compareQuantities, isExtended, isQuantity, quantityRule, unitsOf } from '../quantity.ts';
import type { Findings } from './findings.ts';

const ownResources = /^(cpu|memory|ephemeral-storage|hugepages-.+)$/;

/** What a container asks for and may use: no request above its limit. */
export function validateResources(found: Findings, field: string, resources: Json): void {
  const [limits, requests] = [objectAt(resources, 'limits'), objectAt(resources, 'requests')];
  validateAmounts(found, `${field}.limits`, limits);
  validateAmounts(found, `${field}.requests`, requests);
  for (const [name, request] of Object.entries(requests)) {
    const limit = limits[name];
    if (limit === undefined && isWhole(name))
      found.required(`${field}.limits[${name}]`, 'what cannot be shared needs a limit equal to its request');
    if (!isQuantity(request) || !isQuantity(limit)) continue;
    const order = compareQuantities(request, limit);
    if (order > 0)
      found.invalid(
        `${field}.requests`,
        canonical(request),
        `must be less than or equal to ${name} limit of ${canonical(limit)}`,
      );
    else if (order < 0 && isWhole(name))
      found.invalid(`${field}.requests`, canonical(request), `must be equal to ${name} limit of ${canonical(limit)}`);
  }
}

/** What a container has to itself: no more can be promised than there is. */
const isWhole = (name: string): boolean => isExtended(name) || name.startsWith('hugepages-');

function validateAmounts(found: Findings, field: string, list: Json): void {
  for (const [name, amount] of Object.entries(list)) {
    const at = `${field}[${name}]`;
    const wrong = qualifiedName(name);
    if (wrong !== undefined) found.invalid(at, name, wrong);
    else if (!isExtended(name) && !ownResources.test(name))
      found.invalid(
        at,
        name,
        'must be a standard resource for containers: cpu, memory, ephemeral-storage or hugepages-<size>',
      );
    checkAmount(found, at, amount);
    checkPieces(found, at, name, amount);
  }
}

/** What is counted by the piece has no fractions. */
export function checkPieces(found: Findings, field: string, name: string, amount: unknown): void {
  if (isExtended(name) && isQuantity(amount) && compareQuantities(amount, unitsOf(amount)) !== 0)
    found.invalid(field, amount, 'must be a whole number');
}

/** A quantity that is not negative. */
export function checkAmount(found: Findings, field: string, amount: unknown): void {
  if (!isQuantity(amount)) found.invalid(field, amount, quantityRule);
  else if (compareQuantities(amount, 0) < 0) found.invalid(field, amount, 'must be greater than or equal to 0');
}
