import assert from 'node:assert/strict';
import { image, type KubectlBed } from './bed.ts';

const indexed = JSON.stringify({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'squares' },
  spec: {
    completionMode: 'Indexed',
    completions: 3,
    parallelism: 2,
    template: {
      spec: {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'main',
            image,
            command: ['sh', '-c', 'echo $(hostname): $((JOB_COMPLETION_INDEX * JOB_COMPLETION_INDEX))'],
          },
        ],
      },
    },
  },
});

const failing = JSON.stringify({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'doomed' },
  spec: {
    podFailurePolicy: { rules: [{ action: 'FailJob', onExitCodes: { operator: 'In', values: [42] } }] },
    template: {
      spec: { restartPolicy: 'Never', containers: [{ name: 'main', image, command: ['sh', '-c', 'exit 42'] }] },
    },
  },
});

/** Work that ends, as kubectl's users start, follow and remove it. */
export function batchTopic(bed: KubectlBed): void {
  describe('batch', () => {
    const n = 'batch';
    before(() => bed.kubectl(`create namespace ${n}`));
    after(() => bed.kubectl(`delete namespace ${n} --timeout=60s`));

    it('makes a Job, waits for it, reads its log, and removes it with its pod', async () => {
      await bed.kubectl(`-n ${n} create job hello --image=${image} -- echo hello, world`);
      await bed.says(
        n,
        ['wait job/hello --for=condition=complete --timeout=60s', /condition met/],
        ['get job hello', /^NAME +STATUS +COMPLETIONS +DURATION +AGE\nhello +Complete +1\/1 +\d+s +\d+s\n$/],
        [
          'get jobs -o wide',
          new RegExp(`CONTAINERS +IMAGES +SELECTOR\nhello .* hello +${image} +batch.kubernetes.io/controller-uid=`),
        ],
        ['logs job/hello', /^hello, world\n$/],
      );
      await bed.comesToSay(n, [
        'describe job hello',
        // Events of one second come in any order.
        /Pods Statuses: +0 Active(?: \(0 Ready\))? \/ 1 Succeeded \/ 0 Failed(?=[\s\S]*SuccessfulCreate)[\s\S]*Completed/,
      ]);
      await bed.says(
        n,
        ['get all', /pod\/hello-\w+ +0\/1 +Completed[\s\S]*job.batch\/hello +Complete/],
        ['get jobs --field-selector=status.successful=1 -o name', /^job.batch\/hello\n$/],
        ['delete job hello', /job.batch "hello" deleted/],
        ['wait pods -l job-name=hello --for=delete --timeout=30s', /^$|condition met/],
      );
    });

    it('gives each pod of an indexed Job its number, in its environment and as its host name', async () => {
      await bed.kubectl(`-n ${n} apply -f -`, { input: indexed });
      await bed.says(
        n,
        ['wait job/squares --for=condition=Complete --timeout=60s', /condition met/],
        ['get job squares -o jsonpath={.status.completedIndexes}/{.status.succeeded}', /^0-2\/3$/],
      );
      const logs = await bed.kubectl(`-n ${n} logs -l batch.kubernetes.io/job-name=squares`);
      assert.deepEqual(logs.trim().split('\n').sort(), ['squares-0: 0', 'squares-1: 1', 'squares-2: 4']);
      await bed.kubectl(`-n ${n} delete job squares`);
    });

    it('makes a CronJob, starts it by hand, and removes it with what it made', async () => {
      await bed.kubectl(
        ['-n', n, 'create', 'cronjob', 'tidy', `--image=${image}`, '--schedule=0 3 1 1 *'].concat('--', 'echo', 'tidy'),
      );
      await bed.says(
        n,
        [
          'get cronjobs',
          /^NAME +SCHEDULE +TIMEZONE +SUSPEND +ACTIVE +LAST SCHEDULE +AGE\ntidy +0 3 1 1 \* +<none> +False +0 +<none> +\d+s\n$/,
        ],
        ['create job by-hand --from=cronjob/tidy', /job.batch\/by-hand created/],
        ['wait job/by-hand --for=condition=complete --timeout=60s', /condition met/],
        ['logs job/by-hand', /^tidy\n$/],
        ['describe cronjob tidy', /Schedule: +0 3 1 1 \*[\s\S]*Concurrency Policy: +Allow/],
        ['wait cj/tidy --for=jsonpath={.status.lastSuccessfulTime} --timeout=30s', /condition met/],
        ['delete cronjob tidy', /deleted/],
        ['wait job/by-hand --for=delete --timeout=30s', /^$|condition met/],
      );
      const wrong = ['-n', n, 'create', 'cronjob', 'never', `--image=${image}`, '--schedule=61 * * * *'];
      assert.match(await bed.refused(wrong), /spec.schedule.*minute: "61" is not from 0 to 59/);
    });

    it('says why a Job failed', async () => {
      await bed.kubectl(`-n ${n} apply -f -`, { input: failing });
      await bed.says(
        n,
        ['wait job/doomed --for=condition=failed --timeout=60s', /condition met/],
        ['get job doomed --no-headers', /^doomed +Failed +0\/1 /],
        [
          ['get', 'job', 'doomed', '-o', 'jsonpath={.status.conditions[?(@.type=="Failed")].message}'],
          /^Container main for pod batch\/doomed-\w+ failed with exit code 42 matching FailJob rule at index 0$/,
        ],
      );
      await bed.kubectl(`-n ${n} delete job doomed --cascade=foreground`);
    });
  });
}
