import { setTimeout as delay } from 'node:timers/promises';
import type { Key } from '../../../lib/api/keys.ts';
import type { Pod } from '../../../lib/api/objects.ts';
import { isActive, isReady } from '../../../lib/api/pods.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import type { Client } from '../../../lib/client/client.ts';
import { PartProcess } from '../agent-process.ts';
import { freePort } from '../free-port.ts';
import { HandStarted } from '../hand-started.ts';
import { until } from '../until.ts';
import { HollowNode } from './node.ts';
import { Record } from './record.ts';

const clusterName = 'pairs';
const namespace = 'default';
const nodeNames = ['hollow-0', 'hollow-1', 'hollow-2'];
/** Sets of pods by the label `app`: of a Deployment, a ReplicationController, one that an autoscaler sizes, a DaemonSet, a Job. */
type PodSet = 'web' | 'rc' | 'scaled' | 'each' | 'once';

/** Something that is asked of the loops, and when they have done it. */
export interface Change {
  readonly what: string;
  readonly ask: () => Promise<unknown>;
  readonly isDone: () => boolean;
}

export interface Manager {
  readonly name: string;
  readonly process: PartProcess;
  readonly telemetry: string;
}

/** Every loop twice, in two processes with all of them, on nodes whose agents are real and whose engines are in memory. */
export class PairScene {
  readonly managers: readonly Manager[];
  /** Each time that a set had more active pods than were ever asked for since all was settled, in words. */
  readonly surplus: string[] = [];
  readonly #hands: HandStarted;
  readonly #client: Client;
  readonly #nodes: HollowNode[] = [];
  readonly #watching = new AbortController();
  #known: Awaited<ReturnType<typeof records>> | undefined;
  /** How many pods a set is to have, and the most that it may have until that is so. */
  readonly #wanted = new Map<PodSet, number>();
  readonly #allowed = new Map<PodSet, number>();

  private constructor(hands: HandStarted, ports: readonly number[]) {
    this.#hands = hands;
    this.#client = hands.client();
    this.managers = ports.map((port, i) => {
      const name = `manager-${i}`;
      const telemetry = `127.0.0.1:${port}`;
      const reach = ['--apiserver', hands.server, '--nats', hands.natsUrl, '--telemetry', telemetry];
      const args = [...reach, '--identity', name, '--node-controller-cluster-cidr', '10.0.0.0/8'];
      return { name, telemetry, process: new PartProcess('controller-manager', args, { TROUPE_CLUSTER: clusterName }) };
    });
  }

  static async start(): Promise<PairScene> {
    const hands = await HandStarted.start({ cluster: clusterName, parts: ['nats', 'apiserver'] });
    const scene = new PairScene(hands, [await freePort(), await freePort()]);
    try {
      await scene.#populate();
    } catch (error) {
      await scene.stop();
      throw error;
    }
    return scene;
  }

  async stop(): Promise<void> {
    await Promise.all(this.managers.map(({ process }) => process.kill()));
    this.#watching.abort(new Error('over'));
    await Promise.all(this.#nodes.map((node) => node.stop()));
    this.#client.close();
    await this.#hands.stop();
  }

  /** Resolves when all its views are synced: from then on it is one of two. */
  async startManager({ name, process, telemetry }: Manager): Promise<void> {
    await process.start();
    await until(async () => (await fetch(`http://${telemetry}/readyz`)).ok, {
      what: `${name} to be ready`,
      timeoutMs: 30_000,
      everyMs: 50,
    });
  }

  /** The names of the Leases that each process holds. */
  async leads(manager: Manager): Promise<readonly string[]> {
    const { items } = await this.#client.list('leases', { namespace: 'kube-system' });
    return items.filter(({ spec }) => spec.holderIdentity === manager.name).map(({ metadata }) => metadata.name);
  }

  /** What a cluster is asked all day, one of each loop, and the other way round in every other round. `pick` chooses among so many. */
  changes(round: number, pick: (count: number) => number): readonly Change[] {
    const grows = round % 2 === 0;
    const lose = (set: PodSet, what: string): Change => {
      const running = this.#active(set);
      const victim = running[pick(running.length)];
      const key = `${namespace}/${victim?.metadata.name ?? ''}`;
      const isGone = (): boolean => this.#pods.get(key)?.metadata.uid !== victim?.metadata.uid;
      return {
        what,
        ask: () => this.#end(key),
        isDone: () => isGone() && this.#isBound(set),
      };
    };
    const size = (set: 'web' | 'rc', resource: 'deployments' | 'replicationcontrollers', count: number): Change => ({
      what: `${resource} scaled`,
      ask: () => {
        this.#want(set, count);
        return this.#client.patch(resource, `${namespace}/${set}`, { spec: { replicas: count } });
      },
      isDone: () => this.#isBound(set),
    });
    return [
      lose('web', 'a pod of a Deployment replaced and bound'),
      lose('rc', 'a pod of a ReplicationController replaced and bound'),
      lose('each', 'a daemon replaced and bound'),
      size('web', 'deployments', grows ? 6 : 4),
      size('rc', 'replicationcontrollers', grows ? 5 : 3),
      this.#reached(),
      this.#autoscaled(grows ? 3 : 2),
      this.#budgeted(),
      ...(grows ? this.#brought() : this.#takenAway()),
    ];
  }

  /** Every set has just the pods that were asked for, all Ready, and nothing else is there. */
  async settled(): Promise<void> {
    const all = [...this.#wanted.keys()];
    const isSo = (): boolean =>
      all.every((set) => this.#isBound(set) && this.#active(set).every(isReady)) &&
      this.#pods.list().every((pod) => isActive(pod)) &&
      this.#isReached();
    await this.#until('all to be in order', isSo);
    for (const [set, count] of this.#wanted) this.#allowed.set(set, count);
  }

  /** Asks, after so many ms, and resolves to the ms that the answer took from then on. */
  async follow({ what, ask, isDone }: Change, afterMs: number): Promise<number> {
    await delay(afterMs);
    const asked = performance.now();
    await ask();
    await this.#until(what, isDone);
    return performance.now() - asked;
  }

  /** The Endpoints follow what is Ready: an address that is gone is out, and they are whole again. */
  #reached(): Change {
    const ready = this.#active('web').filter(isReady);
    const victim = ready.at(-1);
    return {
      what: 'the address of a deleted pod out of the Endpoints',
      ask: () => this.#end(`${namespace}/${victim?.metadata.name ?? ''}`),
      isDone: () => !this.#addresses().includes(victim?.status.podIP ?? ''),
    };
  }

  #autoscaled(count: number): Change {
    return {
      what: 'an autoscaler obeyed',
      ask: () => {
        this.#want('scaled', count);
        return this.#client.patch('horizontalpodautoscalers', `${namespace}/scaled`, {
          spec: { minReplicas: count, maxReplicas: count },
        });
      },
      isDone: () => this.#isBound('scaled'),
    };
  }

  #budgeted(): Change {
    const budget = () => this.#records.budgets.get(`${namespace}/web`);
    let generation = 0;
    return {
      what: 'a budget judged',
      ask: async () => {
        const minAvailable = budget()?.spec.minAvailable === 1 ? 2 : 1;
        const { metadata } = await this.#client.patch('poddisruptionbudgets', `${namespace}/web`, {
          spec: { minAvailable },
        });
        generation = metadata.generation ?? 0;
      },
      isDone: () => (budget()?.status.observedGeneration ?? 0) >= generation,
    };
  }

  #brought(): readonly Change[] {
    const bound = (): boolean => this.#records.claims.get(`${namespace}/data`)?.status.phase === 'Bound';
    return [
      {
        what: 'a Job begun',
        ask: () => {
          this.#want('once', 1);
          return this.#client.create('jobs', {
            metadata: { name: 'once', namespace },
            spec: { template: podTemplate('once', { restartPolicy: 'Never' }) },
          });
        },
        isDone: () => this.#isBound('once'),
      },
      {
        what: 'a node given addresses',
        ask: () =>
          this.#client.create('nodes', {
            metadata: { name: 'guest' },
            spec: { taints: [{ key: 'example.com/guest', effect: 'NoSchedule' }] },
          } as never),
        isDone: () => this.#records.nodes.get('guest')?.spec.podCIDR !== undefined,
      },
      {
        what: 'a claim bound',
        ask: async () => {
          const capacity = { storage: '1Gi' };
          const shared = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
          await this.#client.create('persistentvolumes', {
            metadata: { name: 'disk' },
            spec: { ...shared, capacity, hostPath: { path: '/tmp' }, persistentVolumeReclaimPolicy: 'Retain' },
          } as never);
          await this.#client.create('persistentvolumeclaims', {
            metadata: { name: 'data', namespace },
            spec: { ...shared, volumeName: 'disk', resources: { requests: capacity } },
          } as never);
        },
        isDone: bound,
      },
    ];
  }

  #takenAway(): readonly Change[] {
    const job = this.#pods.list().filter(({ metadata }) => metadata.labels?.['app'] === 'once');
    return [
      {
        what: 'the pods of a deleted Job collected',
        ask: () => {
          this.#want('once', 0);
          return this.#client.delete('jobs', `${namespace}/once`, { propagationPolicy: 'Background' });
        },
        isDone: () =>
          this.#records.jobs.get(`${namespace}/once`) === undefined &&
          job.every(({ metadata }) => !this.#active('once').some((pod) => pod.metadata.uid === metadata.uid)),
      },
      {
        what: 'a deleted claim and its volume gone',
        ask: async () => {
          await this.#client.delete('persistentvolumeclaims', `${namespace}/data`);
          await this.#client.delete('persistentvolumes', 'disk');
          await this.#client.delete('nodes', 'guest');
        },
        // What is made again in the next round under the same name has to be gone by then, too.
        isDone: () =>
          this.#records.claims.get(`${namespace}/data`) === undefined &&
          this.#records.volumes.get('disk') === undefined &&
          this.#records.nodes.get('guest') === undefined,
      },
    ];
  }

  async #populate(): Promise<void> {
    const port = (address: string): number => Number(address.split(':').at(-1));
    const ports = { api: port(this.#hands.server), nats: port(this.#hands.natsUrl) };
    await Promise.all(this.managers.map((manager) => this.startManager(manager)));
    for (const name of nodeNames) this.#nodes.push(await HollowNode.start(name, clusterName, ports));
    this.#known = await records(this.#client, this.#watching.signal, () => this.#count());
    await this.#until('the nodes', () => this.#records.nodes.list().filter(isHeard).length === nodeNames.length);
    const create = (resource: string, name: string, spec: object): Promise<unknown> =>
      this.#client.create(resource as 'pods', { metadata: { name, namespace }, spec });
    const sized = (app: string, replicas: number): object => ({
      replicas,
      selector: { matchLabels: { app } },
      template: podTemplate(app),
    });
    const sets = { web: 4, rc: 3, scaled: 2, each: nodeNames.length, once: 0 } as const;
    for (const [set, count] of Object.entries(sets)) this.#want(set as PodSet, count);
    await create('services', 'web', { selector: { app: 'web' }, ports: [{ port: 80 }] });
    await create('deployments', 'web', sized('web', sets.web));
    await create('replicationcontrollers', 'rc', { replicas: sets.rc, template: podTemplate('rc') });
    await create('replicationcontrollers', 'scaled', { replicas: sets.scaled, template: podTemplate('scaled') });
    await create('daemonsets', 'each', { selector: { matchLabels: { app: 'each' } }, template: podTemplate('each') });
    await create('poddisruptionbudgets', 'web', { minAvailable: 1, selector: { matchLabels: { app: 'web' } } });
    await create('horizontalpodautoscalers', 'scaled', {
      scaleTargetRef: { apiVersion: 'v1', kind: 'ReplicationController', name: 'scaled' },
      minReplicas: sets.scaled,
      maxReplicas: sets.scaled,
    });
    await this.settled();
  }

  /** Whoever was chosen may be gone already: a set that shrinks chooses, too. */
  async #end(key: Key): Promise<void> {
    await this.#client.delete('pods', key).catch((error: unknown) => {
      if (!hasReason(error, 'NotFound')) throw error;
    });
  }

  #want(set: PodSet, count: number): void {
    this.#wanted.set(set, count);
    this.#allowed.set(set, Math.max(count, this.#allowed.get(set) ?? 0));
  }

  /** After each commit: nobody has more than was asked for. */
  #count(): void {
    for (const [set, most] of this.#allowed) {
      const active = this.#active(set);
      const nodes = active.flatMap(({ spec }) => spec.nodeName ?? []);
      const isCrowded = set === 'each' && new Set(nodes).size < nodes.length;
      if (active.length > most || isCrowded)
        this.surplus.push(`${set}, at most ${most}: ${active.map(({ metadata }) => metadata.name).join(', ')}`);
    }
  }

  get #records() {
    if (this.#known === undefined) throw new Error('nothing is recorded yet');
    return this.#known;
  }
  get #pods(): Record<'pods'> {
    return this.#records.pods;
  }
  #active(set: PodSet): readonly Pod[] {
    if (this.#known === undefined) return [];
    return this.#pods.list().filter((pod) => pod.metadata.labels?.['app'] === set && isActive(pod));
  }
  #isBound(set: PodSet): boolean {
    const active = this.#active(set);
    return active.length === this.#wanted.get(set) && active.every(({ spec }) => spec.nodeName !== undefined);
  }
  #addresses(): readonly string[] {
    const { subsets } = this.#records.endpoints.get(`${namespace}/web`) ?? {};
    return (subsets ?? []).flatMap(({ addresses }) => (addresses ?? []).map(({ ip }) => ip));
  }
  #isReached(): boolean {
    const ips = this.#active('web').map(({ status }) => status.podIP ?? '');
    return ips.toSorted().join() === this.#addresses().toSorted().join();
  }

  #until(what: string, check: () => boolean): Promise<unknown> {
    const told = (): string =>
      [
        what,
        ...this.#pods
          .list()
          .map(({ metadata, spec }) => `${metadata.name} on ${spec.nodeName} deleted ${metadata.deletionTimestamp}`),
        ...this.managers.map(({ name, process }) => `${name}: ${process.said.slice(-4_000)}`),
      ].join('\n');
    return until(check, { what: told, timeoutMs: 60_000, everyMs: 5 });
  }
}

const records = async (client: Client, signal: AbortSignal, onPod: () => void) => ({
  pods: await Record.start(client, 'pods', signal, onPod),
  endpoints: await Record.start(client, 'endpoints', signal),
  nodes: await Record.start(client, 'nodes', signal),
  claims: await Record.start(client, 'persistentvolumeclaims', signal),
  volumes: await Record.start(client, 'persistentvolumes', signal),
  jobs: await Record.start(client, 'jobs', signal),
  budgets: await Record.start(client, 'poddisruptionbudgets', signal),
});

const podTemplate = (app: string, more: object = {}): object => ({
  metadata: { labels: { app } },
  spec: {
    terminationGracePeriodSeconds: 0,
    containers: [{ name: 'app', image: 'example/web:1', ports: [{ containerPort: 80 }] }],
    ...more,
  },
});

const isHeard = ({ status }: { readonly status: { readonly conditions?: readonly object[] } }): boolean =>
  (status.conditions ?? []).some((it) => 'type' in it && it.type === 'Ready' && 'status' in it && it.status === 'True');
