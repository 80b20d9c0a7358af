import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { keyOf } from '../../../lib/api/keys.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { conditionOf, isDeleting } from '../../../lib/api/pods.ts';
import { JobManager } from '../../../services/job-controller/controller.ts';
import { jobIndexes } from '../../../services/job-controller/cron/controller.ts';
import { podIndexes, wakeOnChanges } from '../../../services/job-controller/wake.ts';
import { ApiInProcess } from '../../support/api-in-process.ts';
import { aJob } from '../../support/batch-builders.ts';
import { until } from '../../support/until.ts';

describe('job-controller on the real registry', () => {
  let api: ApiInProcess;
  let passes = 0;
  beforeEach(async () => {
    api = await ApiInProcess.start();
    const [jobs, pods] = [api.view('jobs', { indexes: jobIndexes }), api.view('pods', { indexes: podIndexes })];
    const limits = { burst: 500, backoffMs: 1_000, maxBackoffMs: 8_000 };
    const manager = new JobManager({ ...api, client: api.client, jobs, pods, limits, statusIntervalMs: 0 });
    const sync: JobManager['sync'] = (...args) => (passes++, manager.sync(...args));
    api.run({
      controller: { name: manager.name, sync },
      keys: () => jobs.list().map(keyOf),
      wake: (queue) => wakeOnChanges(queue, jobs, pods),
    });
  });
  afterEach(() => api.stop());

  it('rests while the pods of a Job whose time is over take theirs to end', async () => {
    const pods = async (): Promise<readonly Pod[]> => (await api.client.list('pods', { namespace: 'default' })).items;
    const { selector: _, ...spec } = aJob({ spec: { parallelism: 2, completions: 2, activeDeadlineSeconds: 1 } }).spec;
    await api.client.create('jobs', {
      metadata: { name: 'pi', namespace: 'default' },
      spec: { ...spec, template: { ...spec.template, metadata: {} } },
    });
    await until(async () => (await pods()).length === 2, { what: 'its pods' });
    await api.client.bindMany(
      (await pods()).map(({ metadata: { name, namespace = '' } }) => ({
        ...{ metadata: { name, namespace }, target: { kind: 'Node', name: 'n1' } },
      })),
    );
    await until(async () => (await pods()).every(isDeleting), { what: 'them to be told to end' });
    const job = await api.client.get('jobs', 'default/pi');
    assert.equal(job && conditionOf(job.status, 'FailureTarget')?.reason, 'DeadlineExceeded');
    await delay(100); // the last words about them
    const before = passes;
    await delay(300);
    assert.ok(passes - before < 20, `${passes - before} passes with nothing to do`);
    for (const pod of await pods()) await api.client.delete('pods', keyOf(pod), { gracePeriodSeconds: 0 });
    await until(
      async () => {
        const ended = await api.client.get('jobs', 'default/pi');
        return ended !== undefined && conditionOf(ended.status, 'Failed')?.status === 'True';
      },
      { what: 'its end' },
    );
  });
});
