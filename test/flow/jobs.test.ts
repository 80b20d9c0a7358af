import assert from 'node:assert/strict';
import { endOfJob, isTrue, jobTracking } from '../../lib/api/jobs.ts';
import { keyOf } from '../../lib/api/keys.ts';
import type { Job, JobSpec, Pod } from '../../lib/api/objects.ts';
import { isActive } from '../../lib/api/pods.ts';
import { FlowCluster } from '../support/flow-cluster.ts';

const nodes = ['node-1', 'node-2'];

for (const dropEvery of [0, 3])
  describe(`flow: jobs${dropEvery === 0 ? '' : ', with every third message lost'}`, function () {
    this.timeout(60_000);
    let cluster: FlowCluster;
    /** How often each index has run, and how often to its end. */
    let runs: Map<string, number>;
    let ends: Map<string, number>;
    beforeEach(async () => {
      cluster = await FlowCluster.start({ nodes: nodes.length, dropEvery });
      [runs, ends] = [new Map(), new Map()];
    });
    afterEach(() => cluster.stop());

    const job = async (): Promise<Job> => (await cluster.client.get('jobs', 'default/pi')) as Job;
    const pods = (): Promise<readonly Pod[]> => cluster.list('pods');
    const create = (spec: Partial<JobSpec>): Promise<unknown> =>
      cluster.client.create('jobs', {
        metadata: { name: 'pi', namespace: 'default' },
        spec: {
          ...spec,
          template: {
            spec: {
              restartPolicy: 'Never',
              terminationGracePeriodSeconds: 1,
              containers: [{ name: 'app', image: 'work:1' }],
            },
          },
        } as never,
      });
    /** What becomes of a run: `exit` is told the index (or the pod) and which run of it this is. */
    const work = (afterMs: number, exit: (who: string, run: number) => number): void => {
      for (const node of nodes)
        cluster.engineOf(node).onStart = ({ image, env = [] }) => {
          if (image !== 'work:1') return undefined;
          const who = env.find((each) => each.startsWith('JOB_COMPLETION_INDEX='))?.split('=')[1] ?? '';
          const run = (runs.get(who) ?? 0) + 1;
          runs.set(who, run);
          const exitCode = exit(who, run);
          if (exitCode === 0) ends.set(who, (ends.get(who) ?? 0) + 1);
          return { exitCode, afterMs };
        };
    };
    const ended = async (): Promise<boolean> => endOfJob(await job()) !== undefined;

    it('runs each index to its end once, three at a time, although loops and agents die on the way', async () => {
      work(300, (_, run) => (run === 1 ? 1 : 0));
      await create({
        ...{ completionMode: 'Indexed', completions: 6, parallelism: 3, backoffLimitPerIndex: 3 },
        podReplacementPolicy: 'Failed',
      });
      const victims = ['job-controller', 'node-1', 'scheduler', 'job-controller', 'node-2', 'garbage-collector'];
      let turn = 0;
      await cluster.until(
        'the end',
        async () => {
          // A loop that was killed leads again when the lease of its former life is over: 2 s.
          if (++turn % 100 === 0) await cluster.restart(victims[(turn / 100) % victims.length] ?? '');
          assert.ok((await pods()).filter(isActive).length <= 3);
          return ended();
        },
        120_000,
      );
      const { status } = await job();
      assert.ok(isTrue(status, 'Complete'), JSON.stringify(status));
      assert.deepEqual([status.succeeded, status.failed, status.completedIndexes], [6, 6, '0-5']);
      assert.deepEqual([...ends.values()], [1, 1, 1, 1, 1, 1]);
      assert.deepEqual([...runs.values()], [2, 2, 2, 2, 2, 2]);
      assert.ok((await pods()).every(({ metadata }) => metadata.finalizers?.includes(jobTracking) !== true));
    });

    it('counts a pod that is removed by hand while it runs, and is done when the others are', async () => {
      // Longer than an agent may take to notice that it missed its pod: both run at one time, whatever is lost.
      work(60_000, () => 0);
      await create({ completions: 2, parallelism: 2 });
      await cluster.until('two run', async () => ((await job()).status.ready ?? 0) === 2, 60_000);
      const [first] = await pods();
      await cluster.client.delete('pods', keyOf(first as Pod));
      await cluster.until('the end', ended, 300_000);
      const { status } = await job();
      assert.deepEqual([status.succeeded, status.failed], [2, 1]);
      assert.ok((await pods()).every(({ metadata }) => metadata.uid !== first?.metadata.uid));
    });

    it('fails past its back-off limit, ends what runs, and goes with its pods when its time to live is over', async () => {
      let made = 0;
      work(500, () => (++made % 2 === 1 ? 1 : 0));
      for (const node of nodes) {
        const { onStart } = cluster.engineOf(node);
        cluster.engineOf(node).onStart = (spec) => {
          const script = onStart?.(spec);
          return script !== undefined && 'exitCode' in script && script.exitCode === 0 ? undefined : script;
        };
      }
      await create({ completions: 2, parallelism: 2, backoffLimit: 0, ttlSecondsAfterFinished: 5 });
      await cluster.until('the end', ended);
      const { status } = await job();
      const failed = status.conditions?.find(({ type }) => type === 'Failed');
      assert.deepEqual([failed?.status, failed?.reason], ['True', 'BackoffLimitExceeded']);
      assert.match(
        failed?.message ?? '',
        /backoff limit; pod \S+ failed last: container \w+ ended with exit code \d+$/,
      );
      assert.deepEqual([status.failed, status.active ?? 0], [2, 0]);
      await cluster.until('it is gone', async () => (await job()) === undefined && (await pods()).length === 0);
    });

    it('makes a Job each minute by schedule, although the loop dies, and keeps no more than it is told to', async () => {
      work(300, () => 0);
      await cluster.client.create('cronjobs', {
        metadata: { name: 'tidy', namespace: 'default' },
        spec: {
          schedule: '* * * * *',
          successfulJobsHistoryLimit: 2,
          jobTemplate: {
            spec: { template: { spec: { restartPolicy: 'Never', containers: [{ name: 'app', image: 'work:1' }] } } },
          },
        } as never,
      });
      const jobs = (): Promise<readonly Job[]> => cluster.list('jobs');
      const seen = new Set<string>();
      for (let second = 0; second < 280; second++) {
        if (second % 70 === 50) await cluster.restart('job-controller');
        await cluster.clock.advance(1_000);
        for (const { metadata } of await jobs()) seen.add(metadata.name);
      }
      await cluster.until('two are kept', async () => (await jobs()).filter(endOfJob).length === 2, 120_000);
      const minutes = [...seen].map((name) => Number(name.split('-')[1])).sort((a, b) => a - b);
      assert.ok(minutes.length >= 4 && minutes.length <= 7, minutes.join());
      assert.deepEqual(
        minutes,
        minutes.map((_, i) => (minutes[0] ?? 0) + i),
        'each minute once',
      );
      await cluster.client.delete('cronjobs', 'default/tidy', { propagationPolicy: 'Background' });
      const left = async (): Promise<number> => (await jobs()).length + (await pods()).length;
      await cluster.until('nothing is left', async () => (await left()) === 0);
    });

    it('stops while it is suspended and goes on after, and leaves nothing when it is deleted', async () => {
      await create({ parallelism: 2, completions: 2, suspend: true });
      await cluster.until('it says so', async () => isTrue((await job()).status, 'Suspended'));
      assert.equal((await pods()).length, 0);
      await cluster.client.patch('jobs', 'default/pi', { spec: { suspend: false } });
      await cluster.until('two run', async () => ((await job()).status.ready ?? 0) === 2);
      await cluster.client.patch('jobs', 'default/pi', { spec: { suspend: true } });
      await cluster.until('none runs', async () => (await pods()).length === 0);
      await cluster.until('none is counted', async () => (await job()).status.terminating === undefined);
      assert.deepEqual([(await job()).status.failed ?? 0, (await job()).status.active ?? 0], [0, 0]);
      await cluster.client.patch('jobs', 'default/pi', { spec: { suspend: false } });
      await cluster.until('two run again', async () => ((await job()).status.ready ?? 0) === 2);
      await cluster.client.delete('jobs', 'default/pi', { propagationPolicy: 'Background' });
      await cluster.until('nothing is left', async () => (await job()) === undefined && (await pods()).length === 0);
    });
  });
