import assert from 'node:assert/strict';
import type { Probe } from '../../../lib/api/objects.ts';
import { attemptAhead } from '../../../node-agent/ahead.ts';
import type { PodState } from '../../../node-agent/plan.ts';
import { aContainer, epochMs } from '../../support/builders.ts';
import { KillPoint, type Strike } from '../../support/kill-point.ts';
import { AgentHarness } from './harness.ts';
import { a, state } from './pod-states.ts';

describe('node-agent/ahead', () => {
  const main = a({ attempt: 1, crashes: 0, is: { startedAtMs: epochMs - 60_000 } });
  const given = (over: Parameters<typeof state>[0] = {}): PodState => state({ containers: [main], ...over });
  const backoff = { 'troupe.dev/restart-backoff-initial': '100ms', 'troupe.dev/restart-backoff-max': '200ms' };
  const annotated = (now: PodState): PodState => ({
    ...now,
    pod: { ...now.pod, metadata: { ...now.pod.metadata, annotations: backoff } },
  });
  const next = (now: PodState, id = main.is.id): string | undefined => {
    const wish = attemptAhead(now, id, epochMs);
    return wish && `${wish.kind} ${wish.container.name}#${wish.attempt} after ${wish.crashes}`;
  };
  const crashed = a({ attempt: 1, crashes: 1, is: { startedAtMs: epochMs - 60_000 } });
  const side = a({ kind: 'init', name: 'side', is: { startedAtMs: epochMs - 60_000 } });
  const sidecar = aContainer({ name: 'side', restartPolicy: 'Always' });

  const made: readonly { it: string; now: PodState; id?: string; want: string }[] = [
    { it: 'the next attempt, one crash later', now: given(), want: 'container main#2 after 1' },
    {
      it: 'while a short wait lasts',
      now: annotated(given({ containers: [crashed] })),
      id: crashed.is.id,
      want: 'container main#2 after 2',
    },
    {
      it: 'of a sidecar, whatever becomes of the others',
      now: given({ containers: [main, side], spec: { restartPolicy: 'Never', initContainers: [sidecar] } }),
      id: side.is.id,
      want: 'init side#1 after 1',
    },
  ];
  for (const c of made) it(`makes ${c.it}`, () => assert.equal(next(c.now, c.id), c.want));

  const nothing: readonly { it: string; now: PodState; id?: string }[] = [
    { it: 'for a long wait', now: given({ containers: [crashed] }), id: crashed.is.id },
    { it: 'where the exit code decides whether it runs again', now: given({ spec: { restartPolicy: 'OnFailure' } }) },
    { it: 'where it never runs again', now: given({ spec: { restartPolicy: 'Never' } }) },
    { it: 'while the pod ends', now: given({ endingSinceMs: epochMs }) },
    { it: 'for a pod that the API has no more', now: given({ gone: true }) },
    { it: 'for one that is being stopped', now: given({ stopped: new Map([[main.is.id, 'unhealthy']]) }) },
    { it: 'twice', now: given({ ahead: [a({ attempt: 2, ahead: true, is: { state: 'created' } })] }) },
    {
      it: 'where the image must be pulled',
      now: given({ spec: { containers: [aContainer({ imagePullPolicy: 'Always' })] } }),
    },
    { it: 'where another image is wanted', now: given({ spec: { containers: [aContainer({ image: 'other:1' })] } }) },
    { it: 'without a sandbox', now: given({ sandbox: undefined }) },
    { it: 'without a network', now: given({ attached: false }) },
    { it: 'while files are to be brought up to date', now: given({ volumesStale: true }) },
    {
      it: 'after one that ended well',
      now: given({ containers: [main, a({ attempt: 0, is: { state: 'exited', exitCode: 0 } })] }),
    },
    { it: 'for what is known to have ended', now: given({ containers: [a({ is: { ...main.is, state: 'exited' } })] }) },
    { it: 'for a container of nobody', now: given(), id: 'another' },
  ];
  for (const c of nothing) it(`makes nothing ${c.it}`, () => assert.equal(next(c.now, c.id), undefined));
});

describe('node-agent: a death that the kernel tells before the engine', function () {
  this.timeout(60_000);
  let exited: (containerId: string) => void = () => undefined;
  const hearing = (made: AgentHarness): void => {
    made.wish = {
      exits: (onExit) => {
        exited = onExit;
        return { watch: () => undefined };
      },
    };
  };
  const start = async (spec: Parameters<AgentHarness['createPod']>[1] = {}): Promise<AgentHarness> => {
    const h = await AgentHarness.start({ before: hearing });
    await h.createPod('p', spec);
    await h.untilRunning('p');
    await h.clock.advance(5_000);
    return h;
  };
  /** Attempts of the container, as `<attempt> <state> after <crashes>`. */
  const attempts = async (h: AgentHarness): Promise<readonly string[]> =>
    (await h.containers())
      .map(({ labels, state: is }) => `${labels['troupe.attempt']} ${is} after ${labels['troupe.crashes']}`)
      .sort();

  it('has the next attempt made when the engine tells how it ended', async () => {
    const h = await start();
    try {
      const dead = await h.running('main');
      exited(dead.id);
      await h.until('it is made', async () => (await attempts(h)).length === 2, 1_000);
      assert.deepEqual(await attempts(h), ['0 running after 0', '1 created after 1']);
      assert.equal((await h.pod('p')).status.containerStatuses?.[0]?.restartCount, 0, 'it counts for nothing yet');
      h.runtime.crash(dead.id, 137);
      await h.untilPod('p', 'runs again', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1, 1_000);
      assert.deepEqual(await attempts(h), ['0 exited after 0', '1 running after 1']);
      assert.equal(h.runtime.calls.get('create'), 3, 'a sandbox and two attempts');
    } finally {
      await h.stop();
    }
  });

  it('counts no crash where it turns out to have ended well', async () => {
    const h = await start();
    try {
      const dead = await h.running('main');
      exited(dead.id);
      await h.until('it is made', async () => (await attempts(h)).length === 2, 1_000);
      h.runtime.crash(dead.id, 0);
      await h.untilPod('p', 'runs again', (pod) => pod.status.containerStatuses?.[0]?.restartCount === 1, 1_000);
      assert.deepEqual(await attempts(h), ['0 exited after 0', '1 running after 0']);
    } finally {
      await h.stop();
    }
  });

  it('leaves nothing where the pod is deleted in that moment', async () => {
    const h = await start();
    try {
      exited((await h.running('main')).id);
      await h.client.delete('pods', 'default/p');
      await h.until('nothing is left', async () => (await h.runtime.list()).length === 0);
      await h.until('the agent has forgotten it', () => h.agent.podCount === 0);
    } finally {
      await h.stop();
    }
  });

  /** One death, struck from then on; answers with what was called from there on where nothing struck. */
  async function die(
    exitCode: number,
    strike?: Omit<Strike, 'call'> & { readonly call: number },
  ): Promise<readonly string[]> {
    let h: AgentHarness | undefined;
    try {
      const spec: { containers: object[] } = {
        containers: [{ name: 'main', readinessProbe: { tcpSocket: { port: 80 } } as Probe }],
      };
      const counted = await AgentHarness.start({
        before: (made) => {
          h = made;
          hearing(made);
          made.killPoint = new KillPoint(strike, {
            agentDies: () => {
              made.killAgent();
            },
            engineDies: () => {
              made.runtime.setAvailable(false);
              made.clock.after(3_000, () => {
                made.runtime.setAvailable(true);
              });
            },
          });
        },
      });
      await counted.createPod('p', spec);
      await counted.untilRunning('p');
      await counted.clock.advance(5_000);
      const { killPoint } = counted;
      const before = killPoint.calls.length;
      const dead = await counted.running('main');
      exited(dead.id);
      await counted.clock.advance(1);
      counted.runtime.crash(dead.id, exitCode);
      const healed = async (): Promise<boolean> => {
        const [status] = (await counted.pod('p')).status.containerStatuses ?? [];
        return status?.restartCount === 1 && status.ready;
      };
      await counted.until('it runs again, or the agent is dead', async () => killPoint.dead || (await healed()));
      if (killPoint.dead) {
        await counted.restartAgent(async () => {
          counted.killPoint = new KillPoint();
          await counted.clock.advance(3_000);
        });
        await counted.until('it runs again', healed);
      }
      await counted.clock.advance(5_000);
      const want = ['0 exited after 0', `1 running after ${exitCode === 0 ? 0 : 1}`];
      assert.deepEqual(await attempts(counted), want);
      const calls = killPoint.calls.slice(before);
      await counted.client.delete('pods', 'default/p');
      await counted.until('nothing is left', async () => (await counted.runtime.list()).length === 0);
      return calls;
    } finally {
      await h?.stop();
    }
  }

  for (const exitCode of [137, 0])
    it(`ends as it must with exit code ${exitCode}, whoever is killed at whatever step of it`, async () => {
      const calls = await die(exitCode);
      const before = await callsBefore();
      for (let call = 1; call <= calls.length; call++)
        for (const when of ['before', 'after'] as const)
          for (const whom of ['agent', 'engine', 'both'] as const) {
            try {
              await die(exitCode, { call: before + call, when, whom });
            } catch (error) {
              throw new Error(`${whom} struck ${when} call ${call} of ${calls.join(' ')}`, { cause: error });
            }
          }
    });
  /** How many calls a pod needs until it runs: the same each time. */
  async function callsBefore(): Promise<number> {
    const h = await start({ containers: [{ name: 'main', readinessProbe: { tcpSocket: { port: 80 } } }] });
    try {
      return h.killPoint.calls.length;
    } finally {
      await h.stop();
    }
  }
});
