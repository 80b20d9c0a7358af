import { asObject, isAbsent, objectAt, textEntries, type Json } from '../json.ts';
import { onConfigChange, onConfigChangeAnnotation, reloadSignalAnnotation, reloadSignals } from '../config-change.ts';
import type { Findings } from './findings.ts';

/** The annotations of a pod, a template, a ConfigMap or a Secret about changes of configuration. */
export function validateConfigChange(found: Findings, field: string, annotations: unknown): void {
  const given = new Map(textEntries(annotations));
  const wish = given.get(onConfigChangeAnnotation);
  if (wish !== undefined) found.oneOf(`${field}[${onConfigChangeAnnotation}]`, wish, onConfigChange);
  const signal = given.get(reloadSignalAnnotation);
  if (signal !== undefined) found.oneOf(`${field}[${reloadSignalAnnotation}]`, signal, reloadSignals);
}

/** What asks for it in the wrong place would wait for ever. */
export function refuseConfigChange(found: Findings, object: Json, why: string): void {
  const wish = objectAt(objectAt(object, 'metadata'), 'annotations')[onConfigChangeAnnotation];
  if (!isAbsent(wish)) found.forbidden(`metadata.annotations[${onConfigChangeAnnotation}]`, why);
}

/** Only Deployments and DaemonSets have rollouts of their own, and a history of templates that the data are kept for. */
export function refuseRoll(
  found: Findings,
  field: string,
  template: unknown,
  kind: 'ReplicationController' | 'Job',
): void {
  const annotations = objectAt(objectAt(asObject(template), 'metadata'), 'annotations');
  if (annotations[onConfigChangeAnnotation] === 'roll') {
    const instead =
      kind === 'Job'
        ? ''
        : ': make it a Deployment, or put other data under another name and use `troupe rolling-update`';
    found.forbidden(
      `${field}.metadata.annotations[${onConfigChangeAnnotation}]`,
      `\`roll\` is for the templates of Deployments and DaemonSets; a ${kind} may have \`signal\` or \`none\`${instead}`,
    );
  }
}
