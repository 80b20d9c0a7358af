import { controllerUidLabel, formerControllerUidLabel, formerJobNameLabel, jobNameLabel } from '../jobs.ts';
import { asObject, isAbsent, textAt, type MutableJson } from '../json.ts';
import { ensured, fill, fillText, inside } from './fill.ts';
import { defaultPodSpec } from './pod.ts';

/** One pod, once, with six failures borne, unless it says otherwise. The selector is made where the uid is known: in the API. */
export function defaultJob(job: MutableJson): void {
  ensured(job, 'status');
  const spec = ensured(job, 'spec');
  if (spec === undefined) return;
  defaultJobSpec(spec);
  const metadata = inside(job, 'metadata');
  const uid = metadata === undefined ? '' : textAt(metadata, 'uid');
  if (metadata !== undefined && uid !== '' && spec['manualSelector'] !== true)
    ownSelector(spec, uid, textAt(metadata, 'name'));
}

export function defaultJobSpec(spec: MutableJson): void {
  if (isAbsent(spec['completions']) && isAbsent(spec['parallelism'])) spec['completions'] = 1;
  fill(spec, 'parallelism', 1);
  fillText(spec, 'completionMode', 'NonIndexed');
  // With a limit for each index the whole has none of its own.
  fill(spec, 'backoffLimit', isAbsent(spec['backoffLimitPerIndex']) ? 6 : 2 ** 31 - 1);
  fill(spec, 'suspend', false);
  fillText(spec, 'podReplacementPolicy', isAbsent(spec['podFailurePolicy']) ? 'TerminatingOrFailed' : 'Failed');
  const template = inside(spec, 'template');
  const podSpec = template === undefined ? undefined : ensured(template, 'spec');
  if (podSpec !== undefined) defaultPodSpec(podSpec);
}

/** Not given, or as the API made it for the Job that this one was copied from. */
const isOfTheApi = (selector: unknown): boolean => {
  if (isAbsent(selector)) return true;
  const { matchLabels, ...rest } = asObject(selector);
  return Object.keys(rest).length === 0 && Object.keys(asObject(matchLabels)).join() === controllerUidLabel;
};

/** No two Jobs share a uid: pods that bear it are of this Job and of no other. */
function ownSelector(spec: MutableJson, uid: string, name: string): void {
  if (isOfTheApi(spec['selector'])) spec['selector'] = { matchLabels: { [controllerUidLabel]: uid } };
  const template = inside(spec, 'template');
  const metadata = template === undefined ? undefined : ensured(template, 'metadata');
  const labels = metadata === undefined ? undefined : ensured(metadata, 'labels');
  if (labels === undefined) return;
  for (const label of [controllerUidLabel, formerControllerUidLabel]) labels[label] = uid;
  for (const label of [jobNameLabel, formerJobNameLabel]) labels[label] = name;
}

/** Jobs may run side by side; three that succeeded and one that failed are kept. */
export function defaultCronJob(cron: MutableJson): void {
  ensured(cron, 'status');
  const spec = ensured(cron, 'spec');
  if (spec === undefined) return;
  fillText(spec, 'concurrencyPolicy', 'Allow');
  fill(spec, 'suspend', false);
  fill(spec, 'successfulJobsHistoryLimit', 3);
  fill(spec, 'failedJobsHistoryLimit', 1);
  const template = inside(spec, 'jobTemplate');
  const jobSpec = template === undefined ? undefined : ensured(template, 'spec');
  if (jobSpec !== undefined) defaultJobSpec(jobSpec);
}
