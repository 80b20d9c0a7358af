import assert from 'node:assert/strict';
import { isReady } from '../../../lib/api/pods.ts';
import { AgentHarness } from './harness.ts';

const hour = 3_600_000;

/** The wall clock is set by people and by time services: what runs, waits or is ready stays so. */
describe('node-agent: jumps of the wall clock', () => {
  let h: AgentHarness;
  afterEach(() => h.stop());

  for (const [direction, ms] of [
    ['forward', hour],
    ['back', -hour],
  ] as const) {
    it(`${direction}: restarts nothing and takes no readiness back, over a restart of the agent too`, async () => {
      h = await AgentHarness.start();
      const probe = { tcpSocket: { port: 80 }, periodSeconds: 2 };
      const containers = [
        { name: 'main', readinessProbe: probe, livenessProbe: { ...probe, initialDelaySeconds: 600 } },
      ];
      const initContainers = [{ name: 'init' }];
      h.runtime.onStart = ({ name }) => (name.includes('_init_') ? { exitCode: 0, afterMs: 50 } : undefined);
      await h.createPod('web', { containers, initContainers });
      const before = await h.untilRunning('web');
      const id = (await h.running('main')).id;
      h.clock.jump(ms);
      await h.clock.advance(30_000);
      assert.deepEqual((await h.pod('web')).status, before.status);
      await h.restartAgent();
      await h.clock.advance(30_000);
      assert.equal((await h.running('main')).id, id);
      assert.ok(isReady(await h.pod('web')));
    });

    it(`${direction}, between the sandbox and its init containers: each runs once`, async () => {
      h = await AgentHarness.start();
      const started: string[] = [];
      h.runtime.onStart = ({ name }) => {
        started.push(name.split('_')[1] ?? '');
        if (name.includes('SANDBOX')) h.clock.jump(ms);
        return name.includes('_init_') ? { exitCode: 0, afterMs: 50 } : undefined;
      };
      await h.createPod('web', { initContainers: [{ name: 'init' }] });
      await h.untilRunning('web');
      await h.clock.advance(30_000);
      assert.deepEqual(started, ['SANDBOX', 'init', 'main']);
    });

    it(`${direction}: a restart waits as long as it was going to`, async () => {
      h = await AgentHarness.start();
      await h.createPod('web');
      await h.untilRunning('web');
      h.runtime.crash((await h.running('main')).id, 1);
      await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
      h.runtime.crash((await h.running('main')).id, 1);
      await h.clock.advance(2_000);
      h.clock.jump(ms);
      const restarted = async (): Promise<boolean> =>
        (await h.pod('web')).status.containerStatuses?.[0]?.restartCount === 2;
      const tookMs = await h.until('it runs again', restarted);
      assert.ok(tookMs > 7_000 && tookMs < 9_000, `${tookMs} ms`);
    });

    it(`${direction}: a probe begins after its delay, and a grace lasts as long as it is`, async () => {
      h = await AgentHarness.start({ stopDelayMs: 60_000 });
      const readinessProbe = { tcpSocket: { port: 80 }, initialDelaySeconds: 20 };
      await h.createPod('web', { containers: [{ name: 'main', readinessProbe }], terminationGracePeriodSeconds: 8 });
      await h.until('it runs', async () => (await h.containers()).some(({ state }) => state === 'running'));
      h.clock.jump(ms);
      const readyMs = await h.until('it is ready', async () => isReady(await h.pod('web')));
      assert.ok(readyMs > 19_000 && readyMs < 21_500, `${readyMs} ms`);
      await h.client.delete('pods', 'default/web');
      await h.clock.advance(100);
      h.clock.jump(ms);
      const goneMs = await h.until('it is gone', async () => (await h.get('pods', 'default/web')) === undefined);
      assert.ok(goneMs > 7_500 && goneMs < 9_500, `${goneMs} ms`);
    });

    it(`${direction}: a pod's time is up when it is, not earlier, not later`, async () => {
      h = await AgentHarness.start();
      await h.createPod('job', { activeDeadlineSeconds: 100 });
      await h.untilRunning('job');
      h.clock.jump(ms);
      const tookMs = await h.until('it failed', async () => (await h.pod('job')).status.phase === 'Failed', 200_000);
      assert.ok(tookMs > 98_000 && tookMs < 101_000, `${tookMs} ms`);
      assert.equal((await h.pod('job')).status.reason, 'DeadlineExceeded');
    });
  }
});
