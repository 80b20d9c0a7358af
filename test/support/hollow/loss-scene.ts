import type { Endpoints, Node, Pod } from '../../../lib/api/objects.ts';
import { keyOf, type Key } from '../../../lib/api/keys.ts';
import type { Objects } from '../../../lib/api/kinds.ts';
import { isActive, isReady } from '../../../lib/api/pods.ts';
import type { Client } from '../../../lib/client/client.ts';
import { PartProcess } from '../agent-process.ts';
import { HandStarted } from '../hand-started.ts';
import { until } from '../until.ts';
import { HollowNode, type Loss } from './node.ts';

const clusterName = 'loss';

/** Sets of pods by how they bear the loss of their node: as by default, for very long, not at all. */
export const sets = ['web', 'patient', 'hasty'] as const;
export type PodSet = (typeof sets)[number];
const toleration = (set: PodSet): readonly object[] =>
  set === 'web'
    ? []
    : [
        {
          ...{ key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
          tolerationSeconds: set === 'patient' ? 3_600 : 0,
        },
      ];

/** What one loss of some nodes did, in ms since the first of them was struck. */
export interface LossFigures {
  /** For each node, since it was struck itself: no address of it is in the Endpoints. */
  readonly outMs: readonly number[];
  /** All replicas that are replaced by default are bound elsewhere again. */
  readonly boundMs: number;
  /** And Ready. */
  readonly readyMs: number;
  /** The same of those who bear nothing: bound. */
  readonly hastyMs: number;
  /** For each node, since it was healed: its engine runs no container of a pod that was replaced. */
  readonly clearedMs: number[];
}

/** The p50, p99 and worst of many losses, in words, and the two worst that there are goals for. */
export function worstOf(all: readonly LossFigures[]): {
  readonly out: number;
  readonly ready: number;
  readonly text: string;
} {
  const spread = (times: readonly number[]): readonly [p50: number, p99: number, worst: number] => {
    const sorted = times.toSorted((a, b) => a - b);
    const at = (share: number): number => Math.round(sorted[Math.ceil(sorted.length * share) - 1] ?? NaN);
    return [at(0.5), at(0.99), at(1)];
  };
  const of = {
    'out of the Endpoints': spread(all.flatMap(({ outMs }) => outMs)),
    'bound elsewhere': spread(all.map(({ boundMs }) => boundMs)),
    'Ready elsewhere': spread(all.map(({ readyMs }) => readyMs)),
    'with no toleration': spread(all.map(({ hastyMs }) => hastyMs)),
    'cleared up after the return': spread(all.flatMap(({ clearedMs }) => clearedMs)),
  };
  const texts = Object.entries(of).map(([what, [p50, p99, worst]]) => `${what} p50 ${p50}, p99 ${p99}, worst ${worst}`);
  return {
    out: of['out of the Endpoints'][2],
    ready: of['Ready elsewhere'][2],
    text: `${texts.join('; ')} ms`,
  };
}

/** Puts lists into random orders, the same ones for the same seed. */
export function drawn(seed: number): <T>(items: readonly T[]) => readonly T[] {
  let state = seed + 1;
  const next = (): number => (state = (state * 48_271) % 2_147_483_647);
  return (items) =>
    items
      .map((item) => ({ item, at: next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item);
}

/**
 * A control plane in processes of its own and nodes with real agents in theirs, which can be lost and come back. All changes of pods and
 * Endpoints are recorded in the order in which they were committed.
 */
export class LossScene {
  readonly nodes: readonly HollowNode[];
  readonly client: Client;
  readonly pods = new Map<Key, Pod>();
  /** The most active pods that a set has had at any instant. */
  readonly most = new Map<string, number>();
  readonly #hands: HandStarted;
  readonly #replicas: number;
  readonly #others: PartProcess[] = [];
  readonly #watching = new AbortController();
  #serving: Endpoints | undefined;

  private constructor(hands: HandStarted, client: Client, nodes: readonly HollowNode[], replicas: number) {
    this.#hands = hands;
    this.client = client;
    this.nodes = nodes;
    this.#replicas = replicas;
  }

  /** So many nodes, and so many pods in each set, all Ready. */
  static async start(options: { readonly nodes: number; readonly replicas: number }): Promise<LossScene> {
    const parts = [
      'nats',
      'apiserver',
      'scheduler',
      'replication-controller',
      'endpoints-controller',
      'node-controller',
    ];
    const hands = await HandStarted.start({ cluster: clusterName, parts });
    const client = hands.client();
    const port = (address: string): number => Number(address.split(':').at(-1));
    const ports = { api: port(hands.server), nats: port(hands.natsUrl) };
    const names = Array.from({ length: options.nodes }, (_, i) => `hollow-${i}`);
    const nodes = await Promise.all(names.map((name) => HollowNode.start(name, clusterName, ports)));
    const scene = new LossScene(hands, client, nodes, options.replicas);
    try {
      await scene.#populate();
    } catch (error) {
      await scene.stop();
      throw error;
    }
    return scene;
  }

  /** Starts another scheduler besides; it ends with the scene. */
  async startScheduler(name: string, ...flags: readonly string[]): Promise<void> {
    const reach = ['--apiserver', this.#hands.server, '--nats', this.#hands.natsUrl];
    const scheduler = new PartProcess('scheduler', [...reach, '--scheduler-name', name, ...flags], {
      TROUPE_CLUSTER: clusterName,
    });
    this.#others.push(scheduler);
    await scheduler.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#others.map((other) => other.kill()));
    this.#watching.abort(new Error('over'));
    await Promise.all(this.nodes.map((node) => node.stop()));
    this.client.close();
    await this.#hands.stop();
  }

  /** The pods of a set that are to run and are not on their way out. */
  active(set: PodSet): readonly Pod[] {
    return [...this.pods.values()].filter((pod) => setOf(pod) === set && isActive(pod));
  }

  /** Nodes on which pods of the default kind run. */
  used(): readonly HollowNode[] {
    const names = new Set(this.active('web').map(({ spec }) => spec.nodeName));
    return this.nodes.filter(({ name }) => names.has(name));
  }

  /** Strikes the nodes as told, and waits until all that follows by default has followed. */
  async lose(how: ReadonlyMap<HollowNode, Loss>): Promise<LossFigures> {
    const began = performance.now();
    const since = (from: number): number => performance.now() - from;
    const lost = new Set([...how.keys()].map(({ name }) => name));
    const elsewhere = (set: PodSet): readonly Pod[] =>
      this.active(set).filter(({ spec }) => spec.nodeName !== undefined && !lost.has(spec.nodeName));
    const all = (pods: readonly Pod[]): boolean => pods.length === this.#replicas;
    const [bound, ready, hasty, ...out] = await Promise.all([
      this.#until('as many are bound elsewhere', () => all(elsewhere('web'))).then(() => since(began)),
      this.#until('as many are Ready elsewhere', () => all(elsewhere('web').filter(isReady))).then(() => since(began)),
      this.#until('as many of the hasty are elsewhere', () => all(elsewhere('hasty'))).then(() => since(began)),
      ...[...how].map(async ([node, loss]) => {
        const struck = performance.now();
        await node.lose(loss);
        await this.#until(`${node.name}, ${loss}, is out of the Endpoints`, () => !this.#serves(node));
        return since(struck);
      }),
    ]);
    return { outMs: out, boundMs: bound, readyMs: ready, hastyMs: hasty, clearedMs: [] };
  }

  /** Until the API says so, and the Endpoints have none of their addresses. */
  async untilLost(nodes: readonly HollowNode[]): Promise<void> {
    const names = new Set(nodes.map(({ name }) => name));
    await this.#until('the nodes to be lost', async () => {
      const { items } = await this.client.list('nodes');
      return (
        items.every((node) => isHeard(node) !== names.has(node.metadata.name)) &&
        !nodes.some((node) => this.#serves(node))
      );
    });
  }

  /** Heals all nodes and waits until all is in order. Resolves to the ms for each until its engine ran no container of a pod that was replaced. */
  async heal(): Promise<readonly number[]> {
    const began = performance.now();
    const lost = this.nodes.filter(({ isLost }) => isLost);
    for (const node of lost) node.heal();
    const cleared = lost.map(async (node) => {
      await this.#until(`what was replaced on ${node.name} to end`, async () => !(await this.#runsReplaced(node)));
      return performance.now() - began;
    });
    const [, ...times] = await Promise.all([this.settled(), ...cleared]);
    return times;
  }

  /** All nodes are heard, every set is complete and Ready, just these containers run, and the Endpoints have just these pods. */
  async settled(): Promise<void> {
    const isSo = async (): Promise<boolean> => {
      const { items } = await this.client.list('nodes');
      const uids = [...this.pods.values()].map(({ metadata }) => metadata.uid);
      const ips = this.active('web').map(({ status }) => status.podIP);
      const checks = {
        nodes: items.length === this.nodes.length && items.every(isHeard),
        sets: sets.every((set) => this.active(set).filter(isReady).length === this.#replicas),
        pods: this.pods.size === sets.length * this.#replicas,
        containers: same([...(await this.running()).values()], uids),
        endpoints: same(
          this.#addresses().map(({ ip }) => ip),
          ips,
        ),
      };
      missing = Object.entries(checks).flatMap(([what, isOk]) => (isOk ? [] : what));
      return missing.length === 0;
    };
    let missing: readonly string[] = [];
    await this.#until(() => `all to be in order; not so: ${missing.join(', ')}`, isSo);
  }

  /** The uid of the pod of each container of the sets that engines run, but for sandboxes, by its node and id. */
  async running(nodes: readonly HollowNode[] = this.nodes): Promise<ReadonlyMap<string, string>> {
    const found = await Promise.all(
      nodes.map(async ({ name, engine }) => (await engine.list()).map((container) => ({ ...container, name }))),
    );
    return new Map(
      found
        .flat()
        .filter(({ state, labels }) => state === 'running' && labels['troupe.kind'] === 'container')
        .filter(({ labels }) => labels['troupe.pod.namespace'] === 'default')
        .map(({ name, id, labels }) => [`${name}/${id}`, labels['troupe.pod.uid'] ?? '']),
    );
  }

  /** Whether it runs a container of a pod that the API does not have any more. */
  async #runsReplaced(node: HollowNode): Promise<boolean> {
    const uids = new Set([...this.pods.values()].map(({ metadata }) => metadata.uid));
    return [...(await this.running([node])).values()].some((uid) => !uids.has(uid));
  }

  async #populate(): Promise<void> {
    await this.#until('the nodes', async () => {
      const { items } = await this.client.list('nodes');
      return items.length === this.nodes.length && items.every(isHeard);
    });
    void this.#record('pods', (pod, isGone) => {
      if (pod.metadata.namespace !== 'default') return;
      if (isGone) this.pods.delete(keyOf(pod));
      else this.pods.set(keyOf(pod), pod);
      for (const set of sets) this.most.set(set, Math.max(this.most.get(set) ?? 0, this.active(set).length));
    });
    void this.#record('endpoints', (endpoints, isGone) => {
      if (endpoints.metadata.name === 'web') this.#serving = isGone ? undefined : endpoints;
    });
    await this.client.create('services', {
      metadata: { name: 'web', namespace: 'default' },
      spec: { selector: { app: 'web' }, ports: [{ port: 80 }] },
    });
    for (const set of sets)
      await this.client.create('replicationcontrollers', {
        metadata: { name: set, namespace: 'default' },
        spec: {
          replicas: this.#replicas,
          template: {
            metadata: { labels: { app: set } },
            spec: {
              terminationGracePeriodSeconds: 1,
              tolerations: toleration(set),
              containers: [{ name: 'app', image: 'example/web:1', ports: [{ containerPort: 80 }] }],
            },
          },
        },
      });
    await this.settled();
  }

  async #record<R extends 'pods' | 'endpoints'>(
    resource: R,
    note: (object: Objects[R], isGone: boolean) => void,
  ): Promise<void> {
    const { signal } = this.#watching;
    const { items, revision } = await this.client.list(resource);
    for (const object of items) note(object, false);
    try {
      for await (const events of this.client.watch(resource, { fromRevision: revision }, signal))
        for (const { type, object } of events) if (object !== undefined) note(object, type === 'DELETED');
    } catch (error) {
      if (!signal.aborted) this.#broken = error;
    }
  }
  #broken: unknown;

  #addresses(): readonly { readonly ip: string; readonly nodeName?: string }[] {
    return (this.#serving?.subsets ?? []).flatMap(({ addresses }) => addresses ?? []);
  }
  #serves(node: HollowNode): boolean {
    return this.#addresses().some(({ nodeName }) => nodeName === node.name);
  }

  #until(what: string | (() => string), check: () => boolean | Promise<boolean>): Promise<unknown> {
    const told = (): string =>
      [
        typeof what === 'string' ? what : what(),
        ...[...this.pods.values()].map(
          (pod) =>
            `${keyOf(pod)} ${pod.metadata.uid} on ${pod.spec.nodeName} ${isReady(pod) ? 'ready' : 'not ready'} deleted ${pod.metadata.deletionTimestamp}`,
        ),
        ...['node-controller', 'scheduler'].map((part) => this.#hands.log(part).slice(-2_000)),
      ].join('\n');
    return until(
      () => {
        if (this.#broken !== undefined) throw new Error('the record broke', { cause: this.#broken });
        return check();
      },
      { what: told, timeoutMs: 60_000, everyMs: 10 },
    );
  }
}

const setOf = (pod: Pod): string | undefined => pod.metadata.labels?.['app'];

const isHeard = ({ spec, status }: Node): boolean =>
  status.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true &&
  (spec.taints ?? []).length === 0;

const same = (a: readonly unknown[], b: readonly unknown[]): boolean => a.toSorted().join() === b.toSorted().join();
