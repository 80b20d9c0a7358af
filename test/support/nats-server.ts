import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** A real nats-server with JetStream on loopback, with a store folder of its own. */
export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** Ends it in good order and waits until it is gone. Its folder stays for `start`. */
  stop(): Promise<void>;
  /** kill -9. */
  kill(): Promise<void>;
  /** Starts it again on the same port and folder, or an empty folder with `wipe`. */
  start(options?: { readonly wipe?: boolean }): Promise<void>;
  /** kill -9 and removes the folder. Call it in `after`, also when a test failed. */
  remove(): Promise<void>;
}

/** Starts the `nats-server` found on the path, or the program that `TROUPE_TEST_NATS_SERVER` names. */
export async function startNatsServer(): Promise<NatsServer> {
  const program = process.env['TROUPE_TEST_NATS_SERVER'] ?? 'nats-server';
  const port = await freePort();
  const folder = await mkdtemp(join(tmpdir(), 'troupe-nats-'));
  let child: ChildProcess | undefined;

  async function start(options: { readonly wipe?: boolean } = {}): Promise<void> {
    if (options.wipe) await rm(folder, { recursive: true, force: true });
    child = spawn(program, ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', folder], { stdio: 'ignore' });
    child.on('error', () => undefined); // a program that cannot be found shows as a port that never opens
    await until(() => accepts(port), { timeoutMs: 30_000, what: `${program} listens on port ${port}` });
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const gone = once(running, 'exit');
    running.kill(signal);
    await gone;
  }

  await start();
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    async remove() {
      await end('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => (socket.destroy(), resolve(true)));
    socket.on('error', () => resolve(false));
  });
}
