import assert from 'node:assert/strict';
import { applyDefaults } from '../../../../lib/api/defaults/index.ts';
import { controllerUidLabel, jobNameLabel } from '../../../../lib/api/jobs.ts';
import type { MutableJson } from '../../../../lib/api/json.ts';
import type { Job } from '../../../../lib/api/objects.ts';
import { validateCreate, validateStatusUpdate, validateUpdate } from '../../../../lib/api/validation/index.ts';
import { aJob } from '../../../support/batch-builders.ts';

const containers = [{ name: 'app', image: 'x' }];
const drafted = (spec: object, metadata: object = {}): Job => {
  const draft: MutableJson = {
    metadata: { name: 'pi', namespace: 'default', uid: 'u1', creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
    spec: { template: { spec: { restartPolicy: 'Never', containers } }, ...spec },
  };
  applyDefaults('jobs', draft);
  return draft as unknown as Job;
};
const fieldsOf = (job: Job): readonly string[] => validateCreate('jobs', job).map(({ field }) => field);
const indexed = { completionMode: 'Indexed', completions: 3 };
const codes = (values: readonly number[], more: object = {}): object => ({
  podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values }, ...more }] },
});

describe('api/defaults of Jobs', () => {
  it('asks for one pod, once, and makes the selector of the uid', () => {
    const { spec } = drafted({});
    assert.deepEqual([spec.completions, spec.parallelism, spec.backoffLimit, spec.suspend], [1, 1, 6, false]);
    assert.deepEqual([spec.completionMode, spec.podReplacementPolicy], ['NonIndexed', 'TerminatingOrFailed']);
    assert.deepEqual(spec.selector, { matchLabels: { [controllerUidLabel]: 'u1' } });
    assert.deepEqual(spec.template.metadata?.labels, {
      [controllerUidLabel]: 'u1',
      'controller-uid': 'u1',
      [jobNameLabel]: 'pi',
      'job-name': 'pi',
    });
  });
  it('leaves completions out where parallelism alone is given: a work queue', () => {
    assert.equal(drafted({ parallelism: 3 }).spec.completions, undefined);
  });
  it('judges pods that have ended alone where there is a failure policy', () => {
    assert.equal(drafted(codes([1])).spec.podReplacementPolicy, 'Failed');
  });
  it('makes the selector anew for a copy of another Job, and keeps that of the user', () => {
    const copied = { selector: { matchLabels: { [controllerUidLabel]: 'old' } } };
    assert.deepEqual(drafted(copied).spec.selector, { matchLabels: { [controllerUidLabel]: 'u1' } });
    const own = { selector: { matchLabels: { app: 'a' } }, manualSelector: true };
    assert.deepEqual(drafted(own).spec.selector, own.selector);
  });
});

describe('api/validation of Jobs', () => {
  const cases: readonly (readonly [string, object, readonly string[]])[] = [
    ['takes a plain one', {}, []],
    ['takes an indexed one', { ...indexed, parallelism: 2, backoffLimitPerIndex: 1, maxFailedIndexes: 1 }, []],
    ['refuses pods that never end', { template: { spec: { containers } } }, ['spec.template.spec.restartPolicy']],
    [
      'refuses counts below 0',
      { parallelism: -1, completions: -1, backoffLimit: -1 },
      ['spec.parallelism', 'spec.completions', 'spec.backoffLimit'],
    ],
    ['refuses a deadline of 0', { activeDeadlineSeconds: 0 }, ['spec.activeDeadlineSeconds']],
    ['refuses an unknown mode', { completionMode: 'Sorted' }, ['spec.completionMode']],
    ['asks for completions of an indexed one', { completionMode: 'Indexed', parallelism: 1 }, ['spec.completions']],
    ['bounds indexes', { ...indexed, completions: 100_001 }, ['spec.completions']],
    ['asks for indexes where limits are theirs', { backoffLimitPerIndex: 1 }, ['spec.backoffLimitPerIndex']],
    [
      'asks for a limit for each where failed ones are bounded',
      { ...indexed, maxFailedIndexes: 1 },
      ['spec.backoffLimitPerIndex'],
    ],
    ['refuses a selector that it did not make', { selector: { matchLabels: { app: 'a' } } }, ['spec.selector']],
    [
      'refuses a selector of the user that misses the template',
      { manualSelector: true, selector: { matchLabels: { app: 'a' } } },
      ['spec.template.metadata.labels'],
    ],
    ['takes a failure policy', codes([1, 42]), []],
    ['refuses 0 as a failure', codes([0]), ['spec.podFailurePolicy.rules[0].onExitCodes.values[0]']],
    [
      'refuses a rule of two kinds',
      codes([1], { onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }),
      ['spec.podFailurePolicy.rules[0]'],
    ],
    [
      'refuses an unknown container in a rule',
      {
        podFailurePolicy: {
          rules: [{ action: 'Count', onExitCodes: { operator: 'In', values: [1], containerName: 'no' } }],
        },
      },
      ['spec.podFailurePolicy.rules[0].onExitCodes.containerName'],
    ],
    [
      'refuses a policy for containers that start again',
      { ...codes([1]), template: { spec: { restartPolicy: 'OnFailure', containers } } },
      ['spec.template.spec.restartPolicy'],
    ],
    ['refuses a manager without a domain', { managedBy: 'me' }, ['spec.managedBy']],
  ];
  for (const [name, spec, fields] of cases) it(name, () => assert.deepEqual(fieldsOf(drafted(spec)), fields));

  it('refuses a name that no host name can be made of', () => {
    assert.deepEqual(fieldsOf(drafted(indexed, { name: 'a.b' })), ['metadata.name']);
    assert.deepEqual(fieldsOf(drafted(indexed, { name: 'x'.repeat(62) })), ['metadata.name']);
  });

  it('lets numbers change and what pods are made from not', () => {
    const before = aJob({ spec: { completions: 3, parallelism: 1 } });
    const changed = (spec: Partial<Job['spec']>): readonly string[] =>
      validateUpdate('jobs', { ...before, spec: { ...before.spec, ...spec } }, before).map(({ field }) => field);
    assert.deepEqual(changed({ parallelism: 2, backoffLimit: 1, suspend: true, ttlSecondsAfterFinished: 3 }), []);
    assert.deepEqual(changed({ completions: 4 }), ['spec.completions']);
    const { template } = before.spec;
    assert.deepEqual(changed({ template: { ...template, spec: { ...template.spec, hostNetwork: true } } }), [
      'spec.template',
    ]);
  });

  it('lets an indexed one grow and shrink with its parallelism', () => {
    const before = aJob({ spec: { completionMode: 'Indexed', completions: 3, parallelism: 3 } });
    const changed = (spec: Partial<Job['spec']>): readonly string[] =>
      validateUpdate('jobs', { ...before, spec: { ...before.spec, ...spec } }, before).map(({ field }) => field);
    assert.deepEqual(changed({ completions: 5, parallelism: 5 }), []);
    assert.deepEqual(changed({ completions: 5 }), ['spec.completions']);
  });

  it('lets a suspended one be told where to go until it starts', () => {
    const before = aJob({ spec: { completions: 1, parallelism: 1, suspend: true } });
    const { template } = before.spec;
    const placed = { ...template, spec: { ...template.spec, nodeSelector: { zone: 'a' } } };
    const next = { ...before, spec: { ...before.spec, template: placed } };
    assert.deepEqual(validateUpdate('jobs', next, before), []);
    const begun = { ...before, status: { startTime: '2026-01-01T00:00:00Z' } };
    assert.deepEqual(
      validateUpdate('jobs', next, begun).map(({ field }) => field),
      ['spec.template'],
    );
  });

  it('refuses a status that takes back an end or a count', () => {
    const before = aJob({ status: { failed: 2, conditions: [{ type: 'Failed', status: 'True' }] } });
    const fields = (status: Job['status']): readonly string[] =>
      validateStatusUpdate('jobs', { ...before, status }, before).map(({ field }) => field);
    assert.deepEqual(fields(before.status), []);
    assert.deepEqual(fields({ ...before.status, failed: 1 }), ['status.failed']);
    assert.deepEqual(fields({ failed: 2 }), ['status.conditions']);
    assert.deepEqual(fields({ ...before.status, completedIndexes: '1-' }), ['status.completedIndexes']);
  });
});
