import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNoopMeter, trace } from '@opentelemetry/api';
import type { ObjectReference, Pod, PodSpec } from '../../lib/api/objects.ts';
import { systemClock } from '../../lib/base/clock.ts';
import { silentLog } from '../../lib/base/log.ts';
import { MemoryBroker, MemoryBus } from '../../lib/bus/memory-bus.ts';
import { newViews } from '../../lib/view/views.ts';
import { newAgent, type Agent } from '../../node-agent/agent.ts';
import type { AgentOptions } from '../../node-agent/agent-options.ts';
import { openCgroups } from '../../node-agent/cgroups/node-cgroups.ts';
import type { PodCgroups } from '../../node-agent/cgroups/pod-cgroups.ts';
import { newVethNetwork } from '../../node-agent/network/veth-network.ts';
import { defaultHostIp, machineOf } from '../../node-agent/node/machine.ts';
import { newDiskStorage } from '../../node-agent/pod-storage.ts';
import { newDockerRuntime } from '../../node-agent/runtime/docker-runtime.ts';
import type { ContainerRuntime } from '../../node-agent/runtime/runtime.ts';
import { teardown } from '../../node-agent/teardown.ts';
import { newDisks } from '../../node-agent/disks/disks.ts';
import type { VolumeDriver } from '../../node-agent/volumes/driver.ts';
import { newVolumeDrivers } from '../../node-agent/volumes/drivers.ts';
import { newMemoryFiles, type MemoryFiles } from '../../node-agent/volumes/memory-files.ts';
import { parseHostPaths } from '../../node-agent/volumes/host-path.ts';
import { newRegistry, type RunningRegistry } from '../../services/apiserver/registry/index.ts';
import { MemoryStore } from '../../services/apiserver/store/memory.ts';
import { importBusybox, startDockerEngine, type DockerEngine } from './docker-engine.ts';
import { RegistryClient } from './registry-client.ts';
import { podMounts } from './pod-mounts.ts';
import { until } from './until.ts';

export interface Told {
  readonly reason: string;
  readonly message: string;
  readonly about: ObjectReference;
}

type PodWish = Omit<Partial<PodSpec>, 'containers' | 'initContainers'> & {
  readonly containers?: readonly object[];
  readonly initContainers?: readonly object[];
};

/**
 * An agent on a real engine, with real networking, before a registry in memory: all of a node but the wire. Its pods have
 * addresses of `10.<network>.1.0/24`. `stop` leaves nothing behind.
 */
export class RealNode {
  readonly engine: DockerEngine;
  readonly runtime: ContainerRuntime;
  readonly client: RegistryClient;
  readonly bus = new MemoryBus(new MemoryBroker());
  readonly told: Told[] = [];
  readonly dataDir = mkdtempSync(join(tmpdir(), 'troupe-node-'));
  readonly disks = newDisks(this.dataDir);
  readonly drivers: ReadonlyMap<string, VolumeDriver>;
  readonly hostIp: string;
  readonly nodeName: string;
  agent!: Agent;
  /** What its agent has besides; taken into account when it starts. */
  wish: Partial<AgentOptions> = {};
  #cgroups: PodCgroups | undefined;
  readonly memory: MemoryFiles;
  readonly #store: MemoryStore;
  readonly #network: number;
  readonly #registry: RunningRegistry;
  #stop = new AbortController();

  private constructor(
    engine: DockerEngine,
    registry: RunningRegistry,
    options: { network: number; hostIp: string; store: MemoryStore },
  ) {
    this.#store = options.store;
    this.engine = engine;
    this.#registry = registry;
    this.#network = options.network;
    this.hostIp = options.hostIp;
    this.nodeName = `real-${options.network}`;
    this.memory = newMemoryFiles(this.dataDir);
    const place = { nodeName: this.nodeName, disks: this.disks, memory: this.memory, podsHere: () => [] };
    this.drivers = newVolumeDrivers({ hostPaths: parseHostPaths(`${tmpdir()},/dev/null,/usr/share:ro`), ...place });
    this.client = new RegistryClient(registry);
    this.runtime = newDockerRuntime({ socketPath: engine.socketPath, cluster: 'real', node: this.nodeName });
  }

  static async start(network: number, wish: Partial<AgentOptions> = {}): Promise<RealNode> {
    const engine = await startDockerEngine();
    try {
      await importBusybox(engine.docker);
      const store = new MemoryStore({ clock: systemClock });
      const registry = await newRegistry({ store, clock: systemClock });
      const node = new RealNode(engine, registry, { network, hostIp: await defaultHostIp(), store });
      node.wish = wish;
      await node.startAgent();
      return node;
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  async startAgent(): Promise<void> {
    this.#stop = new AbortController();
    const { client, runtime, bus, dataDir } = this;
    const name = this.nodeName;
    const shared = {
      client,
      cluster: 'real',
      clock: systemClock,
      log: silentLog,
      meter: createNoopMeter(),
      signal: this.#stop.signal,
    };
    const engine = await runtime.info();
    const limits = { cpuShares: engine.cpus * 1024 };
    this.#cgroups = await openCgroups(engine, { cluster: 'real', name, limits, log: silentLog });
    const views = newViews({ pods: { node: name }, services: {}, nodes: {} }, shared);
    this.agent = newAgent({
      ...{ ...shared, bus, runtime, pods: views.pods, services: views.services, nodes: views.nodes },
      machine: machineOf({ name, hostIp: this.hostIp, dataDir, maxPods: 110, agentVersion: 'test' }, engine),
      network: this.#veth(),
      storage: newDiskStorage(dataDir, this.drivers, this.memory),
      synced: views.synced(),
      dns: { clusterDns: '10.96.0.10', clusterDomain: 'cluster.local', nodeResolvConf: '' },
      tracer: trace.getTracer('test'),
      cgroups: this.#cgroups,
      telling: { event: (about, _, reason, message) => this.told.push({ about, reason, message }) },
      ...this.wish,
    });
    const node = await until(() => client.get('nodes', name), { what: 'the node is registered', timeoutMs: 20_000 });
    if (node.spec.podCIDR === undefined) {
      const podCIDR = `10.${this.#network}.1.0/24`;
      await client.update('nodes', { ...node, spec: { ...node.spec, podCIDR, podCIDRs: [podCIDR] } });
    }
    await until(() => this.agent.notReady() === undefined, { what: 'the agent is ready', timeoutMs: 20_000 });
  }

  /** As by kill -9 of its process. */
  stopAgent(): void {
    this.#stop.abort(new Error('killed'));
  }

  async stop(): Promise<void> {
    this.stopAgent();
    const storage = newDiskStorage(this.dataDir, this.drivers, this.memory);
    const { runtime } = this;
    await teardown({
      runtime,
      network: this.#veth(),
      storage,
      disks: this.disks,
      memory: this.memory,
      cgroups: this.#cgroups,
      log: silentLog,
      graceSeconds: 0,
    }).catch(() => undefined);
    await this.engine.stop();
    await this.bus.close();
    await this.#registry.close();
    await this.#store.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }

  createPod(name: string, spec: PodWish, annotations: Readonly<Record<string, string>> = {}): Promise<Pod> {
    const containers = (spec.containers ?? [{ name: 'main', command: ['sleep', '100000'] }]).map((container) => ({
      image: 'troupe-test/busybox:1',
      ...container,
    }));
    const quick = { terminationGracePeriodSeconds: 1, nodeName: this.nodeName };
    return this.client.create('pods', {
      metadata: { name, namespace: 'default', annotations },
      spec: { ...quick, ...spec, containers },
    });
  }

  async untilPod(name: string, what: string, check: (pod: Pod) => boolean, timeoutMs = 30_000): Promise<Pod> {
    let last: Pod | undefined;
    return until(
      async () => {
        last = await this.client.get('pods', `default/${name}`);
        return last !== undefined && check(last) ? last : undefined;
      },
      { what: `pod ${name} ${what}`, timeoutMs, everyMs: 5 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(last?.status)} ${JSON.stringify(this.told.slice(-5))}`);
    });
  }
  untilReady(name: string, timeoutMs?: number): Promise<Pod> {
    const ready = (pod: Pod): boolean =>
      pod.status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
    return this.untilPod(name, 'is ready', ready, timeoutMs);
  }
  async untilGone(name: string, timeoutMs = 30_000): Promise<void> {
    await until(async () => (await this.client.get('pods', `default/${name}`)) === undefined, {
      what: `pod ${name} is gone`,
      timeoutMs,
      everyMs: 5,
    });
  }

  /** Ends all pods; resolves when no container of theirs is left. */
  async empty(graceSeconds = 0): Promise<void> {
    for (const pod of (await this.client.list('pods')).items) {
      const key = `default/${pod.metadata.name}`;
      await this.client.delete('pods', key, { gracePeriodSeconds: graceSeconds }).catch(() => undefined);
    }
    await until(() => this.agent.podCount === 0, { what: 'all pods are gone', timeoutMs: 30_000 });
    assert.deepEqual(await this.runtime.list(), []);
  }

  /** Runs a command in a pod's container; its output. */
  async exec(pod: string, container: string, command: string): Promise<string> {
    const found = await this.container(pod, container);
    const result = await this.runtime.exec(found, ['/bin/sh', '-c', command], 10_000);
    if (result.exitCode !== 0) throw new Error(`${command}: exit code ${result.exitCode}: ${result.output}`);
    return result.output;
  }
  async container(pod: string, name: string): Promise<string> {
    const found = (await this.runtime.list()).find(
      ({ labels, state }) =>
        labels['troupe.pod.name'] === pod && labels['troupe.container'] === name && state === 'running',
    );
    if (found === undefined) throw new Error(`no container ${name} of ${pod} runs`);
    return found.id;
  }

  /** What the agent left on the machine of its pods: routes, mounts and files in memory. */
  leftovers(): { readonly routes: string; readonly mounts: readonly string[] } {
    const routes = execFileSync('ip', ['-o', 'route', 'show', 'root', `10.${this.#network}.0.0/16`]).toString();
    return { routes, mounts: podMounts(this.dataDir) };
  }

  #veth(): ReturnType<typeof newVethNetwork> {
    return newVethNetwork({
      clusterCidr: `10.${this.#network}.0.0/16`,
      serviceCidr: '10.96.0.0/12',
      owner: `real/${this.nodeName}`,
      table: `troupe_node_real_${this.#network}`,
      log: silentLog,
    });
  }
}
