import { isObject } from '../json.ts';
import { withdrawalTimeoutAnnotation, withdrawalTimeoutMsOf, withdrawalTimeoutRule } from '../withdrawal.ts';
import type { Findings } from './findings.ts';

/** How long a pod wants to be taken out of traffic for, at most. */
export function validateWithdrawal(found: Findings, field: string, annotations: unknown): void {
  if (!isObject(annotations)) return;
  const text = annotations[withdrawalTimeoutAnnotation];
  if (typeof text === 'string' && withdrawalTimeoutMsOf(text) === undefined)
    found.invalid(`${field}[${withdrawalTimeoutAnnotation}]`, text, withdrawalTimeoutRule);
}
