import { gangAnnotation, gangSizeAnnotation, gangSizeIn, mostInGang } from '../gangs.ts';
import { isObject } from '../json.ts';
import { dnsLabel } from '../names.ts';
import type { Findings } from './findings.ts';

/** Both annotations of a gang, or neither. */
export function validateGang(found: Findings, field: string, annotations: unknown): void {
  if (!isObject(annotations)) return;
  const [name, size] = [annotations[gangAnnotation], annotations[gangSizeAnnotation]];
  if (name === undefined && size === undefined) return;
  if (typeof name !== 'string') found.required(`${field}[${gangAnnotation}]`, `the gang whose size is ${String(size)}`);
  else found.check(`${field}[${gangAnnotation}]`, name, dnsLabel);
  if (typeof size !== 'string')
    found.required(`${field}[${gangSizeAnnotation}]`, 'how many pods of the gang must have their places at one time');
  else if (gangSizeIn(size) === undefined)
    found.invalid(`${field}[${gangSizeAnnotation}]`, size, `must be a whole number from 1 to ${mostInGang}`);
}
