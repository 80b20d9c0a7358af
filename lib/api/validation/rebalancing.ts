import { isObject } from '../json.ts';
import { rebalanceAnnotation } from '../rebalancing.ts';
import type { Findings } from './findings.ts';

/** A word that could not be read would leave pods where their owner wants them moved, or the other way round. */
export function validateRebalancing(found: Findings, field: string, annotations: unknown): void {
  if (!isObject(annotations)) return;
  const said = annotations[rebalanceAnnotation];
  if (said !== undefined) found.oneOf(`${field}[${rebalanceAnnotation}]`, said, ['true', 'false']);
}
