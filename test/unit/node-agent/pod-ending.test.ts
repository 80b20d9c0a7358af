import assert from 'node:assert/strict';
import { conditionOf } from '../../../lib/api/pods.ts';
import type { EndOrder } from '../../../node-agent/eviction/pod-ending.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent: the node ends a pod of its own accord', () => {
  let node: AgentHarness;
  afterEach(() => node.stop());

  const order: EndOrder = {
    reason: 'Evicted',
    message: 'The node was low on resource: memory.',
    graceMs: 0,
    disruption: true,
  };

  it('stops the containers, then tells Failed with the reason, and leaves nothing on the machine', async () => {
    node = await AgentHarness.start({ stopDelayMs: 1_000 });
    const { metadata } = await node.createPod('web', { terminationGracePeriodSeconds: 30 });
    await node.untilRunning('web');
    assert.equal(node.agent.evict(metadata.uid, { ...order, graceMs: 5_000 }), true);
    assert.equal(node.agent.evict(metadata.uid, order), false, 'a second order changes nothing');

    const going = await node.untilPod('web', 'is told to be going', ({ status }) => status.reason === 'Evicted');
    assert.equal(going.status.phase, 'Running', 'its containers still run');
    assert.equal(conditionOf(going.status, 'Ready')?.status, 'False', 'but traffic goes elsewhere');

    const failed = await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed');
    assert.equal(failed.status.message, order.message);
    const { status, reason, message } = conditionOf(failed.status, 'DisruptionTarget') ?? {};
    assert.deepEqual(
      { status, reason, message },
      {
        status: 'True',
        reason: 'TerminationByKubelet',
        message: order.message,
      },
    );
    assert.equal(
      failed.status.containerStatuses?.[0]?.state?.terminated?.exitCode,
      143,
      'it had time to end by itself',
    );
    await node.until('nothing is left', async () => (await node.runtime.list()).length === 0);
    assert.ok(node.told.some((event) => event.reason === 'Evicted' && event.message === order.message));
    const settled = await node.pod('web');
    assert.equal(settled.status.containerStatuses?.[0]?.state?.terminated?.exitCode, 143, 'how it ended stays known');
    assert.equal(node.agent.evict(metadata.uid, order), false, 'what is over cannot be ended');
  });

  it('never gives more than the pod itself would have', async () => {
    node = await AgentHarness.start({ stopDelayMs: 60_000 });
    const { metadata } = await node.createPod('web', { terminationGracePeriodSeconds: 2 });
    await node.untilRunning('web');
    node.agent.evict(metadata.uid, { ...order, graceMs: 30_000 });
    const tookMs = await node.until('it is over', async () => (await node.pod('web')).status.phase === 'Failed');
    assert.ok(tookMs < 3_000, `took ${tookMs} ms`);
  });

  it('is no disruption where the pod itself is to blame', async () => {
    node = await AgentHarness.start();
    const { metadata } = await node.createPod('web');
    await node.untilRunning('web');
    node.agent.evict(metadata.uid, { ...order, disruption: false });
    const failed = await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed');
    assert.equal(conditionOf(failed.status, 'DisruptionTarget'), undefined);
  });

  it('goes on with it after a restart of the agent', async () => {
    node = await AgentHarness.start({ stopDelayMs: 20_000 });
    const { metadata } = await node.createPod('web', { terminationGracePeriodSeconds: 30 });
    await node.untilRunning('web');
    node.agent.evict(metadata.uid, { ...order, graceMs: 30_000 });
    await node.untilPod('web', 'is told to be going', ({ status }) => status.reason === 'Evicted');
    await node.restartAgent();
    const failed = await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed');
    assert.equal(failed.status.reason, 'Evicted');
    assert.equal(conditionOf(failed.status, 'DisruptionTarget')?.status, 'True');
    assert.equal(failed.status.containerStatuses?.[0]?.restartCount, 0);
  });

  it('ends a pod whose containers were not even started', async () => {
    node = await AgentHarness.start({ podCIDR: '' });
    const { metadata } = await node.createPod('web');
    await node.untilPod('web', 'is seen', ({ status }) => status.startTime !== undefined);
    assert.equal(node.agent.evict(metadata.uid, order), true);
    await node.untilPod('web', 'is over', ({ status }) => status.phase === 'Failed' && status.reason === 'Evicted');
  });
});
