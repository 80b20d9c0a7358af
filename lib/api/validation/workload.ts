import { isAbsent, isObject, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { validateConditions } from './conditions.ts';
import type { Findings } from './findings.ts';
import { validateLabels } from './metadata.ts';
import { validateTemplate } from './pod.ts';

export function validateReplicationController(found: Findings, rc: Json): void {
  const spec = rc['spec'];
  if (!isObject(spec)) return found.required('spec');
  if (isAbsent(spec['replicas'])) found.required('spec.replicas');
  found.range('spec.replicas', spec['replicas'], 0, 2 ** 31 - 1);
  found.range('spec.minReadySeconds', spec['minReadySeconds'], 0, 2 ** 31 - 1);
  validateTemplate(found, 'spec.template', spec['template']);
  validateSelector(found, spec);
  const podSpec = objectAt(objectAt(spec, 'template'), 'spec');
  const policy = textAt(podSpec, 'restartPolicy');
  if (policy !== '' && policy !== 'Always') found.notSupported('spec.template.spec.restartPolicy', policy, ['Always']);
  if (!isAbsent(podSpec['activeDeadlineSeconds']))
    found.forbidden(
      'spec.template.spec.activeDeadlineSeconds',
      'activeDeadlineSeconds in ReplicationController is not Supported',
    );
}

/** A controller whose template its own selector does not find would make pods for ever. */
function validateSelector(found: Findings, spec: Json): void {
  const selector = objectAt(spec, 'selector');
  const wanted = Object.entries(selector);
  if (wanted.length === 0) return found.required('spec.selector');
  validateLabels(found, 'spec.selector', selector);
  if (!isObject(spec['template'])) return;
  const labels = objectAt(objectAt(spec['template'], 'metadata'), 'labels');
  const missing = wanted
    .filter(([key, value]) => labels[key] !== value)
    .map(([key, value]) => `${key}=${String(value)}`);
  if (missing.length > 0)
    found.invalid(
      'spec.template.metadata.labels',
      labels,
      `\`selector\` does not match template \`labels\`: ${missing.join(', ')} is missing`,
    );
}

/** Every count is of pods that `replicas` counts too. */
export function validateReplicationControllerStatus(found: Findings, rc: Json): void {
  const status = objectAt(rc, 'status');
  for (const field of ['replicas', 'fullyLabeledReplicas', 'readyReplicas', 'availableReplicas', 'observedGeneration'])
    found.range(`status.${field}`, status[field], 0);
  const atMost = (field: string, bound: string): void => {
    const [count, max] = [status[field] ?? 0, status[bound] ?? 0];
    if (typeof count === 'number' && typeof max === 'number' && count > Math.max(max, 0))
      found.invalid(`status.${field}`, count, `cannot be greater than status.${bound} (${max})`);
  };
  atMost('fullyLabeledReplicas', 'replicas');
  atMost('readyReplicas', 'replicas');
  atMost('availableReplicas', 'replicas');
  atMost('availableReplicas', 'readyReplicas');
  validateConditions(found, objectsAt(status, 'conditions'));
}
