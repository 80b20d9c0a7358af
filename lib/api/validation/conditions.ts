import { textAt, type Json } from '../json.ts';
import { qualifiedName } from '../names.ts';
import { Seen, type Findings } from './findings.ts';

/** `status.conditions` of any kind: one of each type, and True, False or Unknown. */
export function validateConditions(found: Findings, conditions: readonly Json[]): void {
  const types = new Seen();
  conditions.forEach((condition, index) => {
    const at = `status.conditions[${index}]`;
    const type = textAt(condition, 'type');
    found.checkRequired(`${at}.type`, type, qualifiedName);
    if (type !== '' && types.again(type)) found.duplicate(`${at}.type`, type);
    found.oneOf(`${at}.status`, condition['status'], ['True', 'False', 'Unknown']);
  });
}
