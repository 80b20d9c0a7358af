import { isObject } from '../json.ts';
import { dns1035Label } from '../names.ts';
import { linkNames, serviceLinksAnnotation } from '../service-links.ts';
import type { Findings } from './findings.ts';

/** The Services that a pod, or a template of pods, wants to be told of. They need not be there yet. */
export function validateServiceLinks(found: Findings, field: string, annotations: unknown): void {
  const text = isObject(annotations) ? annotations[serviceLinksAnnotation] : undefined;
  if (typeof text !== 'string') return;
  for (const name of linkNames(text)) {
    const wrong = dns1035Label(name);
    if (wrong === undefined) continue;
    found.invalid(`${field}[${serviceLinksAnnotation}]`, text, `"${name}" is no name of a Service: ${wrong}`);
  }
}
