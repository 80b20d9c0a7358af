import { messageOf } from '../../base/errors.ts';
import { parseSchedule, wallIn } from '../cron.ts';
import { isAbsent, isObject, objectAt, objectsAt, textAt, type Json } from '../json.ts';
import { validateJobSpec } from './batch.ts';
import type { Findings } from './findings.ts';
import { validateAnnotations, validateLabels } from './metadata.ts';

/** The Jobs' names are its own with a number of up to ten digits, and theirs may have 63 characters. */
const maxName = 52;
const maxInt = 2 ** 31 - 1;

export function validateCronJob(found: Findings, cron: Json): void {
  const name = textAt(objectAt(cron, 'metadata'), 'name');
  if (name.length > maxName) found.invalid('metadata.name', name, `must be no more than ${maxName} characters`);
  const spec = cron['spec'];
  if (!isObject(spec)) return found.required('spec');
  validateSchedule(found, textAt(spec, 'schedule'));
  validateZone(found, spec['timeZone']);
  found.range('spec.startingDeadlineSeconds', spec['startingDeadlineSeconds'], 0);
  found.oneOf('spec.concurrencyPolicy', spec['concurrencyPolicy'], ['Allow', 'Forbid', 'Replace']);
  for (const field of ['successfulJobsHistoryLimit', 'failedJobsHistoryLimit'])
    found.range(`spec.${field}`, spec[field], 0, maxInt);
  const template = spec['jobTemplate'];
  if (!isObject(template)) return found.required('spec.jobTemplate');
  validateLabels(found, 'spec.jobTemplate.metadata.labels', objectAt(template, 'metadata')['labels']);
  validateAnnotations(found, 'spec.jobTemplate.metadata.annotations', objectAt(template, 'metadata')['annotations']);
  const jobSpec = template['spec'];
  if (!isObject(jobSpec)) return found.required('spec.jobTemplate.spec');
  validateJobSpec(found, 'spec.jobTemplate.spec', jobSpec);
  for (const field of ['selector', 'manualSelector'])
    if (!isAbsent(jobSpec[field]) && jobSpec[field] !== false)
      found.forbidden(`spec.jobTemplate.spec.${field}`, 'each Job gets a selector of its own');
}

function validateSchedule(found: Findings, text: string): void {
  if (text === '') return found.required('spec.schedule');
  try {
    parseSchedule(text);
  } catch (error) {
    found.invalid('spec.schedule', text, messageOf(error));
  }
}

function validateZone(found: Findings, zone: unknown): void {
  if (isAbsent(zone)) return;
  try {
    if (typeof zone !== 'string' || zone === '' || /^local$/i.test(zone)) throw new RangeError('no name');
    wallIn(zone);
  } catch {
    found.invalid('spec.timeZone', zone, "unknown time zone: it must be one of the IANA's, such as Europe/Rome");
  }
}

export function validateCronJobStatus(found: Findings, next: Json): void {
  objectsAt(objectAt(next, 'status'), 'active').forEach((each, index) => {
    if (textAt(each, 'uid') === '') found.required(`status.active[${index}].uid`);
  });
}
