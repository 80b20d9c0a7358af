import { controllerUidLabel, maxIndexes } from '../jobs.ts';
import { isAbsent, isObject, listAt, objectAt, objectsAt, sameJson, textAt, type Json } from '../json.ts';
import { matches, selectorOfLabelSelector } from '../labels.ts';
import { dnsLabel, qualifiedName } from '../names.ts';
import type { Labels } from '../objects.ts';
import { validateConditions } from './conditions.ts';
import type { Findings } from './findings.ts';
import { immutable, validateLabelSelector } from './metadata.ts';
import { refuseRoll } from './config-change.ts';
import { validateTemplate } from './pod.ts';

const maxInt = 2 ** 31 - 1;

export function validateJob(found: Findings, job: Json): void {
  const spec = job['spec'];
  if (!isObject(spec)) return found.required('spec');
  validateJobSpec(found, 'spec', spec);
  validateSelector(found, job, spec);
  validateIndexedName(found, textAt(objectAt(job, 'metadata'), 'name'), spec);
}

/** What holds for the Jobs of a CronJob too, whose selectors are made later. */
export function validateJobSpec(found: Findings, at: string, spec: Json): void {
  for (const field of ['parallelism', 'completions', 'backoffLimit', 'ttlSecondsAfterFinished'])
    found.range(`${at}.${field}`, spec[field], 0, maxInt);
  found.range(`${at}.activeDeadlineSeconds`, spec['activeDeadlineSeconds'], 1);
  found.oneOf(`${at}.completionMode`, spec['completionMode'], ['NonIndexed', 'Indexed']);
  found.oneOf(`${at}.podReplacementPolicy`, spec['podReplacementPolicy'], ['Failed', 'TerminatingOrFailed']);
  validateIndexes(found, at, spec);
  validateTemplate(found, `${at}.template`, spec['template']);
  refuseRoll(found, `${at}.template`, spec['template'], 'Job');
  const policy = textAt(objectAt(objectAt(spec, 'template'), 'spec'), 'restartPolicy');
  if (policy === '' || policy === 'Always')
    found.required(`${at}.template.spec.restartPolicy`, 'a Job ends: say "OnFailure" or "Never"');
  if (policy === 'OnFailure' && !isAbsent(spec['backoffLimitPerIndex']))
    found.invalid(
      `${at}.template.spec.restartPolicy`,
      policy,
      'must be "Never" when backoffLimitPerIndex is specified: a container that is started again has not failed its index',
    );
  if (isObject(spec['podFailurePolicy'])) validateFailurePolicy(found, at, spec);
  const manager = textAt(spec, 'managedBy');
  if (manager !== '' && !manager.includes('/'))
    found.invalid(`${at}.managedBy`, manager, `must be a domain and a name, such as 'example.com/${manager}'`);
  else if (manager !== '') found.check(`${at}.managedBy`, manager, qualifiedName);
}

function validateIndexes(found: Findings, at: string, spec: Json): void {
  if (spec['completionMode'] !== 'Indexed') {
    for (const field of ['backoffLimitPerIndex', 'maxFailedIndexes'])
      if (!isAbsent(spec[field])) found.invalid(`${at}.${field}`, spec[field], 'requires indexed completion mode');
    return;
  }
  if (isAbsent(spec['completions'])) found.required(`${at}.completions`, 'when completion mode is Indexed');
  found.range(`${at}.completions`, spec['completions'], 0, maxIndexes);
  found.range(`${at}.parallelism`, spec['parallelism'], 0, maxIndexes);
  found.range(`${at}.backoffLimitPerIndex`, spec['backoffLimitPerIndex'], 0, maxInt);
  found.range(`${at}.maxFailedIndexes`, spec['maxFailedIndexes'], 0, maxIndexes);
  const [most, all] = [spec['maxFailedIndexes'], spec['completions']];
  if (isAbsent(most)) return;
  if (isAbsent(spec['backoffLimitPerIndex']))
    found.required(`${at}.backoffLimitPerIndex`, 'when maxFailedIndexes is specified');
  if (typeof most === 'number' && typeof all === 'number' && most > all)
    found.invalid(`${at}.maxFailedIndexes`, most, 'must be less than or equal to completions');
}

/** Pods of an index bear the Job's name and their index as their host name. */
function validateIndexedName(found: Findings, name: string, spec: Json): void {
  const completions = spec['completions'];
  if (spec['completionMode'] !== 'Indexed' || name === '' || typeof completions !== 'number') return;
  const wrong = dnsLabel(`${name}-${Math.max(0, completions - 1)}`);
  if (wrong !== undefined)
    found.invalid('metadata.name', name, `will not do as a part of its pods' host names, such as ${name}-0: ${wrong}`);
}

function validateSelector(found: Findings, job: Json, spec: Json): void {
  const uid = textAt(objectAt(job, 'metadata'), 'uid');
  const selector = spec['selector'];
  if (!isObject(selector)) {
    // Without a uid it is a draft, and the API makes the selector.
    if (uid !== '' || spec['manualSelector'] === true) found.required('spec.selector');
    return;
  }
  validateLabelSelector(found, 'spec.selector', selector);
  const labels = objectAt(objectAt(objectAt(spec, 'template'), 'metadata'), 'labels');
  if (spec['manualSelector'] !== true) {
    if (uid !== '' && objectAt(selector, 'matchLabels')[controllerUidLabel] !== uid)
      found.invalid('spec.selector', selector, '`selector` not auto-generated: leave it out, or set manualSelector');
    return;
  }
  const wanted = selectorOfLabelSelector(selector);
  if (wanted.length === 0) found.invalid('spec.selector', selector, 'must not be empty: it would match every pod');
  else if (!matches(wanted, labels as Labels))
    found.invalid('spec.template.metadata.labels', labels, '`selector` does not match template `labels`');
}

const actions = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const maxRules = 20;
const maxValues = 255;

function validateFailurePolicy(found: Findings, spot: string, spec: Json): void {
  const at = `${spot}.podFailurePolicy.rules`;
  if (textAt(objectAt(objectAt(spec, 'template'), 'spec'), 'restartPolicy') === 'OnFailure')
    found.invalid(
      `${spot}.template.spec.restartPolicy`,
      'OnFailure',
      'must be "Never" when podFailurePolicy is specified: a container that is started again has not failed its pod',
    );
  if (spec['podReplacementPolicy'] === 'TerminatingOrFailed')
    found.invalid(
      `${spot}.podReplacementPolicy`,
      'TerminatingOrFailed',
      'must be "Failed" when podFailurePolicy is specified: only a pod that has ended can be judged',
    );
  const rules = objectsAt(objectAt(spec, 'podFailurePolicy'), 'rules');
  if (rules.length > maxRules) found.tooLong(at, maxRules, rules.length, 'rules');
  const names = ['containers', 'initContainers'].flatMap((list) =>
    objectsAt(objectAt(objectAt(spec, 'template'), 'spec'), list).map(({ name }) => name),
  );
  rules.forEach((rule, index) => {
    const field = `${at}[${index}]`;
    found.oneOf(`${field}.action`, rule['action'], actions);
    if (rule['action'] === 'FailIndex' && isAbsent(spec['backoffLimitPerIndex']))
      found.invalid(`${field}.action`, 'FailIndex', 'requires the backoffLimitPerIndex to be set');
    const codes = rule['onExitCodes'];
    const conditions = objectsAt(rule, 'onPodConditions');
    if (isObject(codes) === conditions.length > 0)
      found.invalid(field, rule, 'specifying one of OnExitCodes and OnPodConditions is required, and not both');
    if (isObject(codes)) validateExitCodes(found, `${field}.onExitCodes`, codes, names);
    conditions.forEach((condition, nth) => {
      const place = `${field}.onPodConditions[${nth}]`;
      found.checkRequired(`${place}.type`, textAt(condition, 'type'), qualifiedName);
      found.oneOf(`${place}.status`, condition['status'], ['False', 'True', 'Unknown']);
    });
  });
}

function validateExitCodes(found: Findings, at: string, codes: Json, containers: readonly unknown[]): void {
  found.oneOf(`${at}.operator`, codes['operator'], ['In', 'NotIn']);
  const name = codes['containerName'];
  if (!isAbsent(name) && !containers.includes(name))
    found.invalid(
      `${at}.containerName`,
      name,
      'must be one of the container or initContainer names in the pod template',
    );
  const values = listAt(codes, 'values');
  if (values.length === 0) found.invalid(`${at}.values`, values, 'at least one value is required');
  if (values.length > maxValues) found.tooLong(`${at}.values`, maxValues, values.length, 'values');
  values.forEach((value, index) => {
    found.range(`${at}.values[${index}]`, value, 0, maxInt);
    if (value === 0 && codes['operator'] === 'In')
      found.invalid(`${at}.values[${index}]`, 0, 'must not be 0 for the In operator: 0 is no failure');
    if (values.indexOf(value) < index) found.duplicate(`${at}.values[${index}]`, value);
  });
}

/** Pods that were made stay as they are: what they are made from does not change, unless none has been. */
export function validateJobUpdate(found: Findings, next: Json, previous: Json): void {
  const [spec, before] = [objectAt(next, 'spec'), objectAt(previous, 'spec')];
  for (const field of [
    ...['selector', 'completionMode', 'podFailurePolicy', 'backoffLimitPerIndex', 'managedBy', 'manualSelector'],
    'podReplacementPolicy',
  ])
    if (!sameJson(spec[field] ?? undefined, before[field] ?? undefined))
      immutable(found, `spec.${field}`, spec[field], before[field]);
  validateTemplateUpdate(found, previous, spec, before);
  if (spec['completionMode'] !== 'Indexed')
    immutable(found, 'spec.completions', spec['completions'], before['completions']);
  else if (spec['completions'] !== before['completions'] && spec['completions'] !== spec['parallelism'])
    found.invalid(
      'spec.completions',
      spec['completions'],
      'can only be changed together with spec.parallelism, both to the same number',
    );
}

/** While it is suspended and has not started, where its pods may go can still be said: for queues that admit Jobs. */
function validateTemplateUpdate(found: Findings, previous: Json, spec: Json, before: Json): void {
  const waits = before['suspend'] === true && isAbsent(objectAt(previous, 'status')['startTime']);
  const [now, then] = waits
    ? [withoutPlacement(spec['template']), withoutPlacement(before['template'])]
    : [spec['template'], before['template']];
  immutable(found, 'spec.template', now, then);
}

const placement = ['nodeSelector', 'affinity', 'tolerations', 'schedulingGates'];
function withoutPlacement(template: unknown): unknown {
  if (!isObject(template)) return template;
  const { labels: _, annotations: _annotations, ...metadata } = objectAt(template, 'metadata');
  const spec = Object.entries(objectAt(template, 'spec')).filter(([field]) => !placement.includes(field));
  return { ...template, metadata, spec: Object.fromEntries(spec) };
}

const counts = ['active', 'ready', 'terminating', 'succeeded', 'failed'];

export function validateJobStatus(found: Findings, next: Json, previous: Json): void {
  const [status, before] = [objectAt(next, 'status'), objectAt(previous, 'status')];
  for (const field of counts) found.range(`status.${field}`, status[field], 0);
  for (const field of ['completedIndexes', 'failedIndexes']) {
    const value = textAt(status, field);
    if (value !== '' && !/^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$/.test(value))
      found.invalid(`status.${field}`, value, "must be numbers and ranges of them, such as '0-3,5'");
  }
  validateConditions(found, objectsAt(status, 'conditions'));
  const is = (each: Json, type: string): boolean =>
    objectsAt(each, 'conditions').some((condition) => condition['type'] === type && condition['status'] === 'True');
  for (const type of ['Complete', 'Failed']) {
    if (is(before, type) && !is(status, type))
      found.invalid('status.conditions', type, `a Job that is ${type} stays so: its end is final`);
  }
  if (is(status, 'Complete') && is(status, 'Failed'))
    found.invalid('status.conditions', 'Complete', 'a Job cannot be both Complete and Failed');
  // Counts of what has ended never go back, or somebody counted anew from what is left.
  for (const field of ['succeeded', 'failed']) {
    const [now = 0, then = 0] = [status[field], before[field]];
    if (field === 'succeeded' && objectAt(next, 'spec')['completionMode'] === 'Indexed') continue;
    if (typeof now === 'number' && typeof then === 'number' && now < then)
      found.invalid(`status.${field}`, now, `must not be lowered (it is ${then})`);
  }
}
