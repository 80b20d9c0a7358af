import assert from 'node:assert/strict';
import { keyOf } from '../../../lib/api/keys.ts';
import type { CronJobSpec, CronJobStatus, Job } from '../../../lib/api/objects.ts';
import { CronManager, jobIndexes, wakeCrons } from '../../../services/job-controller/cron/controller.ts';
import { cronStatusOf, decide } from '../../../services/job-controller/cron/decide.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aCronJob, aJob } from '../../support/batch-builders.ts';
import { until } from '../../support/until.ts';

/** The builders' objects are made at 00:00:00. */
const at = (time: string): number => Date.parse(`2026-01-01T${time}Z`);
const ended = (name: string, type: 'Complete' | 'Failed', started: string): Job =>
  aJob({
    name,
    status: {
      startTime: `2026-01-01T${started}Z`,
      ...(type === 'Complete' && { completionTime: `2026-01-01T${started}Z` }),
      conditions: [{ type, status: 'True' }],
    },
  });

interface Case {
  readonly it: string;
  readonly spec?: Partial<CronJobSpec>;
  readonly status?: CronJobStatus;
  readonly jobs?: readonly Job[];
  readonly now: string;
  readonly start?: string;
  readonly replace?: readonly string[];
  readonly forget?: readonly string[];
  readonly skipped?: string;
  readonly again?: number;
}
const last = (time: string): CronJobStatus => ({ lastScheduleTime: `2026-01-01T${time}Z` });

const cases: readonly Case[] = [
  { it: 'waits for the first time', now: '00:03:00', again: 120_000 },
  { it: 'starts when it is due', now: '00:05:00', start: '00:05:00', again: 300_000 },
  { it: 'starts once for each time', now: '00:06:00', status: last('00:05:00'), again: 240_000 },
  {
    it: 'of many that were missed starts the last',
    now: '03:12:00',
    status: last('00:05:00'),
    start: '03:10:00',
    again: 180_000,
  },
  { it: 'starts nothing while suspended', now: '00:06:00', spec: { suspend: true } },
  {
    it: 'starts late within the deadline',
    now: '00:05:20',
    spec: { startingDeadlineSeconds: 20 },
    start: '00:05:00',
    again: 280_000,
  },
  {
    it: 'starts no later than the deadline',
    now: '00:05:21',
    spec: { startingDeadlineSeconds: 20 },
    skipped: 'MissedSchedule',
    again: 279_000,
  },
  { it: 'starts side by side', now: '00:05:00', jobs: [aJob()], start: '00:05:00', again: 300_000 },
  {
    it: 'waits for the former where that is asked for',
    now: '00:05:00',
    spec: { concurrencyPolicy: 'Forbid' },
    jobs: [aJob()],
    skipped: 'JobAlreadyActive',
    again: 300_000,
  },
  {
    it: 'starts when the former has ended',
    now: '00:07:00',
    spec: { concurrencyPolicy: 'Forbid' },
    jobs: [ended('a', 'Complete', '00:01:00')],
    start: '00:05:00',
    again: 180_000,
  },
  {
    it: 'replaces the former where that is asked for',
    now: '00:05:00',
    spec: { concurrencyPolicy: 'Replace' },
    jobs: [aJob()],
    start: '00:05:00',
    replace: ['pi'],
    again: 300_000,
  },
  {
    it: 'does not wait for a time that a wrong clock has told',
    now: '00:07:00',
    status: last('23:55:00'),
    again: 180_000,
  },
  { it: 'never starts on a day that does not come', now: '00:07:00', spec: { schedule: '0 0 31 2 *' } },
  {
    it: 'forgets the oldest beyond what is kept',
    now: '00:01:00',
    spec: { successfulJobsHistoryLimit: 1, failedJobsHistoryLimit: 1 },
    jobs: [ended('a', 'Complete', '00:00:10'), ended('b', 'Complete', '00:00:20'), ended('c', 'Failed', '00:00:05')],
    forget: ['a'],
    again: 240_000,
  },
  {
    it: 'reads its schedule in its time zone',
    now: '05:00:00',
    spec: { schedule: '0 6 * * *', timeZone: 'Europe/Rome' },
    start: '05:00:00',
    again: 3_600_000,
  },
];

describe('job-controller/cron', () => {
  for (const { it: name, spec, status, jobs = [], now, start, replace = [], forget = [], skipped, again } of cases)
    it(name, () => {
      const schedule = { schedule: '*/5 * * * *' };
      const cron = aCronJob({
        spec: { ...aCronJob().spec, ...schedule, ...spec },
        ...(status !== undefined && { status }),
      });
      const plan = decide(cron, jobs, at(now));
      assert.deepEqual(
        {
          start: plan.startMs,
          replace: plan.replace.map(({ metadata }) => metadata.name),
          forget: plan.forget.map(({ metadata }) => metadata.name),
          skipped: plan.skipped?.reason,
          again: plan.againInMs,
        },
        { start: start === undefined ? undefined : at(start), replace, forget, skipped, again },
      );
    });

  it('tells what runs, what was last due, and the last success', () => {
    const jobs = [aJob({ name: 'b' }), aJob({ name: 'a' }), ended('c', 'Complete', '00:00:10')];
    const status = cronStatusOf(aCronJob(), jobs, at('00:05:00'));
    assert.deepEqual(
      status.active?.map(({ name }) => name),
      ['a', 'b'],
    );
    assert.equal(status.lastScheduleTime, '2026-01-01T00:05:00Z');
    assert.equal(status.lastSuccessfulTime, '2026-01-01T00:00:10Z');
  });

  it('makes one Job a time on the real registry, whoever makes it', async () => {
    const api = await ApiInProcess.start();
    try {
      // Due every minute; the clock stands still at a minute after its creation.
      const cron = await api.put('cronjobs', aCronJob({ spec: { ...aCronJob().spec, schedule: '* * * * *' } }));
      const nowMs = Date.parse(cron.metadata.creationTimestamp) + 60_000;
      const clock = { ...api.clock, now: () => nowMs };
      const start = (): void => {
        const crons = api.view('cronjobs');
        const jobs = api.view('jobs', { indexes: jobIndexes });
        api.run({
          controller: new CronManager({ ...api, client: api.client, recorder: api.recorder, clock, crons, jobs }),
          keys: () => crons.list().map(keyOf),
          wake: (queue) => wakeCrons(queue, crons, jobs),
        });
      };
      start();
      start(); // a second one, which does not know of the first
      const jobs = async (): Promise<readonly Job[]> => (await api.client.list('jobs')).items;
      const status = async (): Promise<CronJobStatus | undefined> =>
        (await api.client.get('cronjobs', 'default/tidy'))?.status;
      await until(async () => (await status())?.active?.length === 1, { what: 'a Job that runs' });
      const [made] = await jobs();
      assert.equal((await jobs()).length, 1);
      assert.match(made?.metadata.name ?? '', /^tidy-\d+$/);
      assert.equal(made?.metadata.ownerReferences?.[0]?.uid, cron.metadata.uid);
      assert.equal(made?.spec.selector.matchLabels?.['batch.kubernetes.io/controller-uid'], made?.metadata.uid);
      assert.ok(Date.parse((await status())?.lastScheduleTime ?? '') <= nowMs);
    } finally {
      await api.stop();
    }
  });
});
