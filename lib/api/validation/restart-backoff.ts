import { isObject } from '../json.ts';
import { backoffInitialAnnotation, backoffMaxAnnotation, backoffMsOf, backoffRule } from '../restart-backoff.ts';
import type { Findings } from './findings.ts';

/** The waits between restarts that a pod, or a template of pods, chooses by annotation. */
export function validateRestartBackoff(found: Findings, field: string, annotations: unknown): void {
  if (!isObject(annotations)) return;
  const read = (name: string): number | undefined => {
    const text = annotations[name];
    if (typeof text !== 'string') return undefined;
    const ms = backoffMsOf(text);
    if (ms === undefined) found.invalid(`${field}[${name}]`, text, backoffRule);
    return ms;
  };
  const [initial, max] = [read(backoffInitialAnnotation), read(backoffMaxAnnotation)];
  if (initial !== undefined && max !== undefined && max < initial)
    found.invalid(
      `${field}[${backoffMaxAnnotation}]`,
      annotations[backoffMaxAnnotation],
      `must not be shorter than ${backoffInitialAnnotation}, which is ${String(annotations[backoffInitialAnnotation])}`,
    );
}
