import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/until.ts';
import { image, type KubectlBed } from './bed.ts';

const deployment = (name: string, container: object, volumes: readonly object[] = []): object => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 0, volumes, containers: [{ name: 'main', image, ...container }] },
    },
  },
});

/** Sends requests one after the other until told to stop. */
function load(host: string): { stop(): Promise<number> } {
  let [stopped, answered] = [false, 0];
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const call = request({ host, port: 80, agent: false, timeout: 5_000 }, (response) => {
        response.resume();
        response.once('close', () => {
          answered++;
          resolve();
        });
      });
      call.once('timeout', () => call.destroy());
      call.once('error', () => resolve());
      call.end();
    });
  const run = (async () => {
    while (!stopped) {
      await one();
      await delay(20);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await run;
      return answered;
    },
  };
}

/** A page of a web server, by a connection of its own. */
const page = (host: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const call = request({ host, port: 80, path: '/passwd', agent: false, timeout: 130_000 }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      response.once('end', () => resolve(text)).once('error', reject);
    });
    call.once('timeout', () => call.destroy(new Error('no answer in time')));
    call.once('error', reject);
    call.end();
  });

/** Real load on real containers: the count follows up and down. */
export function autoscalingTopic(bed: KubectlBed): void {
  describe('autoscales', () => {
    const n = 'autoscaling';
    const folder = mkdtempSync(join(tmpdir(), 'troupe-autoscaling-'));
    const replicas = async (name: string): Promise<number> =>
      Number(await bed.kubectl(['-n', n, 'get', 'deploy', name, '-o', 'jsonpath={.spec.replicas}']));
    const reaches = (name: string, wanted: number): Promise<unknown> =>
      until(async () => (await replicas(name)) === wanted, {
        what: `deploy/${name} at ${wanted}`,
        timeoutMs: 60_000,
        everyMs: 300,
      });
    const patch = JSON.stringify({ spec: { behavior: { scaleDown: { stabilizationWindowSeconds: 3 } } } });

    before(async () => {
      await bed.kubectl(`create namespace ${n}`);
      const busy = deployment(
        'busy',
        {
          command: ['sh', '-c', 'trap exit TERM; while :; do if [ -e /load/on ]; then :; else sleep 1; fi; done'],
          resources: { requests: { cpu: '100m' }, limits: { cpu: '200m' } },
          volumeMounts: [{ name: 'load', mountPath: '/load' }],
        },
        [{ name: 'load', hostPath: { path: folder } }],
      );
      const web = deployment('web', {
        command: ['httpd', '-f', '-p', '80', '-h', '/etc'],
        readinessProbe: { httpGet: { path: '/passwd', port: 80 }, periodSeconds: 1 },
      });
      const service = {
        ...{ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web' } },
        spec: { selector: { app: 'web' }, ports: [{ port: 80, appProtocol: 'http' }] },
      };
      const input = [busy, web, service].map((object) => JSON.stringify(object)).join('\n---\n');
      await bed.kubectl(`-n ${n} apply -f -`, { input });
      await bed.kubectl(`-n ${n} rollout status deploy/busy --timeout=60s`);
      await bed.kubectl(`-n ${n} rollout status deploy/web --timeout=60s`);
    });
    after(async () => {
      await bed.kubectl(`delete namespace ${n} --timeout=60s`);
      rmSync(folder, { recursive: true, force: true });
    });

    it('wakes a Service at zero by its first connection, which is answered, and lets it sleep again', async () => {
      const asleep = {
        ...deployment('asleep', { command: ['httpd', '-f', '-p', '80', '-h', '/etc'] }),
      } as { spec: { replicas?: number } };
      asleep.spec.replicas = 0;
      const service = {
        ...{ apiVersion: 'v1', kind: 'Service' },
        metadata: { name: 'asleep', annotations: { 'troupe.dev/hold-seconds': '120' } },
        spec: { selector: { app: 'asleep' }, ports: [{ port: 80 }] },
      };
      const autoscaler = {
        ...{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'asleep' } },
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'asleep' },
          ...{ minReplicas: 0, maxReplicas: 2 },
          behavior: { scaleDown: { stabilizationWindowSeconds: 2 } },
          metrics: [
            {
              type: 'Object',
              object: {
                describedObject: { apiVersion: 'v1', kind: 'Service', name: 'asleep' },
                metric: { name: 'connections-per-second' },
                target: { type: 'AverageValue', averageValue: '50' },
              },
            },
          ],
        },
      };
      const input = [asleep, service, autoscaler].map((object) => JSON.stringify(object)).join('\n---\n');
      await bed.kubectl(`-n ${n} apply -f -`, { input });
      const host = await bed.kubectl(`-n ${n} get service asleep -o jsonpath={.spec.clusterIP}`);
      // Its proxy knows the Service: what it does not know yet is refused.
      const first = await until(
        async () => {
          const startMs = performance.now();
          const text = await page(host).catch((error: NodeJS.ErrnoException) => {
            if (error.code === 'ECONNREFUSED') return undefined;
            throw error;
          });
          return text === undefined ? undefined : { text, ms: performance.now() - startMs };
        },
        { what: 'the Service is known', timeoutMs: 60_000 },
      );
      assert.match(first.text, /^root:/);
      process.stdout.write(`      first answer of a Service at zero: ${Math.round(first.ms)} ms\n`);
      await bed.comesToSay(n, [
        'describe hpa asleep',
        new RegExp(`SuccessfulRescale +.*New size: 1; reason: a connection waits for Service ${n}/asleep`),
      ]);
      await reaches('asleep', 0);
      assert.match(await page(host), /^root:/);
      await bed.kubectl(`-n ${n} delete hpa/asleep service/asleep deploy/asleep`);
    });

    it('makes autoscalers, shows them in both versions, and changes them', async () => {
      const requests = {
        type: 'Object',
        object: {
          describedObject: { apiVersion: 'v1', kind: 'Service', name: 'web' },
          metric: { name: 'requests-per-second' },
          target: { type: 'AverageValue', averageValue: '2' },
        },
      };
      const web = {
        ...{ apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'web' } },
        spec: {
          scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' },
          ...{ maxReplicas: 3, metrics: [requests] },
        },
      };
      await bed.kubectl(`-n ${n} apply -f -`, { input: JSON.stringify(web) });
      await bed.says(
        n,
        ['autoscale deployment busy --min=1 --max=3 --cpu-percent=30', /busy autoscaled/],
        [
          'get hpa busy',
          /^NAME +REFERENCE +TARGETS +MINPODS +MAXPODS +REPLICAS +AGE\nbusy +Deployment\/busy +cpu: \S+\/30% +1 +3 /,
        ],
        [
          'get horizontalpodautoscalers.v1.autoscaling busy -o jsonpath={.apiVersion}/{.spec.targetCPUUtilizationPercentage}',
          /^autoscaling\/v1\/30$/,
        ],
        [['patch', 'hpa', 'busy', '--type=merge', '-p', patch], /patched/],
        [['patch', 'hpa', 'web', '-p', patch], /patched/],
        ['get all', /horizontalpodautoscaler\.autoscaling\/busy /],
        ['explain hpa.spec.behavior.scaleUp', /How fast to go in one direction/],
        [
          'describe hpa busy',
          /Reference: +Deployment\/busy[\s\S]*resource cpu on pods[\s\S]*Min replicas: +1\s+Max replicas: +3/,
        ],
      );
      const wrong = JSON.stringify({ spec: { minReplicas: 5 } });
      const refused = await bed.refused(['-n', n, 'patch', 'hpa', 'busy', '-p', wrong]);
      assert.match(refused, /spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`/);
    });

    it('goes up with the load, by cpu and by requests, and down when it is over', async () => {
      const address = await bed.kubectl(`-n ${n} get service web -o jsonpath={.spec.clusterIP}`);
      await until(
        async () => /\/30%$/.test((await bed.kubectl(`-n ${n} get hpa busy --no-headers`)).split(/ {2,}/)[2] ?? ''),
        { what: 'a figure', timeoutMs: 60_000, everyMs: 300 },
      );
      writeFileSync(join(folder, 'on'), '');
      const requests = load(address);
      try {
        await Promise.all([reaches('busy', 3), reaches('web', 3)]);
        await bed.comesToSay(
          n,
          ['get hpa web', /Deployment\/web +\S+\/2 +1 +3 +/],
          [
            'describe hpa web',
            /SuccessfulRescale +.*New size: [23]; reason: requests-per-second of Service web above target/,
          ],
          ['describe hpa busy', /ScalingActive +True +ValidMetricFound[\s\S]*SuccessfulRescale/],
        );
      } finally {
        rmSync(join(folder, 'on'), { force: true });
        assert.ok((await requests.stop()) > 0, 'requests are answered');
      }
      await Promise.all([reaches('busy', 1), reaches('web', 1)]);
    });
  });
}
