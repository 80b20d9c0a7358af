import assert from 'node:assert/strict';
import { rfc3339 } from '../../../lib/base/clock.ts';
import { openStream } from '../../../lib/bus/streams/open.ts';
import { RuntimeError } from '../../../node-agent/runtime/runtime.ts';
import { AgentHarness } from './harness.ts';

describe('node-agent: pods from start to end', () => {
  let h: AgentHarness;
  afterEach(() => h.stop());

  const waitingReason = (pod: Awaited<ReturnType<AgentHarness['pod']>>): string | undefined =>
    pod.status.containerStatuses?.[0]?.state?.waiting?.reason;

  it('runs a pod and tells all of it', async () => {
    h = await AgentHarness.start();
    await h.createPod('web', { containers: [{ name: 'a' }, { name: 'b' }] });
    const pod = await h.untilRunning('web');
    const { status } = pod;
    assert.equal(status.phase, 'Running');
    assert.equal(status.podIP, '10.244.1.2');
    assert.deepEqual(status.podIPs, [{ ip: '10.244.1.2' }]);
    assert.equal(status.hostIP, '192.0.2.10');
    assert.equal(status.qosClass, 'BestEffort');
    assert.ok(status.startTime);
    assert.deepEqual(
      status.containerStatuses?.map((c) => [c.name, c.ready, c.started, c.restartCount, c.image]),
      [
        ['a', true, true, 0, 'example/web:1'],
        ['b', true, true, 0, 'example/web:1'],
      ],
    );
    assert.match(status.containerStatuses?.[0]?.containerID ?? '', /^docker:\/\/[0-9a-f]{64}$/);
    assert.deepEqual(Object.fromEntries((status.conditions ?? []).map((c) => [c.type, c.status])), {
      PodScheduled: 'True',
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      ContainersReady: 'True',
      Ready: 'True',
    });
    assert.deepEqual(h.reasons(), ['Pulled', 'Created', 'Started', 'Pulled', 'Created', 'Started']);
    const [first] = await h.containers();
    assert.equal(first?.name, `troupe_a_web_default_${pod.metadata.uid}_0`);
  });

  it('writes a status once and then rests', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    const { metadata } = await h.untilRunning('web');
    await h.clock.advance(120_000);
    assert.equal((await h.pod('web')).metadata.resourceVersion, metadata.resourceVersion);
  });

  it('waits for the node to have a range of addresses, and says so', async () => {
    h = await AgentHarness.start({ podCIDR: '' });
    await h.createPod('web');
    await h.untilPod('web', 'says why', (pod) =>
      /no range of pod addresses/.test(pod.status.containerStatuses?.[0]?.state?.waiting?.message ?? ''),
    );
    await h.assignRange('10.244.7.0/24');
    assert.equal((await h.untilRunning('web')).status.podIP, '10.244.7.2');
  });

  it('restarts a crashed container at once in place, then with growing pauses', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    const before = await h.untilRunning('web');
    h.runtime.crash((await h.running('main')).id, 1);
    const once = await h.untilPod(
      'web',
      'was restarted',
      (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1,
      1_000,
    );
    assert.equal(once.metadata.uid, before.metadata.uid);
    assert.equal(once.status.podIP, before.status.podIP);
    assert.equal(once.status.containerStatuses?.[0]?.lastState?.terminated?.exitCode, 1);
    assert.equal(once.status.containerStatuses[0].lastState.terminated.reason, 'Error');

    h.runtime.crash((await h.running('main')).id, 1);
    const waiting = await h.untilPod('web', 'backs off', (pod) => waitingReason(pod) === 'CrashLoopBackOff', 1_000);
    assert.match(waiting.status.containerStatuses?.[0]?.state?.waiting?.message ?? '', /back-off 10s/);
    assert.equal(waiting.status.phase, 'Running');
    assert.ok(h.reasons().includes('BackOff'));
    const tookMs = await h.until(
      'it runs again',
      async () => (await h.pod('web')).status.containerStatuses?.[0]?.restartCount === 2,
    );
    assert.ok(tookMs > 9_000 && tookMs < 11_000, `${tookMs} ms`);
    await h.until('only the last two attempts are kept', async () => (await h.containers()).length === 2, 2_000);
  });

  it('keeps host ports of running pods over a restart of the agent', async () => {
    h = await AgentHarness.start();
    await h.createPod('web', { containers: [{ name: 'main', ports: [{ containerPort: 80, hostPort: 8080 }] }] });
    const pod = await h.untilRunning('web');
    await h.restartAgent();
    assert.deepEqual(
      [...h.network.adoptedPorts].map(([ip, ports]) => [ip, ports.map((port) => [port.port, port.containerPort])]),
      [[pod.status.podIP, [[8080, 80]]]],
    );
  });

  it('goes on with the back-off after a restart of the agent', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    h.runtime.crash((await h.running('main')).id, 1);
    await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
    h.runtime.crash((await h.running('main')).id, 1);
    await h.untilPod('web', 'backs off', (pod) => waitingReason(pod) === 'CrashLoopBackOff');
    await h.restartAgent();
    await h.clock.advance(5_000);
    assert.equal(waitingReason(await h.pod('web')), 'CrashLoopBackOff');
    await h.untilPod('web', 'runs again', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 2, 6_000);
  });

  const endings = [
    { policy: 'Never', exitCode: 0, phase: 'Succeeded' },
    { policy: 'Never', exitCode: 3, phase: 'Failed' },
    { policy: 'OnFailure', exitCode: 0, phase: 'Succeeded' },
  ] as const;
  for (const { policy, exitCode, phase } of endings) {
    it(`ends ${phase} with restartPolicy ${policy} and exit code ${exitCode}, and gives its address back`, async () => {
      h = await AgentHarness.start();
      await h.createPod('once', { restartPolicy: policy });
      await h.untilRunning('once');
      h.runtime.crash((await h.running('main')).id, exitCode);
      const pod = await h.untilPod('once', 'ended', (p) => p.status.phase === phase);
      assert.equal(pod.status.containerStatuses?.[0]?.state?.terminated?.exitCode, exitCode);
      assert.equal(pod.status.containerStatuses[0].state.terminated.reason, exitCode === 0 ? 'Completed' : 'Error');
      await h.until('the sandbox is gone', async () => (await h.containers('sandbox')).length === 0);
      assert.equal((await h.containers()).length, 1, 'what it printed can still be read');
      assert.equal(h.network.attached.size, 0);
      await h.clock.advance(60_000);
      assert.equal((await h.pod('once')).status.phase, phase);
    });
  }

  it('says OOMKilled of a container that used too much memory', async () => {
    h = await AgentHarness.start();
    await h.createPod('big', { restartPolicy: 'Never' });
    await h.untilRunning('big');
    h.runtime.crash((await h.running('main')).id, 137, { oom: true });
    const pod = await h.untilPod('big', 'failed', (p) => p.status.phase === 'Failed');
    assert.deepEqual(
      [
        pod.status.containerStatuses?.[0]?.state?.terminated?.reason,
        pod.status.containerStatuses?.[0]?.state?.terminated?.signal,
      ],
      ['OOMKilled', 9],
    );
  });

  it('ends a deleted pod and leaves nothing', async () => {
    h = await AgentHarness.start({ stopDelayMs: 500 });
    await h.createPod('web');
    await h.untilRunning('web');
    await h.client.delete('pods', 'default/web');
    assert.ok((await h.pod('web')).metadata.deletionTimestamp);
    await h.until('the API forgot it', async () => (await h.get('pods', 'default/web')) === undefined, 2_000);
    assert.deepEqual(await h.runtime.list(), []);
    assert.equal(h.network.attached.size, 0);
    assert.equal(h.agent.podCount, 0);
    assert.ok(h.reasons().includes('Killing'));
  });

  it('kills what does not end within the grace, also when the grace becomes shorter', async () => {
    h = await AgentHarness.start({ stopDelayMs: 3_600_000 });
    await h.createPod('slow', { terminationGracePeriodSeconds: 600 });
    await h.untilRunning('slow');
    await h.client.delete('pods', 'default/slow');
    await h.clock.advance(5_000);
    assert.ok(await h.get('pods', 'default/slow'));
    await h.client.delete('pods', 'default/slow', { gracePeriodSeconds: 6 });
    await h.until('it is gone', async () => (await h.get('pods', 'default/slow')) === undefined, 3_000);
    assert.deepEqual(await h.runtime.list(), []);
  });

  it('ends a pod that was removed by force, and starts its namesake beside it', async () => {
    h = await AgentHarness.start({ stopDelayMs: 300 });
    const first = await h.createPod('web');
    await h.untilRunning('web');
    await h.client.delete('pods', 'default/web', { gracePeriodSeconds: 0 });
    const second = await h.createPod('web');
    assert.notEqual(second.metadata.uid, first.metadata.uid);
    await h.untilRunning('web');
    await h.until('the first is gone', async () =>
      (await h.runtime.list()).every((c) => c.labels['troupe.pod.uid'] === second.metadata.uid),
    );
  });

  it('takes over what runs after its own restart without touching it or flipping readiness', async () => {
    h = await AgentHarness.start();
    h.health.set('main', { ok: true, message: '' });
    await h.createPod('web', { containers: [{ name: 'main', readinessProbe: { tcpSocket: { port: 80 } } }] });
    const before = await h.untilRunning('web');
    const [container] = await h.containers();
    const calls = new Map(h.runtime.calls);
    await h.restartAgent();
    await h.clock.advance(30_000);
    const after = await h.pod('web');
    assert.deepEqual(after.status, before.status);
    assert.deepEqual((await h.containers())[0], container);
    for (const verb of ['create', 'start', 'stop', 'kill', 'remove'])
      assert.equal(h.runtime.calls.get(verb), calls.get(verb), verb);
    assert.equal(h.network.reserve(before.metadata.uid), before.status.podIP);
  });

  it('ends after its own restart what the API does not know any more', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    await h.restartAgent(async () => {
      await h.client.delete('pods', 'default/web', { gracePeriodSeconds: 0 });
    });
    await h.until('nothing runs', async () => (await h.runtime.list()).length === 0);
    assert.equal(h.agent.podCount, 0);
  });

  it('restarts what crashes while the API is away, and tells later', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    h.client.down = true;
    h.runtime.crash((await h.running('main')).id, 1);
    await h.until(
      'it runs again',
      async () => (await h.containers()).some((c) => c.state === 'running' && c.labels['troupe.attempt'] === '1'),
      1_000,
    );
    h.client.down = false;
    await h.untilPod('web', 'is told', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
  });

  it('goes on when the engine was away', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    const { id } = await h.running('main');
    h.runtime.setAvailable(false);
    h.runtime.crash(id, 1);
    await h.createPod('late');
    await h.clock.advance(5_000);
    h.runtime.setAvailable(true);
    await h.untilRunning('late');
    await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
  });

  it('pulls an image with back-off, and tells in what people search for', async () => {
    h = await AgentHarness.start({ images: [] });
    h.runtime.failPulls('example/web:1', new RuntimeError('ImageNotFound', 'manifest unknown'));
    await h.createPod('web');
    const failed = await h.untilPod('web', 'failed to pull', (pod) => waitingReason(pod) === 'ErrImagePull');
    assert.match(
      failed.status.containerStatuses?.[0]?.state?.waiting?.message ?? '',
      /example\/web:1.*manifest unknown/,
    );
    assert.equal(failed.status.phase, 'Pending');
    await h.untilPod('web', 'waits', (pod) => waitingReason(pod) === 'ImagePullBackOff', 3_000);
    assert.equal(h.runtime.calls.get('pull'), 1);
    await h.clock.advance(10_000);
    assert.equal(h.runtime.calls.get('pull'), 2);
    h.runtime.failPulls('example/web:1', undefined);
    await h.until('it runs', async () => (await h.pod('web')).status.phase === 'Running', 25_000);
    assert.equal(h.runtime.calls.get('pull'), 3);
    for (const reason of ['Pulling', 'Failed', 'BackOff', 'Pulled']) assert.ok(h.reasons().includes(reason), reason);
  });

  it('never pulls where the policy says so', async () => {
    h = await AgentHarness.start({ images: [] });
    await h.createPod('web', { containers: [{ name: 'main', imagePullPolicy: 'Never' }] });
    await h.untilPod('web', 'says so', (pod) => waitingReason(pod) === 'ErrImageNeverPull');
    assert.equal(h.runtime.calls.get('pull'), undefined);
  });

  it('counts a container that cannot be started as crashed', async () => {
    h = await AgentHarness.start();
    h.runtime.onStart = (spec) => (spec.sandboxId === undefined ? undefined : { error: 'exec: "nothing": not found' });
    await h.createPod('web');
    const pod = await h.untilPod('web', 'backs off', (p) => waitingReason(p) === 'CrashLoopBackOff');
    const last = pod.status.containerStatuses?.[0]?.lastState?.terminated;
    assert.equal(last?.reason, 'ContainerCannotRun');
    assert.match(last.message ?? '', /not found/);
  });

  it('restarts what fails its liveness probe', async () => {
    h = await AgentHarness.start();
    const probe = { httpGet: { path: '/', port: 80 }, periodSeconds: 2, failureThreshold: 2 };
    await h.createPod('web', { containers: [{ name: 'main', livenessProbe: probe }] });
    await h.untilRunning('web');
    h.health.set('main', { ok: false, message: 'HTTP 500' });
    await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1, 10_000);
    const reasons = h.reasons();
    assert.ok(reasons.filter((reason) => reason === 'Unhealthy').length >= 2);
    assert.ok(h.told.some((event) => event.reason === 'Killing' && /liveness/.test(event.message)));
  });

  it('is ready as soon as the readiness probe says so, and not when it does not', async () => {
    h = await AgentHarness.start();
    h.health.set('main', { ok: false, message: 'not yet' });
    await h.createPod('web', {
      containers: [{ name: 'main', readinessProbe: { httpGet: { path: '/', port: 80 }, periodSeconds: 10 } }],
    });
    await h.untilPod('web', 'runs', (pod) => pod.status.phase === 'Running');
    await h.clock.advance(1_000);
    const ready = async (): Promise<string | undefined> =>
      (await h.pod('web')).status.conditions?.find((c) => c.type === 'Ready')?.status;
    assert.equal(await ready(), 'False');
    assert.equal(h.reasons().filter((reason) => reason === 'Unhealthy').length, 0, 'starting up is no failure');
    h.health.set('main', { ok: true, message: '' });
    const tookMs = await h.until('it is ready', async () => (await ready()) === 'True');
    assert.ok(tookMs <= 200, `${tookMs} ms`);
    h.health.set('main', { ok: false, message: 'busy' });
    await h.until('it is not ready', async () => (await ready()) === 'False', 31_000);
    assert.equal((await h.pod('web')).status.containerStatuses?.[0]?.restartCount, 0, 'alive all the same (F79)');
  });

  it('starts the pod anew when its sandbox dies', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    const [sandbox] = await h.containers('sandbox');
    h.runtime.crash(sandbox?.id ?? '');
    await h.untilPod('web', 'was restarted', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1);
    await h.untilRunning('web');
    const sandboxes = await h.containers('sandbox');
    assert.equal(sandboxes.length, 1);
    assert.notEqual(sandboxes[0]?.id, sandbox?.id);
  });

  it('runs init containers one after another, before the others', async () => {
    h = await AgentHarness.start();
    h.runtime.onStart = (spec) => (spec.labels['troupe.kind'] === 'init' ? { exitCode: 0, afterMs: 1_000 } : undefined);
    await h.createPod('web', {
      initContainers: [
        { name: 'one', image: 'example/init:1' },
        { name: 'two', image: 'example/init:1' },
      ],
    });
    await h.untilPod('web', 'initializes', (pod) => waitingReason(pod) === 'PodInitializing');
    assert.equal((await h.containers('init')).length, 1);
    const pod = await h.untilRunning('web');
    assert.deepEqual(
      pod.status.initContainerStatuses?.map((c) => [c.name, c.ready, c.state?.terminated?.reason]),
      [
        ['one', true, 'Completed'],
        ['two', true, 'Completed'],
      ],
    );
    const all = await h.runtime.list();
    const born = (name: string): number => all.find((c) => c.labels['troupe.container'] === name)?.createdAtMs ?? NaN;
    assert.ok(born('one') + 1_000 <= born('two') && born('two') + 1_000 <= born('main'));
  });

  it('fails a pod whose time is up', async () => {
    h = await AgentHarness.start();
    await h.createPod('web', { activeDeadlineSeconds: 5 });
    await h.untilRunning('web');
    const pod = await h.untilPod('web', 'failed', (p) => p.status.phase === 'Failed', 7_000);
    assert.equal(pod.status.reason, 'DeadlineExceeded');
    await h.until('nothing runs', async () => (await h.runtime.list()).every((c) => c.state !== 'running'));
  });

  it('waits for a ConfigMap that is not there yet', async () => {
    h = await AgentHarness.start();
    const env = [{ name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'theme', key: 'colour' } } }];
    await h.createPod('web', { containers: [{ name: 'main', env }] });
    await h.untilPod('web', 'says so', (pod) => waitingReason(pod) === 'CreateContainerConfigError');
    await h.client.create('configmaps', {
      metadata: { name: 'theme', namespace: 'default' },
      data: { colour: 'blue' },
    });
    await h.untilRunning('web');
    const spec = h.runtime.specOf((await h.running('main')).id);
    assert.ok(spec?.env.includes('COLOUR=blue'));
  });

  it('restarts a container whose image was changed', async () => {
    h = await AgentHarness.start();
    const made = await h.createPod('web');
    const ran = await h.untilRunning('web');
    const containers = made.spec.containers.map((container) => ({ ...container, image: 'example/web:2' }));
    await h.client.update('pods', { ...ran, spec: { ...ran.spec, containers } });
    await h.untilPod(
      'web',
      'runs the new image',
      (pod) =>
        pod.status.containerStatuses?.[0]?.image === 'example/web:2' &&
        pod.status.containerStatuses[0].restartCount === 1,
    );
    assert.equal((await h.running('main')).image, 'example/web:2');
  });

  it('streams the output of a container over the bus', async () => {
    h = await AgentHarness.start();
    await h.createPod('web');
    await h.untilRunning('web');
    const { id } = await h.running('main');
    h.runtime.say(id, 'one');
    const never = new AbortController().signal;
    const open = { bus: h.bus, cluster: 'test', node: 'n1', clock: h.clock };
    let text = '';
    let ended = false;
    const reading = (async () => {
      const stream = await openStream(open, { verb: 'logs', namespace: 'default', pod: 'web', follow: true }, never);
      for await (const { channel, data } of stream)
        if (channel === 'stdout') text += Buffer.from(data ?? '').toString();
      ended = true;
    })();
    await h.until('the first line', () => text === 'one\n');
    h.runtime.say(id, 'two');
    await h.until('the second line', () => text === 'one\ntwo\n');
    h.runtime.crash(id, 0);
    await h.until('the end', () => ended);
    await reading;
    await assert.rejects(openStream(open, { verb: 'logs', namespace: 'default', pod: 'none' }, never), {
      reason: 'NotFound',
    });
  });

  it('registers the node, keeps its status and its Lease', async () => {
    h = await AgentHarness.start();
    const node = await h.get('nodes', 'n1');
    assert.equal(node?.metadata.labels?.['kubernetes.io/arch'], 'amd64');
    assert.deepEqual(node.status.capacity, { cpu: '4', memory: '8Gi', 'ephemeral-storage': '100Gi', pods: '110' });
    await h.until(
      'it is ready',
      async () => (await h.get('nodes', 'n1'))?.status.conditions?.find((c) => c.type === 'Ready')?.status === 'True',
    );
    await h.until('the Lease is there', async () => (await h.get('leases', 'kube-node-lease/n1')) !== undefined);
    const first = await h.get('leases', 'kube-node-lease/n1');
    const version = (await h.get('nodes', 'n1'))?.metadata.resourceVersion;
    await h.clock.advance(25_000);
    assert.notEqual((await h.get('leases', 'kube-node-lease/n1'))?.spec.renewTime, first?.spec.renewTime);
    assert.equal((await h.get('nodes', 'n1'))?.metadata.resourceVersion, version, 'an unchanged node is not written');
    assert.ok(rfc3339(h.clock.now()) > (first?.spec.renewTime ?? ''));
  });

  it('says Ready again after others have called it lost', async () => {
    h = await AgentHarness.start();
    await h.until(
      'it is ready',
      async () => (await h.get('nodes', 'n1'))?.status.conditions?.find((c) => c.type === 'Ready')?.status === 'True',
    );
    const node = await h.get('nodes', 'n1');
    assert.ok(node);
    const conditions =
      node.status.conditions?.map((c) => (c.type === 'Ready' ? { ...c, status: 'Unknown' as const } : c)) ?? [];
    await h.client.updateStatus('nodes', { ...node, status: { ...node.status, conditions } });
    await h.until(
      'it is ready again',
      async () => (await h.get('nodes', 'n1'))?.status.conditions?.find((c) => c.type === 'Ready')?.status === 'True',
      1_000,
    );
  });
});
