import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '../../lib/client/client.ts';
import { newClient } from '../../lib/client/grpc-client.ts';
import { freePort } from '../support/free-port.ts';
import { startNatsServer, type NatsServer } from '../support/nats-server.ts';
import { until } from '../support/until.ts';

interface Line {
  readonly epoch: string;
  readonly revision: number;
  readonly resource: string;
  readonly type: string;
  readonly subject: string;
  readonly relist?: true;
}

/** A process that is ended with SIGKILL only. */
class Program {
  readonly #args: readonly string[];
  #child: ChildProcess | undefined;
  said = '';

  constructor(...args: readonly string[]) {
    this.#args = args;
  }
  start(): void {
    this.#child = spawn(process.execPath, ['--import=tsx', ...this.#args], { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      output?.on('data', (chunk: Buffer) => (this.said = (this.said + chunk.toString()).slice(-4_000)));
    }
  }
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }
}

describe('e2e/event-subscriber: examples/event-subscriber misses nothing', function () {
  this.timeout(120_000);
  let folder: string;
  let file: string;
  let nats: NatsServer;
  let apiserver: Program;
  let subscriber: Program;
  let client: Client;
  /** Every change the API acknowledged, as `revision type subject`, in order. */
  let acknowledged: string[];
  let count = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'troupe-subscriber-'));
    file = join(folder, 'changes.jsonl');
    nats = await startNatsServer();
    const address = `127.0.0.1:${await freePort()}`;
    apiserver = new Program(
      ...['services/apiserver/main.ts', '--listen', address, '--data', join(folder, 'api'), '--nats', nats.url],
      ...['--cluster', 'e2e', '--log-level', 'warn', '--telemetry', ''],
    );
    subscriber = new Program(
      ...['examples/event-subscriber/subscriber.ts', '--nats', nats.url, '--cluster', 'e2e', '--file', file],
    );
    apiserver.start();
    subscriber.start();
    client = newClient({ address });
    acknowledged = [];
    await until(() => client.get('namespaces', 'default'), { timeoutMs: 30_000, what: 'the API answers' });
  });
  after(async () => {
    client?.close();
    await subscriber?.kill();
    await apiserver?.kill();
    await nats?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const lines = (): Line[] =>
    !existsSync(file)
      ? []
      : readFileSync(file, 'utf8')
          .split('\n')
          .filter((text) => text.endsWith('}'))
          .map((text) => JSON.parse(text) as Line);
  const heard = (): string[] =>
    lines()
      .filter((line) => line.resource === 'configmaps')
      .map(({ revision, type, subject }) => `${revision} ${type} ${subject}`);

  /** Creates, changes and deletes a ConfigMap; a call that fails on the way is asked again. */
  async function changeSomething(): Promise<void> {
    const name = `c${++count}`;
    const told = (change: string, object: { metadata: { resourceVersion: string } }): void => {
      acknowledged.push(`${object.metadata.resourceVersion} troupe.v1.configmaps.${change} default/${name}`);
    };
    const made = await client.create('configmaps', { metadata: { name, namespace: 'default' }, data: { n: '1' } });
    told('added', made);
    told('modified', await client.update('configmaps', { ...made, data: { n: '2' } }));
  }
  const hearsEverything = async (): Promise<void> => {
    await until(() => heard().length >= acknowledged.length, {
      timeoutMs: 40_000,
      what: () =>
        `the subscriber has ${acknowledged.length} changes, and not ${heard().length} (its last words: ${subscriber.said})`,
    });
    assert.deepEqual(heard(), acknowledged);
  };

  it('writes down each change once and in order', async () => {
    for (let n = 0; n < 20; n++) await changeSomething();
    await hearsEverything();
    assert.equal(
      lines().some((line) => line.relist),
      false,
    );
  });

  it('prints changes as they happen, with the small example', async () => {
    const live = new Program(
      ...['examples/event-subscriber/live.ts', '--nats', nats.url, '--cluster', 'e2e', '--resource', 'configmaps'],
    );
    try {
      live.start();
      await until(
        async () => {
          await changeSomething();
          return live.said.includes('troupe.v1.configmaps.modified default/c');
        },
        { timeoutMs: 20_000, everyMs: 200, what: 'a change is printed' },
      );
    } finally {
      await live.kill();
    }
  });

  it('goes on where it was after kill -9, of itself and of NATS, again and again', async () => {
    for (let round = 0; round < 4; round++) {
      const writing = (async () => {
        for (let n = 0; n < 25; n++) await changeSomething();
      })();
      if (round % 2 === 0) await subscriber.kill();
      await nats.kill();
      await changeSomething();
      await writing;
      await nats.start();
      if (round % 2 === 0) subscriber.start();
      else {
        await subscriber.kill();
        subscriber.start();
      }
      await changeSomething();
    }
    acknowledged.sort((a, b) => parseInt(a) - parseInt(b)); // written by two at once
    await hearsEverything();
    assert.equal(
      lines().some((line) => line.relist),
      false,
    );
  });

  it('has every change in its order when it was killed with more in its hands than it had written down', async () => {
    await subscriber.kill();
    for (let n = 0; n < 150; n++) await changeSomething();
    for (let round = 0; round < 3; round++) {
      const before = lines().length;
      subscriber.start();
      await until(() => lines().length > before, { timeoutMs: 20_000, everyMs: 1, what: 'the first of them' });
      await subscriber.kill();
      await changeSomething();
    }
    subscriber.start();
    await hearsEverything();
  });

  it('has every change also when the API server was killed with changes not yet published', async () => {
    await nats.kill();
    for (let n = 0; n < 10; n++) await changeSomething();
    await apiserver.kill();
    await nats.start();
    apiserver.start();
    await until(() => client.get('namespaces', 'default'), { timeoutMs: 30_000, what: 'the API answers again' });
    await changeSomething();
    await hearsEverything();
  });

  it('says that it must list again when NATS has lost everything, and then has everything again', async () => {
    await nats.kill();
    await changeSomething();
    await nats.start({ wipe: true });
    await until(() => lines().some((line) => line.relist), { timeoutMs: 40_000, what: 'the new epoch is noticed' });
    await changeSomething();
    await until(() => heard().at(-1) === acknowledged.at(-1), { timeoutMs: 40_000, what: 'it follows again' });
    const epoch = lines().at(-1)?.epoch;
    const again = lines().filter((line) => line.epoch === epoch && line.resource === 'configmaps');
    assert.deepEqual(
      again.map(({ revision, type, subject }) => `${revision} ${type} ${subject}`),
      acknowledged,
    );
  });
});
