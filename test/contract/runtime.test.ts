import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newDockerRuntime } from '../../node-agent/runtime/docker-runtime.ts';
import { newFakeRuntime } from '../../node-agent/runtime/fake-runtime.ts';
import { infraImageName } from '../../node-agent/runtime/infra-image.ts';
import { importBusybox, startDockerEngine, whyNoDocker, type DockerEngine } from '../support/docker-engine.ts';
import { until } from '../support/until.ts';
import { runtimeContract } from './runtime.contract.ts';

runtimeContract('FakeRuntime', async () => {
  const runtime = newFakeRuntime({ images: ['example/app:1'] });
  runtime.onExec = (_container, command) => ({
    ...{ exitCode: Number(/exit (\d+)/.exec(command.join(' '))?.[1] ?? 0), output: '', timedOut: false },
  });
  return {
    runtime,
    image: 'example/app:1',
    infraImage: infraImageName,
    say: (id, line) => {
      runtime.say(id, line);
    },
    stop: async () => undefined,
  };
});

const why = whyNoDocker();
if (why === undefined) {
  runtimeContract('DockerRuntime', async () => {
    const engine = await startDockerEngine();
    const image = await importBusybox(engine.docker);
    const runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
    return { runtime, image, infraImage: infraImageName, stop: () => engine.stop() };
  });

  describe('DockerRuntime on a real engine', function () {
    this.timeout(60_000);
    let engine: DockerEngine;
    before(async () => {
      engine = await startDockerEngine();
      await importBusybox(engine.docker);
    });
    after(() => engine?.stop());

    it('never lists what is not its own', async () => {
      const mine = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
      const other = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n2' });
      await mine.prepare();
      const id = await mine.create({ name: 'mine', image: infraImageName, labels: {}, env: [], mounts: [] });
      assert.deepEqual(await other.list(), []);
      assert.equal(await other.inspect(id), undefined);
      await mine.remove(id);
    });

    it('holds nothing of a container up for files that nobody takes, and lets go of one that is removed', async () => {
      const runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
      const program = '/bin/busybox head -c 20000000 /dev/zero > /big; exec /bin/busybox sleep 1000';
      await runtime.prepare();
      const plain = { labels: {}, env: [], mounts: [] };
      const sandboxId = await runtime.create({ name: 'files-sandbox', image: infraImageName, ...plain });
      await runtime.start(sandboxId);
      const spec = { ...plain, sandboxId, command: ['/bin/busybox', 'sh', '-c', program] };
      const id = await runtime.create({ name: 'files', image: 'troupe-test/busybox:1', ...spec });
      await runtime.start(id);
      const never = new AbortController().signal;
      const isWhole = async (): Promise<boolean> => {
        const looking = new AbortController();
        const { sizeBytes } = await runtime.readFiles(id, '/big', looking.signal);
        looking.abort(); // lets go of what is not read
        return sizeBytes === 20_000_000;
      };
      await until(isWhole, { what: 'the file' });
      const stalled = (await runtime.readFiles(id, '/big', never)).tar[Symbol.asyncIterator]();
      await stalled.next();
      assert.equal((await runtime.exec(id, ['/bin/busybox', 'true'], 5_000)).exitCode, 0);
      await runtime.stop(id, 0);
      assert.equal((await runtime.inspect(id))?.state, 'exited');
      await stalled.return?.();
      // One that has ended is read by the engine's archives, behind which everything else waits.
      const archive = (await runtime.readFiles(id, '/big', never)).tar[Symbol.asyncIterator]();
      await archive.next();
      await runtime.remove(id);
      assert.equal(await runtime.inspect(id), undefined);
      await assert.rejects(async () => {
        for (let piece = await archive.next(); piece.done !== true; piece = await archive.next()) void piece;
      });
      await runtime.remove(sandboxId);
    });

    it('gives a container of a sandbox that had no pod the host name of its pod, from its first moment', async () => {
      const runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
      await runtime.prepare();
      assert.equal((await runtime.info()).lateHostnames, true);
      const nobodys = { name: 'warm', image: infraImageName, labels: {}, env: [], mounts: [], lateHostname: true };
      const sandbox = await runtime.create(nobodys);
      await runtime.start(sandbox);
      const folder = mkdtempSync(join(tmpdir(), 'troupe-hostname-'));
      const said = async (name: string, text: string): Promise<string> => {
        const source = join(folder, name);
        writeFileSync(source, text);
        const id = await runtime.create({
          ...{ name, image: 'troupe-test/busybox:1', labels: {}, env: [`HOSTNAME=${name}`], sandboxId: sandbox },
          ...{ lateHostname: true, command: ['sh', '-c', 'hostname; echo $HOSTNAME'] },
          mounts: [{ source, target: '/etc/hostname', readOnly: false }],
        });
        await runtime.start(id);
        await until(async () => (await runtime.inspect(id))?.state === 'exited', { what: 'it is over' });
        let output = '';
        for await (const part of runtime.logs(id, {}, AbortSignal.timeout(5_000)))
          output += Buffer.from(part).toString();
        await runtime.remove(id);
        return output;
      };
      try {
        assert.equal(await said('web-1', 'web-1.pods.svc\n'), 'web-1.pods.svc\nweb-1\n');
        // The pod can write there: nothing but a host name is taken from it.
        for (const bad of ['x","root":{"path":"/"},"hostname":"y', 'a b', '$(id)', '']) {
          assert.equal(await said('web-2', `${bad}\n`), 'troupe-warm\nweb-2\n', bad);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
        await runtime.remove(sandbox);
      }
    });

    it('says what the program printed when it failed, and stops a command that takes too long', async () => {
      const runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
      await runtime.prepare();
      const sandbox = await runtime.create({ name: 'sb', image: infraImageName, labels: {}, env: [], mounts: [] });
      await runtime.start(sandbox);
      const id = await runtime.create({
        ...{ name: 'app', image: 'troupe-test/busybox:1', labels: {}, env: [], mounts: [] },
        ...{ sandboxId: sandbox, command: ['/bin/sleep', '1000'] },
      });
      await runtime.start(id);
      const failed = await runtime.exec(id, ['/bin/sh', '-c', 'echo went wrong; exit 4'], 10_000);
      assert.deepEqual(failed, { exitCode: 4, output: 'went wrong\n', timedOut: false });
      assert.equal((await runtime.exec(id, ['/bin/sleep', '1000'], 200)).timedOut, true);
      const inside = await runtime.exec(id, ['/bin/sh', '-c', 'ls /sys/class/net; ls -l /dev/shm | wc -l'], 10_000);
      assert.match(inside.output, /^lo\n/, 'a fresh network namespace holds nothing but lo');
      await runtime.remove(id);
      await runtime.remove(sandbox);
    });

    it('finds its containers and hears of deaths again after the engine was killed', async () => {
      const runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'test', node: 'n1' });
      await runtime.prepare();
      const stop = new AbortController();
      let gaps = 0;
      const dead: string[] = [];
      runtime.events(
        (event) => event.type === 'die' && dead.push(event.containerId),
        () => gaps++,
        stop.signal,
      );
      try {
        const id = await runtime.create({ name: 'lasting', image: infraImageName, labels: {}, env: [], mounts: [] });
        await runtime.start(id);
        const pid = (await runtime.inspect(id))?.pid;
        await engine.kill();
        await assert.rejects(runtime.list(), { code: 'Unavailable' });
        await engine.restart();
        await until(() => gaps > 0, { what: 'the gap is told', timeoutMs: 15_000 });
        assert.deepEqual(
          (await runtime.list()).map((c) => [c.id, c.state, c.pid]),
          [[id, 'running', pid]],
        );
        await runtime.kill(id, 'SIGKILL');
        await until(() => dead.includes(id), { what: 'the death is told', timeoutMs: 15_000 });
        await runtime.remove(id);
      } finally {
        stop.abort();
      }
    });
  });
} else {
  describe('DockerRuntime', () => {
    it(`skipped: ${why}`, function () {
      this.skip();
    });
  });
}
