import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isReady } from '../../lib/api/pods.ts';
import { whyNoDocker } from '../support/docker-engine.ts';
import { SteadfastNode } from '../support/steadfast-node.ts';
import { until } from '../support/until.ts';

const why = whyNoDocker();
const hour = 3_600;

/** The agent's process believes in another time from one moment to the next, as when somebody sets the machine's clock; the engine goes on as it was. */
describe(`jumps of a real agent's clock${why === undefined ? '' : ` (skipped: ${why})`}`, function () {
  this.timeout(60_000);
  let node: SteadfastNode;
  let folder: string;
  const setClock = (seconds: number): void => {
    writeFileSync(join(folder, 'next'), `${seconds >= 0 ? '+' : ''}${seconds}\n`);
    renameSync(join(folder, 'next'), join(folder, 'time')); // never read half-written
  };
  const env = (): Readonly<Record<string, string>> => ({
    LD_PRELOAD: execFileSync('sh', ['-c', 'ls /usr/lib/*/faketime/libfaketimeMT.so.1']).toString().trim(),
    FAKETIME_TIMESTAMP_FILE: join(folder, 'time'),
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  });

  before(async function () {
    if (why !== undefined) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'troupe-clock-'));
    setClock(0);
    node = await SteadfastNode.start(210, ['--warm-sandboxes', '0'], true);
    await node.restartAgent([], { env: env() });
  });
  after(async () => {
    await node?.stop();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const idsOf = (name: string) =>
    node
      .seen(name)
      .pods.at(-1)
      ?.status.containerStatuses?.map(({ containerID }) => containerID);

  let others = 0;
  /** The agent has looked at everything since once it has brought up another pod and taken it down; resolves to that pod as it was. */
  async function nextPod() {
    const name = `next${others++}`;
    await node.createPod(name, { containers: [{ name: 'main', command: ['sleep', '100000'] }] });
    await node.untilReady(name);
    const pod = node.seen(name).pods.at(-1);
    await node.client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
    await node.untilGone(name);
    return pod;
  }

  for (const [direction, seconds] of [
    ['forward', 2 * hour],
    ['back', -2 * hour],
  ] as const) {
    it(`${direction}: nothing is started again or less ready, before and after a kill of the agent`, async () => {
      const name = `web-${direction}`;
      const probe = { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, failureThreshold: 1 };
      await node.createPod(name, {
        activeDeadlineSeconds: 4 * hour,
        initContainers: [{ name: 'init', command: ['true'] }],
        containers: [
          {
            ...{ name: 'main', command: ['sh', '-c', 'touch /tmp/up; exec sleep 100000'] },
            ...{ readinessProbe: probe, livenessProbe: { ...probe, failureThreshold: 3 } },
          },
        ],
      });
      await node.untilReady(name);
      const ids = idsOf(name);

      setClock(seconds);
      const pod = await nextPod();
      const offMs = Date.parse(pod?.status.startTime ?? '') - Date.now() - seconds * 1000;
      assert(Math.abs(offMs) < 60_000, `the agent's clock did not jump: off by ${offMs} ms`);
      await node.agent.kill();
      await node.agent.start();
      await nextPod();

      assert.deepEqual(idsOf(name), ids);
      const { pods } = node.seen(name);
      const since = pods.slice(pods.findIndex(isReady));
      for (const each of since) assert(isReady(each), JSON.stringify(each.status));
      assert.equal(pods.at(-1)?.status.containerStatuses?.[0]?.restartCount, 0);

      // A crash is made good as at any time.
      await node.engine.docker.getContainer((ids?.[0] ?? '').replace('docker://', '')).kill();
      await until(() => node.seen(name).pods.at(-1)?.status.containerStatuses?.[0]?.restartCount === 1, {
        what: 'the container runs again',
        timeoutMs: 20_000,
      });
      await node.untilReady(name);
      setClock(0);
      await node.client.delete('pods', `default/${name}`, { gracePeriodSeconds: 0 });
      await node.untilGone(name);
    });
  }
});
