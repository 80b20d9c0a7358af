import { mkdtempSync, rmSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { TestCluster } from '../cluster.ts';
import { startDockerEngine, type DockerEngine } from '../docker-engine.ts';
import type { Netns } from '../netns.ts';
import type { Lan } from './lan.ts';

export interface SecondNodeOptions {
  readonly cluster: TestCluster;
  readonly lan: Lan;
  readonly name: string;
  /** The second byte of the pods' addresses, as the cluster was started with. */
  readonly network: number;
}

/** Another machine of a cluster: a namespace with an engine, an agent and a proxy of its own, which nobody supervises. */
export class SecondNode {
  readonly space: Netns;
  readonly ip: string;
  readonly engine: DockerEngine;
  readonly #folder: string;
  readonly #flags: Readonly<Record<'proxy' | 'node-agent', readonly string[]>>;
  readonly #parts = new Map<string, ChildProcess>();
  readonly #gateway: string;
  #isLost = false;

  private constructor(
    at: { readonly space: Netns; readonly ip: string; readonly gateway: string },
    folder: string,
    engine: DockerEngine,
    flags: Readonly<Record<'proxy' | 'node-agent', readonly string[]>>,
  ) {
    this.space = at.space;
    this.ip = at.ip;
    this.#gateway = at.gateway;
    this.engine = engine;
    this.#folder = folder;
    this.#flags = flags;
  }

  static async start({ cluster, lan, name, network }: SecondNodeOptions): Promise<SecondNode> {
    const at = await lan.join(name);
    const folder = mkdtempSync(join(tmpdir(), 'troupe-node-'));
    const engine = await startDockerEngine(at.space.enter);
    const [apiserver, nats] = [await lan.reach(cluster.server), await lan.reach(cluster.nats.replace('nats://', ''))];
    const cluster_ = ['--cluster', `e2e${network}`, '--apiserver', apiserver, '--nats', `nats://${nats}`];
    const shared = [...cluster_, '--node-name', name, '--cluster-cidr', `10.${network}.0.0/16`];
    const node = new SecondNode({ ...at, gateway: lan.gateway }, folder, engine, {
      proxy: shared,
      'node-agent': [
        ...[...shared, '--service-cidr', `10.${network + 1}.0.0/16`, '--cluster-dns', `10.${network + 1}.0.10`],
        ...['--docker-socket', engine.socketPath, '--data', join(folder, 'data'), '--node-ip', at.ip],
      ],
    });
    node.startPart('proxy');
    node.startPart('node-agent');
    return node;
  }

  startPart(part: 'proxy' | 'node-agent'): void {
    const level = process.env['TROUPE_TEST_LOG'] ?? 'warn';
    // Each leads a session, as whatever starts services for good has it.
    const child = this.space.spawn('setsid', [
      process.execPath,
      resolve(`dist/${part}.js`),
      ...this.#flags[part],
      '--log-level',
      level,
    ]);
    child.stdout?.on(
      'data',
      (said: Buffer) => process.env['TROUPE_TEST_LOG'] !== undefined && process.stderr.write(said),
    );
    this.#parts.set(part, child);
  }

  pidOf(part: 'proxy' | 'node-agent'): number {
    return this.#parts.get(part)?.pid ?? 0;
  }

  /** As when its power fails: nothing goes in or out any more, and agent, proxy and engine end at once. Resolves when it was so. */
  async lose(): Promise<{ readonly atMs: number }> {
    this.#isLost = true;
    const atMs = performance.now();
    await this.space.run('ip', 'link', 'set', 'eth0', 'down');
    for (const child of this.#parts.values()) child.kill('SIGKILL');
    await this.engine.kill();
    return { atMs };
  }

  /** Its engine is needed for its end. */
  async #recover(): Promise<void> {
    this.#isLost = false;
    await this.space.run('ip', 'link', 'set', 'eth0', 'up');
    await this.space.run('ip', 'route', 'add', 'default', 'via', this.#gateway);
    await this.engine.restart();
  }

  /** Leaves nothing of the node behind but its namespace, which is the link's. */
  async stop(): Promise<void> {
    for (const child of this.#parts.values()) child.kill('SIGKILL');
    if (this.#isLost) await this.#recover();
    await this.space
      .run(
        process.execPath,
        resolve('dist/node-agent.js'),
        ...this.#flags['node-agent'],
        '--teardown',
        '--teardown-grace',
        '0',
      )
      .catch(() => undefined);
    await this.engine.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
