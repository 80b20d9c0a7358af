import { stringify } from 'yaml';
import { isObject, type Json } from '../lib/api/json.ts';

/** Objects as text: one as itself, several (or a list that happens to hold one) as a List. Ends with a newline. */
export function objectsText(objects: readonly Json[], form: 'yaml' | 'json', single: boolean): string {
  const shown = objects.map(nameFirst);
  const value = single && shown[0] !== undefined ? shown[0] : { apiVersion: 'v1', kind: 'List', items: shown };
  if (form === 'json') return `${JSON.stringify(value, undefined, 4)}\n`;
  // Quotes what readers of YAML 1.1 would take for a boolean or a number, and never folds a line.
  return stringify(value, { lineWidth: 0, compat: 'yaml-1.1', aliasDuplicateObjects: false });
}

/** The name is what one looks for in a long list of objects: it stands before what the server wrote. */
function nameFirst(object: Json): Json {
  const { metadata } = object;
  if (!isObject(metadata)) return object;
  const { name, namespace, ...rest } = metadata;
  return { ...object, metadata: { name, ...(namespace === undefined ? {} : { namespace }), ...rest } };
}
