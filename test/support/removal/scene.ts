import { readFileSync } from 'node:fs';
import Docker from 'dockerode';
import type { Objects } from '../../../lib/api/kinds.ts';
import { hasReason } from '../../../lib/base/errors.ts';
import { backoffInitialAnnotation, backoffMaxAnnotation } from '../../../lib/api/restart-backoff.ts';
import { isActive, isReady } from '../../../lib/api/pods.ts';
import type { DeploymentCondition, Pod, Service } from '../../../lib/api/objects.ts';
import { rebalanceAnnotation } from '../../../lib/api/rebalancing.ts';
import type { Client } from '../../../lib/client/client.ts';
import { TestCluster } from '../cluster.ts';
import { importPerl } from '../docker-engine.ts';
import { netnsOfProcess } from '../netns.ts';
import { Peer } from '../netns-peer.ts';
import { until } from '../until.ts';
import { Lan } from './lan.ts';
import type { LoadFigures, LoadWish } from './load-host.ts';
import { SecondNode } from './second-node.ts';

const image = 'troupe-test/perl:1';
const program = readFileSync(new URL('./web.pl', import.meta.url), 'utf8');
const loadHost = new URL('./load-host.ts', import.meta.url);

/** A kind of client; the path says how long the answer takes. */
export type ClientKind = Omit<LoadWish, 'url'> & { readonly path?: string };

/**
 * Two real nodes with real pods of a web server that dies at once on SIGTERM, behind a Service of type NodePort, and clients inside and
 * outside. `close` leaves nothing behind.
 */
export class Scene {
  readonly cluster: TestCluster;
  readonly client: Client;
  readonly second: SecondNode;
  readonly #lan: Lan;
  readonly #dockers: ReadonlyMap<string, Docker>;
  readonly #loads: { readonly place: string; readonly peer: Peer }[] = [];
  #service: Service | undefined;
  #outsiders = 0;

  private constructor(cluster: TestCluster, lan: Lan, second: SecondNode) {
    this.cluster = cluster;
    this.client = cluster.client();
    this.second = second;
    this.#lan = lan;
    this.#dockers = new Map([
      ['node-1', new Docker({ socketPath: cluster.dockerSocket })],
      ['node-2', second.engine.docker],
    ]);
  }

  static async start(network: number): Promise<Scene> {
    const lan = new Lan(network);
    let cluster: TestCluster | undefined;
    let second: SecondNode | undefined;
    try {
      cluster = await TestCluster.start(network, { TROUPE_NODE_IP: lan.gateway });
      second = await SecondNode.start({ cluster, lan, name: 'node-2', network });
      const scene = new Scene(cluster, lan, second);
      for (const docker of scene.#dockers.values()) await importPerl(docker);
      await until(async () => (await scene.#nodesReady()) === 2, { what: 'both nodes are ready', timeoutMs: 30_000 });
      await scene.#make();
      return scene;
    } catch (error) {
      await second?.stop();
      await cluster?.stop();
      lan.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const { peer } of this.#loads) peer.process.kill('SIGKILL');
    this.client.close();
    await this.second.stop();
    await this.cluster.stop();
    this.#lan.close();
  }

  // ---- Traffic ---------------------------------------------------------------------------------

  /** Begins to ask from everywhere, or by way of one node only; each place has all kinds of clients. */
  async load(kinds: readonly ClientKind[], by?: 'node-1' | 'node-2'): Promise<void> {
    const vip = this.#service?.spec.clusterIP ?? '';
    const nodePort = this.#service?.spec.ports?.[0]?.nodePort ?? 0;
    const outside = await this.#lan.join(`out${++this.#outsiders}`);
    const places = [
      { node: 'node-1', place: 'pod on node-1', space: await this.#insideOf('client-1', 'node-1'), at: vip },
      { node: 'node-2', place: 'pod on node-2', space: await this.#insideOf('client-2', 'node-2'), at: vip },
      { node: 'node-1', place: 'outside', space: outside.space, at: `${this.#lan.gateway}:${nodePort}` },
      { node: 'node-2', place: 'outside', space: outside.space, at: `${this.second.ip}:${nodePort}` },
    ].filter(({ node }) => by === undefined || node === by);
    for (const { place, space, at } of places) {
      const peer = await Peer.start(space, loadHost);
      this.#loads.push({ place: `${place} to ${at}`, peer });
      const wishes = kinds.map(({ path = '/', ...kind }) => ({ ...kind, url: `http://${at}${path}` }));
      await peer.ask('start', { wishes });
    }
  }

  async requests(): Promise<number> {
    const counts = await Promise.all(this.#loads.map(({ peer }) => peer.ask<number>('count')));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** Ends the clients: what became of their requests, by place, in the order of the kinds. */
  async unload(): Promise<readonly { readonly place: string; readonly figures: readonly LoadFigures[] }[]> {
    const loads = this.#loads.splice(0);
    return Promise.all(
      loads.map(async ({ place, peer }) => {
        const figures = await peer.ask<readonly LoadFigures[]>('stop');
        peer.process.kill('SIGKILL');
        return { place, figures };
      }),
    );
  }

  // ---- What is planned ---------------------------------------------------------------------------

  /** `all`: how many pods the Service has then, where there are others besides. */
  async scaleTo(replicas: number, all = replicas): Promise<void> {
    await this.#change('replicationcontrollers', 'default/web', (rc) => ({ ...rc, spec: { ...rc.spec, replicas } }));
    await this.untilReady(all);
  }

  /** What pods of `deploy` have in their environment; with MODE=bad the program ends at once. */
  async configure(data: Readonly<Record<string, string>>): Promise<void> {
    const known = await this.client.get('configmaps', 'default/conf');
    if (known === undefined)
      await this.client.create('configmaps', { metadata: { name: 'conf', namespace: 'default' }, data });
    else await this.client.patch('configmaps', 'default/conf', { data });
  }

  /** More pods of the same Service, from a Deployment whose configuration is part of its rollouts. */
  async deploy(replicas: number): Promise<void> {
    const before = (await this.pods()).length;
    const rc = await this.client.get('replicationcontrollers', 'default/web');
    const [container] = rc?.spec.template?.spec.containers ?? [];
    if (container === undefined) throw new Error('there is no container to deploy');
    const checked = `exit 3 if $ENV{MODE} eq 'bad'; ${program}`;
    const labels = { app: 'web', from: 'deployment' };
    await this.client.create('deployments', {
      metadata: { name: 'web', namespace: 'default', annotations: { 'troupe.dev/on-failed-rollout': 'revert' } },
      spec: {
        replicas,
        selector: { matchLabels: labels },
        strategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
        template: {
          metadata: { labels, annotations: { 'troupe.dev/on-config-change': 'roll' } },
          spec: {
            containers: [
              {
                ...container,
                command: ['/usr/bin/perl', '-e', checked],
                envFrom: [{ configMapRef: { name: 'conf' } }],
              },
            ],
          },
        },
      },
    });
    await this.untilReady(before + replicas);
  }

  async undeploy(): Promise<void> {
    await this.client.delete('deployments', 'default/web');
  }

  async condition(type: string): Promise<DeploymentCondition | undefined> {
    const deployment = await this.client.get('deployments', 'default/web');
    return deployment?.status.conditions?.find((condition) => condition.type === type);
  }

  /** What the pods of the Deployment have for MODE, by the copies that they name. */
  async modes(): Promise<readonly (string | undefined)[]> {
    const [pods, { items }] = await Promise.all([
      this.pods(),
      this.client.list('configmaps', { namespace: 'default' }),
    ]);
    return pods
      .filter(({ metadata }) => metadata.labels?.['from'] === 'deployment')
      .map(({ spec }) => {
        const name = spec.containers[0]?.envFrom?.[0]?.configMapRef?.name;
        return items.find(({ metadata }) => metadata.name === name)?.data?.['MODE'];
      });
  }

  /** Replaces all pods, `width` at a time, each only once the one before has been replaced. */
  async replaceAll(width: number): Promise<void> {
    const old = await this.pods();
    for (let i = 0; i < old.length; i += width) {
      await this.delete(old.slice(i, i + width));
      await this.untilReady(old.length);
    }
  }

  async delete(pods: readonly Pod[]): Promise<void> {
    await Promise.all(pods.map(({ metadata }) => this.client.delete('pods', `default/${metadata.name}`)));
  }

  /** Takes no more pods to the node and has all of its web pods leave. */
  async drain(node: string): Promise<void> {
    await this.cordon(node, true);
    const all = await this.pods();
    await this.delete(all.filter(({ spec }) => spec.nodeName === node));
    await this.untilReady(all.length);
  }

  /** Whether the web pods may be moved to even them out. */
  async evenOut(wanted: boolean): Promise<void> {
    const annotations = { [rebalanceAnnotation]: String(wanted) };
    await this.client.patch('replicationcontrollers', 'default/web', { metadata: { annotations } });
  }

  /** One pod that a ReplicationController keeps, and that fits on no other node; resolves when it runs. */
  async pinned(name: string, node: string, perl: string, graceSeconds: number): Promise<void> {
    const labels = { app: name };
    const spec = {
      nodeSelector: { 'kubernetes.io/hostname': node },
      terminationGracePeriodSeconds: graceSeconds,
      containers: [{ name, image, command: ['/usr/bin/perl', '-e', perl] }],
    };
    const metadata = { name, namespace: 'default' };
    await this.client.create('replicationcontrollers', {
      metadata,
      spec: { replicas: 1, selector: labels, template: { metadata: { labels }, spec } },
    });
    await until(async () => (await this.running(node, new RegExp(`^${name}-`))).length === 1, {
      ...{ what: `${name} runs`, timeoutMs: 30_000 },
    });
  }

  /** The containers of pods by such names that a node's engine runs, sandboxes and those kept ready for pods to come left out. */
  async running(node: string, pods: RegExp): Promise<readonly string[]> {
    const found = (await this.#dockers.get(node)?.listContainers()) ?? [];
    return found
      .map(({ Labels }) => Labels)
      .filter((labels) => labels['troupe.kind'] === 'container' && pods.test(labels['troupe.pod.name'] ?? ''))
      .map((labels) => labels['troupe.pod.name'] ?? '');
  }

  async cordon(name: string, unschedulable: boolean): Promise<void> {
    await this.#change('nodes', name, (node) => ({ ...node, spec: { ...node.spec, unschedulable } }));
  }

  /** Others write the same objects: again where they were faster. */
  async #change<R extends 'nodes' | 'replicationcontrollers'>(
    resource: R,
    key: string,
    next: (object: Objects[R]) => Objects[R],
  ): Promise<void> {
    const write = async (): Promise<boolean> => {
      const found = await this.client.get(resource, key);
      if (found === undefined) throw new Error(`there is no ${resource} ${key}`);
      try {
        await this.client.update(resource, next(found));
        return true;
      } catch (error) {
        if (!hasReason(error, 'Conflict')) throw error;
        return false;
      }
    };
    await until(write, { what: `${key} is written`, everyMs: 5 });
  }

  async pods(): Promise<readonly Pod[]> {
    return (await this.client.list('pods', { namespace: 'default', labelSelector: 'app=web' })).items;
  }

  /** So many are ready, and nothing of any other is left. */
  async untilReady(replicas: number): Promise<void> {
    const check = async (): Promise<boolean> => {
      const pods = await this.pods();
      return pods.length === replicas && pods.every((pod) => isReady(pod) && isActive(pod));
    };
    await until(check, { what: `${replicas} pods are ready`, timeoutMs: 60_000, everyMs: 25 });
  }

  /** The main process of a pod's only container. */
  async pidOf(pod: Pod): Promise<number> {
    const id = pod.status.containerStatuses?.[0]?.containerID?.replace('docker://', '') ?? '';
    const docker = this.#dockers.get(pod.spec.nodeName ?? '');
    return (await docker?.getContainer(id).inspect())?.State.Pid ?? 0;
  }

  async events(reason: string): Promise<readonly string[]> {
    const { items } = await this.client.list('events');
    return items.filter((event) => event.reason === reason).map(({ message }) => message ?? '');
  }

  // ---- Making it ---------------------------------------------------------------------------------

  async #nodesReady(): Promise<number> {
    const { items } = await this.client.list('nodes');
    return items.filter(({ status }) => status.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'))
      .length;
  }

  async #make(): Promise<void> {
    const metadata = { name: 'web', namespace: 'default' };
    this.#service = await this.client.create('services', {
      metadata,
      spec: { type: 'NodePort', selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
    } as never);
    const container = {
      name: 'web',
      image,
      command: ['/usr/bin/perl', '-e', program],
      env: [{ name: 'NAME', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
    };
    await this.client.create('replicationcontrollers', {
      metadata,
      spec: {
        replicas: 1,
        selector: { app: 'web' },
        template: {
          metadata: {
            labels: { app: 'web' },
            annotations: { [backoffInitialAnnotation]: '100ms', [backoffMaxAnnotation]: '100ms' },
          },
          spec: { containers: [container] },
        },
      },
    });
    await this.untilReady(1);
  }

  /** The network of a pod that does nothing, for programs to run in. */
  async #insideOf(name: string, node: string): Promise<ReturnType<typeof netnsOfProcess>> {
    const known = await this.client.get('pods', `default/${name}`);
    if (known === undefined)
      await this.client.create('pods', {
        metadata: { name, namespace: 'default' },
        spec: {
          nodeName: node,
          terminationGracePeriodSeconds: 0,
          containers: [{ name: 'client', image, command: ['/bin/sleep', '100000'] }],
        },
      });
    const pod = await until(
      async () => {
        const now = await this.client.get('pods', `default/${name}`);
        return now !== undefined && isReady(now) ? now : undefined;
      },
      { what: `${name} runs`, timeoutMs: 30_000 },
    );
    return netnsOfProcess(await this.pidOf(pod));
  }
}
