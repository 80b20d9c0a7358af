import assert from 'node:assert/strict';
import { containerNames } from '../../../lib/api/container-choice.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { isReady, isTerminal } from '../../../lib/api/pods.ts';
import { KillPoint, type Strike } from '../../support/kill-point.ts';
import { newRememberingStorage } from '../../support/remembering-storage.ts';
import { isIdleWarm, podContainerOf } from '../../../node-agent/labels.ts';
import { AgentHarness } from './harness.ts';

type PodWish = Parameters<AgentHarness['createPod']>[1] & { readonly lookers?: readonly object[] };

export interface Life {
  /** What was called while the pod started, and in all, where nothing struck. */
  readonly starting: readonly string[];
  readonly calls: readonly string[];
}

const engineAwayMs = 3_000;

/**
 * One pod from its creation to its last trace, struck at each of `strikes` in turn (each counts from the return of the
 * agent). Fails where anything ran twice, was restarted, was lost, was left behind, or was told wrongly.
 */
export async function live({ lookers, ...spec }: PodWish, strikes: readonly Strike[], warm = 0): Promise<Life> {
  const left = [...strikes];
  const world = new World();
  const next = (h: AgentHarness): void => {
    h.killPoint = new KillPoint(left.shift(), {
      agentDies: () => {
        h.killAgent();
      },
      engineDies: () => {
        h.runtime.setAvailable(false);
        h.clock.after(engineAwayMs, () => {
          h.runtime.setAvailable(true);
        });
      },
    });
    world.storage.between = () => h.killPoint.pass('storage.between');
  };
  const h = await AgentHarness.start({
    before: (made) => {
      next(made);
      made.storage = world.storage;
      made.warmSandboxes = warm;
      made.networkOptions = { clock: made.clock, attachMs: 30, attached: new Map() };
      made.runtime.onStart = (wish) => world.started(made, wish.sandboxId, wish.hostNetwork === true, wish.labels);
    },
  });
  const watching = new AbortController();
  try {
    const { revision } = await h.client.list('pods');
    void world.watch(h, revision, watching.signal);
    const restart = (): Promise<void> =>
      h.restartAgent(async () => {
        next(h);
        await h.clock.advance(engineAwayMs);
      });
    const survive = async (what: string, check: () => Promise<boolean>): Promise<void> => {
      while (!(await orDeath(h, what, check))) await restart();
    };
    await survive('the sandboxes in advance are there', async () => h.agent.warmCount === warm);
    const created = await h.createPod('p', spec);
    if (lookers !== undefined)
      await h.client.patch(
        'pods',
        'default/p',
        { spec: { ephemeralContainers: lookers.map((each) => ({ image: 'example/look:1', ...each })) } },
        { subresource: 'ephemeralcontainers' },
      );
    await survive('is up', async () => {
      const pod = await h.pod('p');
      const looking = pod.status.ephemeralContainerStatuses?.filter(({ state }) => state?.waiting === undefined) ?? [];
      return isTerminal(pod) || (isReady(pod) && looking.length === (lookers?.length ?? 0));
    });
    const starting = [...h.killPoint.calls];
    await h.clock.advance(20_000);
    do {
      await survive('is still up', () => isUp(h));
      await h.clock.advance(1_000);
    } while (h.killPoint.dead || !(await isUp(h)));
    world.check(
      h,
      await h.pod('p'),
      (await h.runtime.list()).filter((c) => c.state !== 'created'),
    );
    await h.client.delete('pods', 'default/p').catch(() => undefined);
    await survive('is gone', async () => (await h.get('pods', 'default/p')) === undefined);
    await h.clock.advance(5_000);
    do {
      await survive('nothing is left', async () => (await isUp(h)) && (await h.runtime.list()).length === warm);
      await survive('the sandboxes in advance are there again', async () => h.agent.warmCount === warm);
      await h.clock.advance(1_000);
    } while (h.killPoint.dead || !(await isUp(h)));
    assert.deepEqual(
      (await h.runtime.list()).map((is) => isIdleWarm(is) && is.state),
      Array.from({ length: warm }, () => 'running'),
    );
    assert.deepEqual([...world.storage.folders], [], 'folders');
    assert.equal(h.network.attached.size, warm, 'devices');
    assert.equal(h.agent.podCount, 0, 'workers');
    assert.deepEqual(world.violations, []);
    world.checkTold(created);
    return { starting, calls: h.killPoint.calls };
  } finally {
    watching.abort();
    await h.stop();
  }
}

const isUp = (h: AgentHarness): Promise<boolean> =>
  h.runtime.list().then(
    () => true,
    () => false,
  );

/** Resolves to false when the agent died first. */
async function orDeath(h: AgentHarness, what: string, check: () => Promise<boolean>): Promise<boolean> {
  const { killPoint } = h;
  await h.until(what, async () => killPoint.dead || (await check()), 120_000);
  return !killPoint.dead;
}

class World {
  readonly storage = newRememberingStorage();
  readonly violations: string[] = [];
  readonly #told: (Pod | undefined)[] = [];
  readonly #starts = new Map<string, number>();

  /** A container is being started: its pod must have all that it needs. One of an init kind has run its course at once. */
  started(
    h: AgentHarness,
    sandboxId: string | undefined,
    onHost: boolean,
    labels: Readonly<Record<string, string>>,
  ): { readonly exitCode: number; readonly afterMs: number } | undefined {
    if (sandboxId === undefined) return undefined;
    const uid = labels['troupe.pod.uid'] ?? '';
    const name = labels['troupe.container'] ?? '';
    this.#starts.set(name, (this.#starts.get(name) ?? 0) + 1);
    if (!this.storage.prepared.has(uid)) this.violations.push(`${name} was started without its volumes`);
    if (!onHost && !h.network.attached.has(uid)) this.violations.push(`${name} was started without its network`);
    return name.startsWith('once') ? { exitCode: 0, afterMs: 50 } : undefined;
  }

  async watch(h: AgentHarness, fromRevision: string, signal: AbortSignal): Promise<void> {
    for await (const events of h.client.watch('pods', { fromRevision }, signal)) {
      for (const { type, object } of events)
        if (type !== 'BOOKMARK') this.#told.push(type === 'DELETED' ? undefined : object);
    }
  }

  /** Exactly one of each, as the pod says. */
  check(h: AgentHarness, pod: Pod, found: Awaited<ReturnType<AgentHarness['runtime']['list']>>): void {
    const { spec } = pod;
    const names = [...containerNames(pod)];
    const seen = found.flatMap(({ labels }) => labels['troupe.container'] ?? []).sort();
    assert.deepEqual(seen, names.sort(), 'each container once');
    const sandboxes = found.filter((is) => podContainerOf(is)?.kind === 'sandbox');
    const idle = found.filter(isIdleWarm).length;
    assert.equal(sandboxes.length, isTerminal(pod) ? 0 : 1, 'sandboxes');
    assert.equal(h.network.attached.size, idle + (spec.hostNetwork === true || isTerminal(pod) ? 0 : 1), 'attached');
    assert.equal(
      new Set([...h.network.attached.values()].map(({ ip }) => ip)).size,
      h.network.attached.size,
      'addresses',
    );
    for (const [name, starts] of this.#starts) assert.equal(starts, 1, `starts of ${name}`);
    for (const status of pod.status.containerStatuses ?? []) assert.equal(status.restartCount, 0, 'restart count');
  }

  /** What the API said of the pod never went back. */
  checkTold(created: Pod): void {
    let ready = false;
    let ip: string | undefined;
    let phases = 0;
    const order = ['Pending', 'Running', 'Succeeded'];
    for (const pod of this.#told) {
      if (pod === undefined || pod.metadata.deletionTimestamp !== undefined) break;
      assert.equal(pod.metadata.uid, created.metadata.uid);
      const now = isReady(pod);
      assert.ok(now || !ready || isTerminal(pod), 'Ready flipped');
      ready = now;
      assert.ok(ip === undefined || pod.status.podIP === ip, `the address changed from ${ip}`);
      ip = pod.status.podIP ?? ip;
      const phase = order.indexOf(pod.status.phase ?? 'Pending');
      assert.ok(phase >= phases, `phase ${pod.status.phase} after ${order[phases]}`);
      phases = phase;
    }
  }
}
