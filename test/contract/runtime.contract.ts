import assert from 'node:assert/strict';
import type { ContainerRuntime, ContainerSpec, RuntimeEvent } from '../../node-agent/runtime/runtime.ts';
import { streamCases } from './runtime-streams.contract.ts';
import { until } from '../support/until.ts';

export interface RuntimeUnderTest {
  readonly runtime: ContainerRuntime;
  /** An image that is there and has a shell. */
  readonly image: string;
  readonly infraImage: string;
  /** Makes a running container write a line; undefined where only its own program can. */
  say?(id: string, line: string): void;
  stop(): Promise<void>;
}

/** What the agent may rely on, for every container engine and the fake one. */
export function runtimeContract(name: string, make: () => Promise<RuntimeUnderTest>): void {
  describe(`runtime contract: ${name}`, function () {
    this.timeout(60_000);
    let it_: RuntimeUnderTest;
    let runtime: ContainerRuntime;
    let count = 0;
    before(async () => {
      it_ = await make();
      runtime = it_.runtime;
      await runtime.prepare();
    });
    after(() => it_?.stop());
    afterEach(async () => {
      for (const { id } of await runtime.list()) await runtime.remove(id);
    });

    const sandboxSpec = (): ContainerSpec => ({
      name: `troupe_sandbox_${++count}`,
      image: it_.infraImage,
      labels: { 'troupe.kind': 'sandbox' },
      env: [],
      mounts: [],
      hostname: 'a-pod',
    });
    const spec = (sandboxId: string, command = 'exec sleep 1000'): ContainerSpec => ({
      name: `troupe_main_${++count}`,
      image: it_.image,
      labels: { 'troupe.kind': 'container', 'troupe.attempt': '0' },
      command: ['/bin/sh', '-c', command],
      env: ['A=b'],
      mounts: [],
      sandboxId,
    });
    async function started(wish: ContainerSpec): Promise<string> {
      const id = await runtime.create(wish);
      await runtime.start(id);
      return id;
    }

    it('lists what it created, with labels, name, state and times', async () => {
      const sandbox = await started(sandboxSpec());
      const wish = spec(sandbox);
      const id = await runtime.create(wish);
      assert.equal((await runtime.inspect(id))?.state, 'created');
      await runtime.start(id);
      const found = (await runtime.list()).find((container) => container.id === id);
      assert.ok(found);
      assert.equal(found.name, wish.name);
      assert.equal(found.image, it_.image);
      assert.equal(found.state, 'running');
      assert.equal(found.labels['troupe.attempt'], '0');
      assert.ok(found.imageId.startsWith('sha256:'));
      assert.ok((found.pid ?? 0) > 0);
      assert.ok((found.startedAtMs ?? 0) >= found.createdAtMs - 1000);
      assert.equal((await runtime.list()).length, 2);
    });

    it('gives back the existing container when the name is taken', async () => {
      const wish = sandboxSpec();
      const id = await runtime.create(wish);
      assert.equal(await runtime.create(wish), id);
    });

    it('gives a running container another name, which lists and events know; a name has one container', async () => {
      const names: string[] = [];
      const stop = new AbortController();
      runtime.events(
        ({ name }) => names.push(name),
        () => undefined,
        stop.signal,
      );
      const [first, other] = [sandboxSpec(), sandboxSpec()];
      const id = await started(first);
      const otherId = await runtime.create(other);
      await until(() => names.includes(first.name), { what: 'its start is told' });
      const mine = `${first.name}_mine`;
      await runtime.list(); // whatever it remembers must not outlive the name
      await runtime.rename(id, mine);
      await runtime.rename(id, mine);
      assert.deepEqual((await runtime.list()).map(({ name }) => name).sort(), [mine, other.name].sort());
      assert.equal((await runtime.inspect(id))?.state, 'running');
      await assert.rejects(runtime.rename(otherId, mine), { code: 'NameTaken' });
      await assert.rejects(runtime.rename('0'.repeat(64), `${mine}_2`), { code: 'NotFound' });
      assert.equal(await runtime.create({ ...first, name: mine }), id);
      await runtime.kill(id, 'SIGKILL');
      await until(() => names.includes(mine), { what: 'its death is told under its new name' });
      stop.abort();
    });

    it('starts, stops and removes twice without complaint', async () => {
      const id = await started(sandboxSpec());
      await runtime.start(id);
      await runtime.stop(id, 0);
      await runtime.stop(id, 0);
      await runtime.kill(id, 'SIGKILL');
      await runtime.remove(id);
      await runtime.remove(id);
      assert.equal(await runtime.inspect(id), undefined);
    });

    it('does not run again what has ended, where the answers to create and start were lost', async () => {
      const wish = sandboxSpec();
      const id = await started(wish);
      await runtime.kill(id, 'SIGKILL');
      await until(async () => (await runtime.inspect(id))?.state === 'exited', { what: 'it has ended' });
      assert.equal(await runtime.create(wish), id);
      assert.equal((await runtime.start(id))?.state, 'exited');
      assert.equal((await runtime.inspect(id))?.state, 'exited');
    });

    it('says ImageNotFound for an image that is not there', async () => {
      const sandbox = await started(sandboxSpec());
      await assert.rejects(runtime.create({ ...spec(sandbox), image: 'troupe-test/absent:1' }), {
        code: 'ImageNotFound',
      });
      assert.equal(await runtime.imagePresent('troupe-test/absent:1'), undefined);
      assert.ok(await runtime.imagePresent(it_.image));
    });

    it('lists images by name, says which are in use, and removes none that is', async () => {
      const find = async () => (await runtime.images()).find(({ names }) => names.includes(it_.image));
      assert.equal((await find())?.inUse, false);
      assert.ok(((await find())?.sizeBytes ?? 0) > 0);
      const sandbox = await started(sandboxSpec());
      await runtime.create(spec(sandbox));
      assert.equal((await find())?.inUse, true, 'a container that was only made has it too');
      await assert.rejects(runtime.removeImage(it_.image), { code: 'InUse' });
      await runtime.removeImage('troupe-test/absent:1');
      assert.ok(await find());
    });

    it('tells of starts and deaths, with labels, and says how it ended', async () => {
      const stop = new AbortController();
      const events: RuntimeEvent[] = [];
      runtime.events(
        (event) => events.push(event),
        () => undefined,
        stop.signal,
      );
      try {
        const sandbox = await started(sandboxSpec());
        const id = await started(spec(sandbox));
        const has = (type: string): boolean => events.some((e) => e.type === type && e.containerId === id);
        await until(() => has('start'), { what: 'a start event' });
        await runtime.kill(id, 'SIGKILL');
        await until(() => has('die'), { what: 'a death event' });
        assert.equal(events.find((e) => e.containerId === id)?.labels['troupe.kind'], 'container');
        const dead = await runtime.inspect(id);
        assert.equal(dead?.state, 'exited');
        assert.equal(dead.exitCode, 137);
        assert.ok((dead.finishedAtMs ?? 0) >= (dead.startedAtMs ?? 0));
        await runtime.remove(id);
        await until(() => has('destroy'), { what: 'a destroy event' });
      } finally {
        stop.abort();
      }
    });

    it('ends a container within the grace', async () => {
      const sandbox = await started(sandboxSpec());
      const id = await started(spec(sandbox, 'trap "exit 3" TERM; while :; do sleep 0.05; done'));
      await runtime.stop(id, 10);
      assert.equal((await runtime.inspect(id))?.state, 'exited');
    });

    it('runs a command inside and gives its exit code', async () => {
      const sandbox = await started(sandboxSpec());
      const id = await started(spec(sandbox));
      const result = await runtime.exec(id, ['/bin/sh', '-c', 'exit 0'], 10_000);
      assert.equal(result.exitCode, 0);
      assert.equal(result.timedOut, false);
    });

    it('reads output: all, the last lines, and what comes later', async () => {
      const sandbox = await started(sandboxSpec());
      const id = await started(spec(sandbox, 'echo one; echo two; sleep 0.4; echo three; exec sleep 1000'));
      it_.say?.(id, 'one');
      it_.say?.(id, 'two');
      const read = async (tailLines?: number): Promise<string> => {
        const options = tailLines === undefined ? {} : { tailLines };
        let text = '';
        for await (const part of runtime.logs(id, options, new AbortController().signal))
          text += Buffer.from(part).toString();
        return text;
      };
      await until(async () => (await read()).startsWith('one\ntwo\n'), { what: 'both lines' });
      const stop = new AbortController();
      let text = '';
      for await (const part of runtime.logs(id, { follow: true, tailLines: 1 }, stop.signal)) {
        text += Buffer.from(part).toString();
        if (text.endsWith('two\n')) it_.say?.(id, 'three');
        if (text.endsWith('three\n')) stop.abort();
      }
      assert.match(text, /two\nthree\n$/);
      assert.equal(await read(1), 'three\n');
    });

    streamCases(() => ({
      runtime,
      container: async ({ stdin = false } = {}) => {
        const sandbox = await started(sandboxSpec());
        return started(stdin ? { ...spec(sandbox, 'exec cat'), stdin } : spec(sandbox));
      },
    }));

    it('knows its engine', async () => {
      const info = await runtime.info();
      assert.ok(info.cpus > 0 && info.memoryBytes > 0 && info.version !== '');
      assert.equal(info.liveRestore, true);
    });
  });
}
