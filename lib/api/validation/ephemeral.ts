import { isAbsent, isObject, listAt, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { validateContainer, type ContainerScope } from './container.ts';
import type { Findings } from './findings.ts';

/** What a container that somebody looks into a pod with cannot have: it serves nobody, reserves nothing and is never started again. */
const forbidden: Readonly<Record<string, string>> = {
  ports: 'nobody is sent to it',
  livenessProbe: 'it is not probed',
  readinessProbe: 'it is not probed',
  startupProbe: 'it is not probed',
  lifecycle: 'it has no hooks',
  resources: 'it runs within what its pod has already',
  resizePolicy: 'it has no resources',
  restartPolicy: 'it is never started again',
  restartPolicyRules: 'it is never started again',
};

/**
 * The ephemeral containers of a pod (Kubernetes API, `EphemeralContainer`): named apart from all others, each with a target, where it has one,
 * that is a container of the pod. `scope`: that of the pod's other containers, which have been looked at.
 */
export function validateEphemeral(found: Findings, field: string, spec: Json, scope: ContainerScope): void {
  const targets = [...objectsAt(spec, 'containers'), ...objectsAt(spec, 'initContainers')].map((each) =>
    textAt(each, 'name'),
  );
  objectsAt(spec, 'ephemeralContainers').forEach((container, index) => {
    const at = `${field}.ephemeralContainers[${index}]`;
    const allowed: Record<string, unknown> = { ...container };
    for (const [name, why] of Object.entries(forbidden)) {
      if (!isEmpty(container[name]))
        found.forbidden(`${at}.${name}`, `cannot be set for an Ephemeral Container: ${why}`);
      delete allowed[name];
    }
    validateContainer(found, at, allowed, scope);
    const target = textAt(container, 'targetContainerName');
    if (target !== '' && !targets.includes(target))
      found.notFound(
        `${at}.targetContainerName`,
        target,
        `must be a container or init container of the pod: ${targets.join(', ')}`,
      );
  });
}

const isEmpty = (value: unknown): boolean =>
  isAbsent(value) ||
  value === '' ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.values(value).every(isEmpty));

/** What is there stays as it is; more may come for as long as the pod runs or is going to. */
export function validateEphemeralAdditions(found: Findings, next: Json, previous: Json): void {
  const field = 'spec.ephemeralContainers';
  const [now, before] = [next, previous].map((pod) => objectsAt(objectAt(pod, 'spec'), 'ephemeralContainers'));
  for (const old of before ?? []) {
    const index = now?.findIndex((each) => each['name'] === old['name']) ?? -1;
    const name = JSON.stringify(old['name']);
    if (index === -1)
      found.forbidden(
        field,
        `existing ephemeral containers ${name} may not be removed: they stay as long as their pod`,
      );
    else if (!sameJson(now?.[index], old))
      found.forbidden(
        `${field}[${index}]`,
        `existing ephemeral containers ${name} may not be changed: add another under a new name`,
      );
  }
  const isMore = listAt(objectAt(next, 'spec'), 'ephemeralContainers').length > (before?.length ?? 0);
  const phase = textAt(objectAt(previous, 'status'), 'phase');
  if (isMore && (phase === 'Succeeded' || phase === 'Failed'))
    found.forbidden(field, `the pod is ${phase}: nothing is started in it any more; look at a copy of it instead`);
  else if (isMore && !isAbsent(objectAt(previous, 'metadata')['deletionTimestamp']))
    found.forbidden(field, 'the pod is being deleted: nothing is started in it any more');
}

/** Where a pod is only described, there is nothing to look into. */
export function refuseEphemeral(found: Findings, field: string, spec: unknown, why: string): void {
  if (isObject(spec) && objectsAt(spec, 'ephemeralContainers').length > 0)
    found.forbidden(`${field}.ephemeralContainers`, why);
}
