import assert from 'node:assert/strict';
import type { JobSpec, JobStatus } from '../../../lib/api/objects.ts';
import { indexOf } from '../../../services/job-controller/pods.ts';
import { reconcile } from '../../../services/job-controller/reconcile.ts';
import { statusOf } from '../../../services/job-controller/status.ts';
import { settled, tallyOf } from '../../../services/job-controller/tally.ts';
import { aJob, aJobPod, type JobPodOptions } from '../../support/batch-builders.ts';
import { epochMs } from '../../support/builders.ts';

const limits = { burst: 500, backoffMs: 10_000, maxBackoffMs: 360_000 };
const indexed = { completionMode: 'Indexed', completions: 4, parallelism: 2 } as const;
const perIndex = { ...indexed, backoffLimitPerIndex: 1, backoffLimit: 2 ** 31 - 1 };

interface Case {
  readonly it: string;
  readonly spec?: Partial<JobSpec>;
  readonly status?: JobStatus;
  readonly pods?: readonly JobPodOptions[];
  /** In seconds since the pods were made. */
  readonly now?: number;
  /** New pods, by their index where they have one. */
  readonly create?: readonly (number | undefined)[];
  readonly remove?: readonly string[];
  readonly end?: readonly string[];
  readonly again?: number;
}

const one = [undefined];
const cases: readonly Case[] = [
  { it: 'makes the first pod', create: one },
  {
    it: 'makes no more at once than parallelism',
    spec: { completions: 9, parallelism: 2 },
    create: [undefined, undefined],
  },
  {
    it: 'makes no more than are still to succeed',
    spec: { completions: 3, parallelism: 3 },
    status: { succeeded: 2 },
    create: one,
  },
  { it: 'rests while enough are active', pods: [{ name: 'a' }] },
  {
    it: 'removes what is too many, the one without a node first',
    spec: { completions: 3, parallelism: 1 },
    pods: [
      { name: 'a', nodeName: 'n1' },
      { name: 'b', phase: 'Pending' },
    ],
    remove: ['b'],
  },
  { it: 'removes all while it is suspended', spec: { suspend: true }, pods: [{ name: 'a' }], remove: ['a'] },
  {
    it: 'removes a pod that nobody will count',
    spec: { completions: 2, parallelism: 2 },
    pods: [{ name: 'a', tracked: false }],
    remove: ['a'],
  },
  { it: 'waits 10 s after a failure', pods: [{ name: 'a', phase: 'Failed', endedAfter: 5 }], now: 6, again: 9_000 },
  { it: 'and then makes the next', pods: [{ name: 'a', phase: 'Failed', endedAfter: 5 }], now: 15, create: one },
  {
    it: 'waits 20 s after the second',
    pods: [
      { name: 'a', phase: 'Failed', endedAfter: 5 },
      { name: 'b', phase: 'Failed', endedAfter: 20 },
    ],
    now: 21,
    again: 19_000,
  },
  {
    it: 'waits no longer for failures before the last success',
    spec: { completions: 3 },
    pods: [
      { name: 'a', phase: 'Failed', endedAfter: 5 },
      { name: 'b', phase: 'Succeeded', endedAfter: 6 },
    ],
    now: 7,
    create: one,
  },
  { it: 'replaces a pod that is leaving at once', pods: [{ name: 'a', deleted: true }], now: 60, create: one },
  {
    it: 'or when it has ended, where that is asked for',
    spec: { podReplacementPolicy: 'Failed' },
    pods: [{ name: 'a', deleted: true }],
    now: 60,
  },
  {
    it: 'takes a pod whose end is confirmed as ended',
    spec: { podReplacementPolicy: 'Failed' },
    pods: [{ name: 'a', deleted: true, graceSeconds: 0 }],
    now: 60,
    create: one,
  },
  {
    it: 'makes no more for a queue that one pod has found empty',
    spec: { parallelism: 3 },
    pods: [{ name: 'a', phase: 'Succeeded' }, { name: 'b' }],
  },
  {
    it: 'gives out the lowest free indexes',
    spec: indexed,
    status: { completedIndexes: '0' },
    pods: [{ name: 'a', index: 2 }],
    create: [1],
  },
  {
    it: 'keeps one of two with one index, the one that is further',
    spec: indexed,
    pods: [
      { name: 'a', index: 1, phase: 'Pending' },
      { name: 'b', index: 1, nodeName: 'n1' },
    ],
    remove: ['a'],
  },
  {
    it: 'removes a pod whose index is done',
    spec: indexed,
    status: { completedIndexes: '1' },
    pods: [
      { name: 'a', index: 1 },
      { name: 'b', index: 0 },
    ],
    remove: ['a'],
  },
  {
    it: 'holds back the index that failed, and it alone',
    spec: perIndex,
    pods: [{ name: 'a', index: 0, phase: 'Failed', endedAfter: 5 }],
    now: 6,
    create: [1, 2],
    again: 9_000,
  },
  {
    it: 'gives up an index that failed too often',
    spec: perIndex,
    pods: [{ name: 'a', index: 0, failures: 1, phase: 'Failed' }],
    now: 60,
    create: [1, 2],
  },
  {
    it: 'ends what runs once there is a verdict',
    spec: { completions: 3, parallelism: 2 },
    status: { conditions: [{ type: 'FailureTarget', status: 'True' }] },
    pods: [{ name: 'a' }, { name: 'b' }],
    end: ['a', 'b'],
  },
  {
    it: 'makes nothing when a verdict is due',
    spec: { backoffLimit: 0 },
    pods: [{ name: 'a', phase: 'Failed' }],
    now: 60,
  },
];

describe('job-controller/reconcile', () => {
  for (const { it: name, spec, status, pods = [], now = 0, create = [], remove = [], end = [], again } of cases)
    it(name, () => {
      const job = aJob({
        ...(spec !== undefined && {
          spec: { ...(spec.parallelism === undefined && { completions: 1, parallelism: 1 }), ...spec },
        }),
        ...(status !== undefined && { status }),
      });
      const plan = reconcile(
        job,
        tallyOf(
          job,
          pods.map((pod) => aJobPod(job, pod)),
        ),
        epochMs + now * 1000,
        limits,
      );
      assert.deepEqual(
        {
          create: plan.create.map(({ index }) => index),
          remove: plan.remove.map(({ metadata }) => metadata.name),
          end: plan.end.map(({ metadata }) => metadata.name),
          again: plan.againInMs,
        },
        { create, remove, end, again },
      );
    });

  it('hands on how often an index has failed', () => {
    const job = aJob({ spec: perIndex });
    const failed = aJobPod(job, { name: 'a', index: 0, phase: 'Failed', endedAfter: 5 });
    const { create } = reconcile(job, tallyOf(job, [failed]), epochMs + 60_000, limits);
    assert.deepEqual(create, [
      { index: 0, failures: 1 },
      { index: 1, failures: 0 },
    ]);
    // The failure waits for the pod that bears it on.
    const counted = { ...job, status: { uncountedTerminatedPods: { failed: [failed.metadata.uid] } } };
    assert.deepEqual(settled(counted, [failed]), []);
    const next = aJobPod(job, { name: 'b', index: 0, failures: 1 });
    assert.deepEqual(settled(counted, [failed, next]), [failed]);
  });
});

interface StatusCase {
  readonly it: string;
  readonly spec?: Partial<JobSpec>;
  readonly status?: JobStatus;
  readonly pods?: readonly JobPodOptions[];
  readonly now?: number;
  readonly want: Partial<Record<keyof JobStatus, unknown>>;
  /** `Type/Reason` of each that is true. */
  readonly conditions?: readonly string[];
}

const rule = (action: 'FailJob' | 'FailIndex' | 'Ignore' | 'Count', values: readonly number[]) => ({
  podFailurePolicy: { rules: [{ action, onExitCodes: { operator: 'In', values } as const }] },
  podReplacementPolicy: 'Failed' as const,
});
const started = '2026-01-01T00:00:00Z';
const uids = (...names: readonly string[]): readonly string[] =>
  names.map((name) => aJobPod(aJob(), { name }).metadata.uid);

const statusCases: readonly StatusCase[] = [
  { it: 'notes the start', want: { startTime: started } },
  {
    it: 'does not start what is suspended',
    spec: { suspend: true },
    want: { startTime: undefined },
    conditions: ['Suspended/JobSuspended'],
  },
  {
    it: 'starts anew when it goes on',
    status: { startTime: '2025-01-01T00:00:00Z', conditions: [{ type: 'Suspended', status: 'True' }] },
    want: { startTime: started },
  },
  {
    it: 'lists what has ended before it counts it',
    spec: { completions: 2, parallelism: 2 },
    pods: [{ name: 'a', phase: 'Succeeded' }],
    want: { succeeded: undefined, uncountedTerminatedPods: { succeeded: uids('a') } },
  },
  {
    it: 'counts it when its finalizer is gone',
    spec: { completions: 2, parallelism: 2 },
    status: { uncountedTerminatedPods: { succeeded: uids('a') } },
    pods: [{ name: 'a', phase: 'Succeeded', tracked: false }],
    want: { succeeded: 1, uncountedTerminatedPods: undefined },
  },
  {
    it: 'counts what is gone altogether',
    spec: { completions: 2, parallelism: 2 },
    status: { succeeded: 1, uncountedTerminatedPods: { failed: uids('a') } },
    want: { succeeded: 1, failed: 1, uncountedTerminatedPods: undefined },
  },
  {
    it: 'does not count again what is counted',
    spec: { completions: 2, parallelism: 2 },
    status: { succeeded: 1 },
    pods: [{ name: 'a', phase: 'Succeeded', tracked: false }],
    want: { succeeded: 1, uncountedTerminatedPods: undefined },
  },
  {
    it: 'knows its success before all are counted, and is complete when they are',
    pods: [{ name: 'a', phase: 'Succeeded' }],
    want: { completionTime: undefined },
    conditions: ['SuccessCriteriaMet/CompletionsReached'],
  },
  {
    it: 'is complete when nothing waits',
    status: { succeeded: 1 },
    want: { completionTime: started, succeeded: 1 },
    conditions: ['SuccessCriteriaMet/CompletionsReached', 'Complete/CompletionsReached'],
  },
  {
    it: 'is not complete while a pod is leaving',
    status: { succeeded: 1 },
    pods: [{ name: 'a', deleted: true, tracked: false }],
    want: { completionTime: undefined, terminating: 1 },
    conditions: ['SuccessCriteriaMet/CompletionsReached'],
  },
  {
    it: 'has nothing to do with no completions',
    spec: { completions: 0, parallelism: 1 },
    want: {},
    conditions: ['SuccessCriteriaMet/CompletionsReached', 'Complete/CompletionsReached'],
  },
  {
    it: 'fails past its back-off limit',
    spec: { backoffLimit: 1 },
    status: { failed: 1 },
    pods: [{ name: 'a', phase: 'Failed' }],
    want: {},
    conditions: ['FailureTarget/BackoffLimitExceeded'],
  },
  {
    it: 'succeeds rather than fails where both are so',
    spec: { backoffLimit: 0 },
    status: { succeeded: 1, failed: 1 },
    want: {},
    conditions: ['SuccessCriteriaMet/CompletionsReached', 'Complete/CompletionsReached'],
  },
  {
    it: 'fails past its deadline',
    spec: { activeDeadlineSeconds: 10 },
    status: { startTime: started },
    pods: [{ name: 'a' }],
    now: 10,
    want: { active: 1 },
    conditions: ['FailureTarget/DeadlineExceeded'],
  },
  {
    it: 'fails at once by its policy',
    spec: rule('FailJob', [42]),
    pods: [{ name: 'a', phase: 'Failed', exitCode: 42 }],
    want: {},
    conditions: ['FailureTarget/PodFailurePolicy'],
  },
  {
    it: 'does not count what its policy ignores',
    spec: { ...rule('Ignore', [42]), backoffLimit: 0 },
    pods: [{ name: 'a', phase: 'Failed', exitCode: 42 }],
    want: { uncountedTerminatedPods: undefined },
  },
  {
    it: 'counts what no rule matches',
    spec: rule('Ignore', [42]),
    pods: [{ name: 'a', phase: 'Failed', exitCode: 1 }],
    want: { uncountedTerminatedPods: { failed: uids('a') } },
  },
  {
    it: 'keeps the completed indexes',
    spec: indexed,
    status: { completedIndexes: '0-1' },
    pods: [{ name: 'a', index: 3, phase: 'Succeeded' }],
    want: { completedIndexes: '0-1,3', succeeded: 3, uncountedTerminatedPods: undefined },
  },
  {
    it: 'fails an index at once by its policy',
    spec: { ...perIndex, ...rule('FailIndex', [7]) },
    pods: [{ name: 'a', index: 2, phase: 'Failed', exitCode: 7 }],
    want: { failedIndexes: '2' },
  },
  {
    it: 'fails when every index has come to an end and some have failed',
    spec: perIndex,
    status: { completedIndexes: '0-2', failedIndexes: '3' },
    want: { succeeded: 3, failedIndexes: '3' },
    conditions: ['FailureTarget/FailedIndexes', 'Failed/FailedIndexes'],
  },
  {
    it: 'fails past the number of failed indexes',
    spec: { ...perIndex, maxFailedIndexes: 0 },
    status: { failedIndexes: '3' },
    want: {},
    conditions: ['FailureTarget/MaxFailedIndexesExceeded', 'Failed/MaxFailedIndexesExceeded'],
  },
  {
    it: 'ends a work queue with its last pod',
    spec: { parallelism: 2 },
    status: { succeeded: 1 },
    pods: [{ name: 'a' }],
    want: { active: 1 },
  },
];

describe('job-controller/status', () => {
  for (const { it: name, spec, status, pods = [], now = 0, want, conditions = [] } of statusCases)
    it(name, () => {
      const job = aJob({
        ...(spec !== undefined && {
          spec: { ...(spec.parallelism === undefined && { completions: 1, parallelism: 1 }), ...spec },
        }),
        ...(status !== undefined && { status }),
      });
      const own = pods.map((pod) => aJobPod(job, pod));
      const tracked = pods.filter((pod) => pod.tracked !== false).length;
      const got = statusOf(job, tallyOf(job, own), tracked, epochMs + now * 1000);
      for (const [field, value] of Object.entries(want)) assert.deepEqual(got[field as keyof JobStatus], value, field);
      assert.deepEqual(
        (got.conditions ?? []).filter((each) => each.status === 'True').map(({ type, reason }) => `${type}/${reason}`),
        conditions,
      );
    });

  it('counts what a Job that failed ends itself as failed, and what one that succeeded ends as nothing', () => {
    for (const [type, failed] of [
      ['FailureTarget', 1],
      ['SuccessCriteriaMet', 0],
    ] as const) {
      const job = aJob({ status: { conditions: [{ type, status: 'True' }] } });
      const tally = tallyOf(job, [aJobPod(job, { name: 'a', deleted: true })]);
      assert.equal(tally.failed, failed, type);
    }
  });

  it('reads indexes of pods only where they are numbers', () => {
    const job = aJob({ spec: indexed });
    assert.equal(indexOf(aJobPod(job, { index: 3 })), 3);
    assert.equal(indexOf(aJobPod(job, {})), undefined);
  });
});
