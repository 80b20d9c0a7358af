import { stringify } from 'yaml';
import type { Json } from '../lib/api/json.ts';

/** Objects as text: one as itself, several (or a list that happens to hold one) as a List. Ends with a newline. */
export function objectsText(objects: readonly Json[], form: 'yaml' | 'json', single: boolean): string {
  const value = single && objects[0] !== undefined ? objects[0] : { apiVersion: 'v1', kind: 'List', items: objects };
  if (form === 'json') return `${JSON.stringify(value, undefined, 4)}\n`;
  // Quotes what readers of YAML 1.1 would take for a boolean or a number, and never folds a line.
  return stringify(value, { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false });
}
