import assert from 'node:assert/strict';
import type { EphemeralContainer, Pod, PodSpec } from '../../../lib/api/objects.ts';
import { containerSpec } from '../../../node-agent/container-spec.ts';
import { podContainerOf } from '../../../node-agent/labels.ts';
import type { PodState } from '../../../node-agent/plan.ts';
import { createOptions } from '../../../node-agent/runtime/docker-options.ts';
import { podStatus } from '../../../node-agent/status.ts';
import { nextToStop } from '../../../node-agent/stop-order.ts';
import { aContainer, aPod, epochMs } from '../../support/builders.ts';
import { AgentHarness } from './harness.ts';
import { a, decided, knownAs, state, type ContainerWish } from './pod-states.ts';

const looker = (more: Partial<EphemeralContainer> = {}): EphemeralContainer => ({
  ...aContainer({ name: 'look' }),
  ...more,
});
const look = (wish: Omit<ContainerWish, 'kind'> = {}): ReturnType<typeof a> =>
  a({ name: 'look', ...wish, kind: 'ephemeral' });
const watched = (spec: Partial<PodSpec> = {}): Pick<PodSpec, 'ephemeralContainers'> & Partial<PodSpec> => ({
  ephemeralContainers: [looker()],
  ...spec,
});
const main = a({ name: 'main' });

describe('node-agent: ephemeral containers', () => {
  const exited = { state: 'exited' } as const;
  const init = aContainer({ name: 'prepare' });
  const sidecar = aContainer({ name: 'side', restartPolicy: 'Always' });
  const target = { ephemeralContainers: [looker({ targetContainerName: 'main' })] };
  const deleted = { endingSinceMs: epochMs, pod: aPod({ deleted: true, nodeName: 'n1', spec: watched() }) };
  const cases: readonly { it: string; given: PodState; want: readonly string[]; atMs?: number }[] = [
    {
      it: 'starts one beside those that run',
      given: state({ spec: watched(), containers: [main] }),
      want: ['start look#0'],
    },
    {
      it: 'starts one while the pod does not get through its start',
      given: state({ spec: watched({ initContainers: [init] }), containers: [a({ kind: 'init', name: 'prepare' })] }),
      want: ['start look#0'],
    },
    {
      it: 'fetches its image first',
      given: state({ spec: watched(), containers: [main], images: new Map([['look', 'absent']]) }),
      want: ['pull look'],
    },
    { it: 'leaves one that runs', given: state({ spec: watched(), containers: [main, look()] }), want: [] },
    {
      it: 'never starts one again, however it ended and whatever the restart policy',
      given: state({ spec: watched(), containers: [main, look({ is: exited })] }),
      want: [],
    },
    {
      it: 'nor one that could not be started',
      given: state({ spec: watched(), containers: [main, look({ is: { state: 'created', error: 'no such file' } })] }),
      want: [],
    },
    {
      it: 'nor one that somebody removed behind our back',
      given: state({
        containers: [main],
        pod: aPod({
          nodeName: 'n1',
          spec: watched(),
          status: { ephemeralContainerStatuses: [{ ...knownAs({ running: {} }), name: 'look' }] },
        }),
      }),
      want: [],
    },
    {
      it: 'starts one that was made, and no more than made, before the agent died',
      given: state({ spec: watched(), containers: [main, look({ is: { state: 'created' } })] }),
      want: ['start look#0'],
    },
    {
      it: 'waits for the container whose processes it is to see',
      given: state({ spec: target, containers: [a({ name: 'main', is: { state: 'created' } })] }),
      want: ['start main#0'],
    },
    { it: 'starts it when that one runs', given: state({ spec: target, containers: [main] }), want: ['start look#0'] },
    {
      it: 'waits for none where the pod shares its processes',
      given: state({ spec: { ...target, shareProcessNamespace: true } }),
      want: ['start look#0', 'start main#0'],
    },
    {
      it: 'takes no container that only looks into the pod for a proof that its start is through',
      given: state({ spec: watched({ initContainers: [init] }), containers: [look()] }),
      want: ['start prepare#0'],
    },
    {
      it: 'ends with the pod whose own containers are through',
      given: state({ spec: watched({ restartPolicy: 'Never' }), containers: [a({ is: exited }), look()] }),
      want: ['stop look podEnded'],
    },
    {
      it: 'is stopped with the others when the pod is deleted',
      given: state({ ...deleted, containers: [main, look()] }),
      want: ['stop main deleted', 'stop look deleted'],
    },
    {
      it: 'is not waited for: what is left open is killed once the others are gone',
      given: state({
        ...deleted,
        containers: [look({ is: { id: 'l' } })],
        stopping: new Map([['l', { sinceMs: epochMs, deadlineMs: epochMs + 30_000 }]]),
      }),
      want: ['kill look#0'],
      atMs: epochMs + 1_000,
    },
    {
      it: 'is waited for as long as others have to end',
      given: state({
        ...deleted,
        containers: [a({ is: { id: 'm' } }), look({ is: { id: 'l' } })],
        stopping: new Map(['l', 'm'].map((id) => [id, { sinceMs: epochMs, deadlineMs: epochMs + 30_000 }])),
      }),
      want: [],
      atMs: epochMs + 1_000,
    },
  ];
  for (const c of cases) it(c.it, () => assert.deepEqual(decided(c.given, c.atMs), c.want));

  it('goes before the sidecars, which nobody has to keep for it', () => {
    const pod = aPod({ spec: watched({ initContainers: [sidecar] }) });
    const side = a({ kind: 'init', name: 'side' });
    const names = (...running: readonly ReturnType<typeof a>[]): readonly string[] =>
      nextToStop(pod, running).map(({ name }) => name);
    assert.deepEqual(names(main, side, look()), ['main', 'look']);
    assert.deepEqual(names(side, look()), ['side', 'look']);
  });

  describe('in the status', () => {
    const statusOf = (given: PodState): Pod['status'] => podStatus(given, epochMs);

    it('stands in a list of its own, and counts for neither phase nor readiness', () => {
      const pod = state({ spec: watched(), containers: [main] });
      for (const is of [{ state: 'running' }, exited] as const) {
        const status = statusOf({ ...pod, containers: [main, look({ is })] });
        assert.equal(status.phase, 'Running');
        assert.equal(status.conditions?.find(({ type }) => type === 'Ready')?.status, 'True');
        assert.deepEqual(
          status.ephemeralContainerStatuses?.map(({ name, ready, restartCount, started, state: now }) => [
            ...[name, ready, restartCount, started],
            Object.keys(now ?? {})[0],
          ]),
          [['look', false, 0, undefined, is.state === 'running' ? 'running' : 'terminated']],
        );
        assert.deepEqual(
          status.containerStatuses?.map(({ name }) => name),
          ['main'],
        );
      }
    });

    it('is absent where there are none', () => {
      assert.ok(!('ephemeralContainerStatuses' in statusOf(state({ containers: [main] }))));
    });

    it('says what it waits for', () => {
      const waiting = (given: PodState): unknown => statusOf(given).ephemeralContainerStatuses?.[0]?.state?.waiting;
      const failed = {
        reason: 'ErrImagePull',
        message: 'no such image',
        failures: 1,
        atMs: epochMs,
        retryAtMs: epochMs,
      };
      assert.deepEqual(waiting(state({ spec: watched(), containers: [main], setbacks: new Map([['look', failed]]) })), {
        reason: 'ErrImagePull',
        message: 'no such image',
      });
      assert.deepEqual(waiting(state({ spec: target })), {
        reason: 'ContainerCreating',
        message: 'container "main", whose processes it is to see, does not run',
      });
    });

    it('does not make a pod late that had ended in time', () => {
      const ended = a({ is: { ...exited, exitCode: 0, finishedAtMs: epochMs + 1_000 } });
      const late = look({ is: { ...exited, finishedAtMs: epochMs + 5_000 } });
      const given = state({
        spec: watched({ restartPolicy: 'Never', activeDeadlineSeconds: 3 }),
        containers: [ended, late],
        startedMs: epochMs,
      });
      assert.equal(podStatus(given, epochMs + 6_000).phase, 'Succeeded');
    });
  });

  describe('for the engine', () => {
    const inputs = {
      ...{ kind: 'ephemeral' as const, container: looker({ tty: true, stdin: true }), attempt: 0, crashes: 0 },
      ...{ sandboxId: 's', environment: ['A=1'], mounts: [], security: {}, nodeMemoryBytes: 2 ** 30 },
    };
    const context = { labels: {}, ownInfraImage: 'infra', mayLowerOomScore: true };
    const pidMode = (spec: Partial<PodSpec>, targetId?: string): unknown =>
      createOptions(containerSpec(aPod({ spec: watched(spec) }), { ...inputs, targetId }), context).HostConfig?.PidMode;

    it('is in the network of its pod, and sees the processes that it asks for', () => {
      const options = createOptions(containerSpec(aPod({ spec: watched() }), inputs), context);
      assert.equal(options.HostConfig?.NetworkMode, 'container:s');
      assert.deepEqual([options.Tty, options.OpenStdin, options.StdinOnce], [true, true, false]);
      assert.equal(pidMode({}), undefined);
      assert.equal(pidMode({}, 't'), 'container:t');
      assert.equal(pidMode({ shareProcessNamespace: true }, 't'), 'container:s');
      assert.equal(pidMode({ hostPID: true }, 't'), 'host');
    });

    it('is found again by its labels', () => {
      const { labels, name } = containerSpec(aPod({ spec: watched() }), inputs);
      const is = { id: 'x', name, image: 'i', imageId: 'i', labels, state: 'running', createdAtMs: 0 } as const;
      assert.deepEqual([podContainerOf(is)?.kind, podContainerOf(is)?.name], ['ephemeral', 'look']);
    });
  });

  describe('on a node', () => {
    let h: AgentHarness;
    beforeEach(async () => {
      h = await AgentHarness.start();
      await h.createPod('p');
      await h.untilPod('p', 'is ready', (pod) => pod.status.phase === 'Running');
    });
    afterEach(() => h.stop());
    const add = (...list: readonly object[]): Promise<unknown> =>
      h.client.patch(
        'pods',
        'default/p',
        { spec: { ephemeralContainers: list.map((each) => ({ image: 'example/look:1', ...each })) } },
        { subresource: 'ephemeralcontainers' },
      );
    const runs = (pod: Pod): boolean => pod.status.ephemeralContainerStatuses?.[0]?.state?.running !== undefined;

    it('is started, told, and survives the agent', async () => {
      await add({ name: 'look' });
      await h.untilPod('p', 'is looked into', runs);
      const id = (await h.pod('p')).status.ephemeralContainerStatuses?.[0]?.containerID;
      await h.restartAgent();
      await h.clock.advance(5_000);
      await h.untilPod('p', 'is looked into still', runs);
      assert.equal((await h.pod('p')).status.ephemeralContainerStatuses?.[0]?.containerID, id);
    });

    it('is gone with its pod, which does not wait for it', async () => {
      await add({ name: 'look' });
      await h.untilPod('p', 'is looked into', runs);
      await h.client.delete('pods', 'default/p');
      await h.until('the pod is gone', async () => (await h.get('pods', 'default/p')) === undefined);
      assert.deepEqual(
        (await h.runtime.list()).map(({ name }) => name),
        [],
      );
    });
  });
});
