import assert from 'node:assert/strict';
import { isIdleWarm, podContainerOf } from '../../../node-agent/labels.ts';
import { AddressPool } from '../../../node-agent/network/address-pool.ts';
import type { RuntimeContainer } from '../../../node-agent/runtime/runtime.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent: sandboxes made in advance', () => {
  let h: AgentHarness;
  afterEach(() => h.stop());

  const start = async (warm: number): Promise<void> => {
    h = await AgentHarness.start({ before: (made) => (made.warmSandboxes = warm) });
    await h.until('the pool is full', () => h.agent.warmCount === warm);
  };
  const idle = async (): Promise<readonly RuntimeContainer[]> => (await h.runtime.list()).filter(isIdleWarm);
  const sandboxOf = async (pod: string) =>
    (await h.runtime.list()).map(podContainerOf).find((c) => c?.kind === 'sandbox' && c.podName === pod);

  it('keeps so many, with an address each, and none for a pod', async () => {
    await start(3);
    const found = await idle();
    assert.equal(found.length, 3);
    assert.equal(new Set(found.map(({ labels }) => labels['troupe.ip'])).size, 3);
    assert.equal(h.agent.podCount, 0);
    assert.equal(h.network.attached.size, 3);
  });

  it('gives one to a pod, under its name and with its address, and makes another', async () => {
    await start(1);
    const [before] = await idle();
    await h.createPod('web', { hostname: 'www' });
    const pod = await h.untilRunning('web');
    const sandbox = await sandboxOf('web');
    assert.equal(sandbox?.is.id, before?.id);
    assert.equal(sandbox?.is.name, `troupe_SANDBOX_web_default_${pod.metadata.uid}_0`);
    assert.equal(pod.status.podIP, before?.labels['troupe.ip']);
    const spec = h.runtime.specOf((await h.running('main')).id);
    assert.equal(spec?.lateHostname, true);
    assert.ok(spec.env.includes('HOSTNAME=www'));
    await h.until('there is another', () => h.agent.warmCount === 1);
    assert.notEqual((await idle())[0]?.id, before?.id);
  });

  it('leaves it the pod over a restart of the agent, for its restarts too, and takes it away with the pod', async () => {
    await start(1);
    await h.createPod('web');
    const before = await h.untilRunning('web');
    await h.restartAgent();
    assert.deepEqual((await h.untilRunning('web')).status, before.status);
    h.runtime.crash((await h.running('main')).id);
    await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
    assert.equal(h.runtime.specOf((await h.running('main')).id)?.lateHostname, true);
    await h.client.delete('pods', 'default/web', { gracePeriodSeconds: 0 });
    await h.until('it is gone', async () => (await sandboxOf('web')) === undefined);
    await h.until('the pool is full', () => h.agent.warmCount === 1);
    assert.equal(h.network.attached.size, 1);
  });

  const special = {
    'on the host network': { hostNetwork: true },
    'in the IPC namespace of the host': { hostIPC: true },
    'with a file of its own at /etc/hostname': {
      volumes: [{ name: 'v', emptyDir: {} }],
      containers: [{ name: 'main', volumeMounts: [{ name: 'v', mountPath: '/etc/hostname' }] }],
    },
  };
  for (const [what, spec] of Object.entries(special)) {
    it(`makes one anew for a pod ${what}`, async () => {
      await start(1);
      const [before] = await idle();
      await h.createPod('web', spec);
      await h.untilRunning('web');
      assert.equal((await idle())[0]?.id, before?.id);
      assert.equal((await sandboxOf('web'))?.warm, undefined);
    });
  }

  it('opens host ports also into a pod that took one', async () => {
    await start(1);
    await h.createPod('web', { containers: [{ name: 'main', ports: [{ containerPort: 80, hostPort: 8080 }] }] });
    const { metadata, status } = await h.untilRunning('web');
    const attached = h.network.attached.get(metadata.uid);
    assert.equal(attached?.ip, status.podIP);
    assert.equal(attached?.hostPorts[0]?.port, 8080);
  });

  it('replaces one that dies, and lets go of its address', async () => {
    await start(2);
    const [first, second] = await idle();
    h.runtime.crash(first?.id ?? '');
    await h.until('it is replaced', async () =>
      (await idle()).every(({ id, state }) => id !== first?.id && state === 'running'),
    );
    await h.until('the pool is full', () => h.agent.warmCount === 2);
    assert.ok((await idle()).some(({ id }) => id === second?.id));
    assert.equal(h.network.attached.size, 2);
  });

  it('takes over what an earlier agent left, and ends what is too many', async () => {
    await start(3);
    const before = (await idle()).map(({ id }) => id);
    h.warmSandboxes = 2;
    await h.restartAgent();
    await h.until('the pool is full', () => h.agent.warmCount === 2);
    const left = (await idle()).map(({ id }) => id);
    assert.equal(left.length, 2);
    assert.ok(left.every((id) => before.includes(id)));
    h.warmSandboxes = 0;
    await h.restartAgent();
    assert.deepEqual(await idle(), []);
  });

  it('makes none while there is work for pods', async () => {
    h = await AgentHarness.start({ before: (made) => (made.warmSandboxes = 1) });
    await h.until('the pool is full', () => h.agent.warmCount === 1);
    const created: string[] = [];
    h.runtime.onStart = ({ name }) => void created.push(name.split('_')[1] ?? '');
    await Promise.all(['a', 'b', 'c'].map((name) => h.createPod(name)));
    await Promise.all(['a', 'b', 'c'].map((name) => h.untilRunning(name)));
    await h.until('the pool is full', () => h.agent.warmCount === 1);
    assert.equal(created.at(-1), 'WARM');
    assert.equal(created.filter((kind) => kind === 'WARM').length, 1);
  });
});

describe('node-agent/address-pool: changing hands', () => {
  it('an address goes to another owner without being free in between', () => {
    const pool = new AddressPool('10.0.0.0/29');
    const ip = pool.take('warm');
    pool.hand('warm', 'pod');
    assert.equal(pool.held('warm'), undefined);
    assert.equal(pool.held('pod'), ip);
    assert.equal(pool.take('pod'), ip);
    pool.hand('nobody', 'pod');
    assert.equal(pool.held('pod'), ip);
    for (const owner of ['a', 'b', 'c', 'd']) assert.notEqual(pool.take(owner), ip);
    assert.throws(() => pool.take('e'), /in use/);
  });
});
