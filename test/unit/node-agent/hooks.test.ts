import assert from 'node:assert/strict';
import type { ContainerStatus, LifecycleHandler } from '../../../lib/api/objects.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent/hooks', () => {
  let h: AgentHarness;
  beforeEach(async () => {
    h = await AgentHarness.start();
  });
  afterEach(() => h.stop());

  const withHook = (postStart: LifecycleHandler) => ({
    containers: [{ name: 'main', lifecycle: { postStart } }, { name: 'next' }],
  });
  const main = async (): Promise<ContainerStatus | undefined> => (await h.pod('web')).status.containerStatuses?.[0];
  const names = async (): Promise<readonly string[]> =>
    (await h.containers()).map(({ labels }) => labels['troupe.container'] ?? '').toSorted();
  const untilMainRuns = () =>
    h.until('the first container runs', async () => (await main())?.state?.running !== undefined);

  it('a container is not ready, and no new one starts behind it, until its post-start hook is through', async () => {
    await h.createPod('web', withHook({ sleep: { seconds: 5 } }));
    await untilMainRuns();
    await h.clock.advance(3_000);
    assert.deepEqual([(await main())?.started, (await main())?.ready], [false, false]);
    assert.equal((await h.containers()).filter(({ state }) => state === 'running').length, 1);
    await h.untilRunning('web');
    assert.deepEqual(await names(), ['main', 'next']);
  });

  it('a hook that an agent did not see through is run again by the next one', async () => {
    await h.createPod('web', withHook({ sleep: { seconds: 5 } }));
    await untilMainRuns();
    await h.clock.advance(3_000);
    await h.restartAgent();
    await h.clock.advance(3_000);
    assert.equal((await main())?.ready, false);
    await h.untilRunning('web');
    const began = h.clock.monotonic();
    await h.restartAgent();
    await h.untilRunning('web');
    assert.ok(h.clock.monotonic() - began < 2_000, 'one that is known to be through is not');
  });

  it('a hook that fails ends its container, which counts as a crash', async () => {
    h.health.set('main', { ok: false, message: 'cannot register' });
    await h.createPod('web', withHook({ exec: { command: ['register'] } }));
    await h.until('it is restarted', async () => ((await main())?.restartCount ?? 0) > 0);
    const told = h.told.find(({ reason }) => reason === 'FailedPostStartHook');
    assert.equal(told?.message, 'cannot register');
    await h.until('it backs off', async () => (await main())?.state?.waiting?.reason === 'CrashLoopBackOff');
    h.health.delete('main');
    await h.untilRunning('web');
  });

  it('a pod that is deleted meanwhile does not wait for the hook', async () => {
    await h.createPod('web', withHook({ sleep: { seconds: 25 } }));
    await untilMainRuns();
    await h.client.delete('pods', 'default/web');
    const tookMs = await h.until('it is gone', async () => (await h.get('pods', 'default/web')) === undefined);
    assert.ok(tookMs < 5_000, `${tookMs} ms`);
  });
});
