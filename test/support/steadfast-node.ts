import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newClient } from '../../lib/client/grpc-client.ts';
import type { Client } from '../../lib/client/client.ts';
import type { Pod, PodSpec } from '../../lib/api/objects.ts';
import { isReady } from '../../lib/api/pods.ts';
import { containerOf } from '../../node-agent/runtime/docker-container.ts';
import { PartProcess } from './agent-process.ts';
import { run } from './cluster.ts';
import { freePort } from './free-port.ts';
import { importBusybox, startDockerEngine, type DockerEngine } from './docker-engine.ts';
import { EngineProxy } from './engine-proxy.ts';
import { mountLines, podMounts } from './pod-mounts.ts';
import { until } from './until.ts';

type PodWish = Omit<Partial<PodSpec>, 'containers' | 'initContainers'> & {
  readonly containers: readonly object[];
  readonly initContainers?: readonly object[];
};

export interface Leftovers {
  readonly routes: readonly string[];
  readonly devices: readonly string[];
  readonly mounts: readonly string[];
  readonly folders: readonly string[];
}

/** It was removed since it was listed. */
const isGone = (error: unknown): boolean => (error as { readonly statusCode?: number }).statusCode === 404;

const isIdle = (names: readonly string[]): boolean => names.some((name) => name.startsWith('/troupe_WARM_'));

export interface Found {
  readonly name: string;
  readonly kind: string;
  readonly state: string;
  readonly exitCode: number;
  /** Why the engine could not start it. */
  readonly error: string;
}

/** What was seen of one pod from its creation on. */
export interface Seen {
  readonly pods: readonly Pod[];
  readonly deleted: boolean;
}

/**
 * The real agent in a process of its own, on a real engine behind a proxy, before a real apiserver: everything that can be
 * killed can be killed. Its pods have addresses of `10.<network>.1.0/24`. `stop` leaves nothing behind.
 */
export class SteadfastNode {
  readonly folder: string;
  readonly client: Client;
  agent: PartProcess;
  readonly engine: DockerEngine;
  readonly proxy: EngineProxy;
  readonly #api: PartProcess;
  readonly #network: number;
  readonly #seen = new Map<string, { pods: Pod[]; deleted: boolean }>();
  readonly #watching = new AbortController();
  /** Called for each change of a pod; undefined: it is gone. */
  onPod: (name: string, pod: Pod | undefined) => void = () => undefined;
  readonly #agentArgs: readonly string[];

  private constructor(
    network: number,
    made: {
      engine: DockerEngine;
      proxy: EngineProxy;
      api: PartProcess;
      address: string;
      folder: string;
      flags: readonly string[];
    },
  ) {
    this.#network = network;
    this.engine = made.engine;
    this.proxy = made.proxy;
    this.#api = made.api;
    this.folder = made.folder;
    this.client = newClient({ address: made.address });
    this.#agentArgs = [
      ...['--node-name', `steadfast-${network}`, '--cluster', `steadfast${network}`, '--apiserver', made.address],
      ...['--nats', '', '--docker-socket', made.proxy.socketPath, '--data', join(made.folder, 'node')],
      ...['--cluster-cidr', `10.${network}.0.0/16`, '--service-cidr', `10.${network + 1}.0.0/16`, '--telemetry', ''],
      ...['--host-paths', made.folder],
      ...made.flags,
    ];
    this.agent = new PartProcess('node-agent', this.#agentArgs);
  }

  /** `direct`: the agent speaks with the engine itself, for measuring. */
  static async start(network: number, flags: readonly string[] = [], direct = false): Promise<SteadfastNode> {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-steadfast-'));
    const engine = await startDockerEngine();
    const address = `127.0.0.1:${await freePort()}`;
    const apiArgs = ['--listen', address, '--nats', '', '--data', join(folder, 'api'), '--telemetry', ''];
    const api = new PartProcess('apiserver', [...apiArgs, '--service-cidr', `10.${network + 1}.0.0/16`]);
    const proxy = await EngineProxy.start(join(folder, 'engine.sock'), engine.socketPath);
    const all = direct ? [...flags, '--docker-socket', engine.socketPath] : flags;
    const node = new SteadfastNode(network, { engine, proxy, api, address, folder, flags: all });
    try {
      await importBusybox(engine.docker);
      await api.start();
      void node.#watch();
      await node.agent.start();
      const name = `steadfast-${network}`;
      const podCIDR = `10.${network}.1.0/24`;
      const assigned = async (): Promise<unknown> => {
        const found = await node.client.get('nodes', name);
        if (found === undefined) return undefined;
        return node.client.update('nodes', { ...found, spec: { ...found.spec, podCIDR, podCIDRs: [podCIDR] } });
      };
      await until(assigned, { what: 'the node has its range', timeoutMs: 20_000 }); // the agent writes it too: conflicts are tried again
      return node;
    } catch (error) {
      await node.stop();
      throw new Error(`${String(error)}: ${node.agent.said.slice(-2_000)}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    this.#watching.abort();
    this.proxy.reset();
    await this.agent.kill();
    await run(process.execPath, ['dist/node-agent.js', ...this.#agentArgs, '--teardown', '--teardown-grace', '0']);
    await this.proxy.stop();
    await this.#api.kill();
    this.client.close();
    await this.engine.stop();
    for (const line of mountLines(this.folder).toReversed()) await run('umount', ['-l', line.split(' ')[1] ?? '']);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Kills the agent and starts it again, with these flags and this environment besides its own; `meanwhile` runs when it is dead. */
  async restartAgent(
    flags: readonly string[],
    { meanwhile, env }: { readonly meanwhile?: () => void; readonly env?: Readonly<Record<string, string>> } = {},
  ): Promise<void> {
    await this.agent.kill();
    meanwhile?.();
    this.agent = new PartProcess('node-agent', [...this.#agentArgs, ...flags], env);
    await this.agent.start();
  }

  createPod(name: string, spec: PodWish): Promise<Pod> {
    const withImage = (container: object): object => ({ image: 'troupe-test/busybox:1', ...container });
    return this.client.create('pods', {
      metadata: { name, namespace: 'default' },
      spec: {
        ...{ terminationGracePeriodSeconds: 2, nodeName: `steadfast-${this.#network}` },
        ...spec,
        containers: spec.containers.map(withImage),
        ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(withImage) }),
      },
    });
  }

  get apiPid(): number {
    return this.#api.pid;
  }
  /** Where the agent keeps what it must not forget. */
  get agentData(): string {
    return join(this.folder, 'node');
  }
  get nodeName(): string {
    return `steadfast-${this.#network}`;
  }

  /** Everything that the API's watch told of a pod. */
  seen(name: string): Seen {
    return this.#seen.get(name) ?? { pods: [], deleted: false };
  }
  async untilReady(name: string): Promise<void> {
    await this.#until(name, 'is ready', () => {
      const last = this.seen(name).pods.at(-1);
      return last !== undefined && isReady(last);
    });
  }
  async untilGone(name: string): Promise<void> {
    await this.#until(name, 'is gone', () => this.seen(name).deleted);
  }

  /** What is on the machine of any of its pods. */
  leftovers(): Leftovers {
    const lines = (...args: readonly string[]): readonly string[] =>
      execFileSync('ip', args)
        .toString()
        .split('\n')
        .filter((line) => line !== '');
    const routes = lines('-o', 'route', 'show', 'root', `10.${this.#network}.0.0/16`);
    const devices = lines('neighbour', 'show', 'to', `10.${this.#network}.0.0/16`);
    const mounts = podMounts(join(this.folder, 'node'));
    const root = join(this.folder, 'node/pods');
    return { routes, devices, mounts, folders: existsSync(root) ? readdirSync(root) : [] };
  }

  /** The commands of all processes that run in the control group of a pod, whether the engine knows of them or not. */
  processesOf(uid: string): readonly string[] {
    const read = (pid: string, name: string): string => {
      try {
        return readFileSync(`/proc/${pid}/${name}`, 'utf8');
      } catch {
        return ''; // it has ended
      }
    };
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && read(pid, 'cgroup').includes(`pod${uid}`))
      .map((pid) => read(pid, 'cmdline').replaceAll('\0', ' ').trim())
      .filter((command) => command !== '');
  }

  /** The addresses of the sandboxes that wait for pods. */
  async idleAddresses(): Promise<readonly string[]> {
    const found = await this.engine.docker.listContainers({ all: true });
    return found.filter(({ Names }) => isIdle(Names)).map(({ Labels }) => Labels['troupe.ip'] ?? '');
  }

  /** Whether the engine has nothing but `count` sandboxes that run and wait. */
  async isAtRest(count: number): Promise<boolean> {
    const found = await this.engine.docker.listContainers({ all: true });
    return found.length === count && found.every(({ Names, State }) => isIdle(Names) && State === 'running');
  }

  /** The containers that the engine has for pods. */
  async containers(): Promise<readonly Found[]> {
    const { docker } = this.engine;
    const found = (await docker.listContainers({ all: true })).filter(({ Names }) => !isIdle(Names));
    const looked = await Promise.all(
      found.map(async ({ Id }) =>
        docker
          .getContainer(Id)
          .inspect()
          .catch((error: unknown) => {
            if (isGone(error)) return undefined;
            throw error;
          }),
      ),
    );
    return looked.flatMap((container) =>
      container === undefined
        ? []
        : {
            name: container.Config.Labels['troupe.container'] ?? '',
            kind: (container.Config.Labels['troupe.kind'] ?? '').replace('warm', 'sandbox'),
            state: container.State.Status,
            exitCode: containerOf(container).exitCode ?? 0,
            error: container.State.Error,
          },
    );
  }

  async #until(name: string, what: string, check: () => boolean): Promise<void> {
    await until(check, { what: `pod ${name} ${what}`, timeoutMs: 20_000, everyMs: 5 }).catch(async (error: unknown) => {
      const containers = JSON.stringify(await this.containers().catch(String));
      const status = JSON.stringify(this.seen(name).pods.at(-1)?.status);
      throw new Error(`${String(error)}\n${status}\n${containers}\n${this.agent.said.slice(-3_000)}`, { cause: error });
    });
  }

  async #watch(): Promise<void> {
    const { signal } = this.#watching;
    const { revision } = await this.client.list('pods');
    for await (const events of this.client.watch('pods', { fromRevision: revision }, signal)) {
      for (const { type, object } of events) {
        if (type === 'BOOKMARK' || object === undefined) continue;
        const { name } = object.metadata;
        const seen = this.#seen.get(name) ?? { pods: [], deleted: false };
        this.#seen.set(name, seen);
        if (type === 'DELETED') seen.deleted = true;
        else seen.pods.push(object);
        this.onPod(name, type === 'DELETED' ? undefined : object);
      }
    }
  }
}
