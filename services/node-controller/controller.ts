import type { Meter } from '@opentelemetry/api';
import type { Clock } from '../../lib/base/clock.ts';
import type { Log } from '../../lib/base/log.ts';
import { inRunsOf } from '../../lib/base/parallel.ts';
import { isGone } from '../../lib/api/ending.ts';
import { keyOf, type Key } from '../../lib/api/keys.ts';
import type { Node, Pod } from '../../lib/api/objects.ts';
import type { Client } from '../../lib/client/client.ts';
import { TerminalError, type Controller, type SyncResult } from '../../lib/controller/controller.ts';
import type { Recorder } from '../../lib/controller/events.ts';
import type { View } from '../../lib/view/view.ts';
import type { CidrPool } from './cidrs.ts';
import type { Ear } from './liveness.ts';
import { reconcile, unreachable, withdrawn, type Fleet, type Limits, type Plan } from './reconcile.ts';

export interface Parts {
  readonly nodes: View<Node>;
  /** With the indexes of `podIndexes`. */
  readonly pods: View<Pod>;
  readonly client: Client;
  readonly recorder: Recorder;
  readonly clock: Clock;
  readonly log: Log;
  readonly meter: Meter;
  readonly ear: Ear;
  readonly cidrs: CidrPool;
  readonly limits: Limits;
  /** Tells everybody that nothing answers at these pods any more, since their node is lost; default: the API alone tells. */
  readonly tellLost?: (node: string, pods: readonly Pod[]) => void;
  /** Pods bound to a node that is not registered are removed when it has been missing for so long. */
  readonly missingForMs: number;
}

export const podIndexes = { node: (pod: Pod): readonly string[] => [pod.spec.nodeName ?? ''] };

/** A batch verb takes so many at once. */
const batch = 500;

/**
 * Gives nodes their pod CIDRs, notices lost nodes and moves their pods (D3). Writes node status and taints, `spec.podCIDR`,
 * the Ready condition of pods on lost nodes, and pod deletions. A key is the name of a node, registered or not.
 */
export class NodeController implements Controller {
  readonly name = 'node-controller';
  readonly #parts: Parts;
  readonly #missingSinceMs = new Map<string, number>();
  readonly #counters: { readonly lost: Counter; readonly evicted: Counter; readonly withdrawn: Counter };
  #leadership: AbortSignal | undefined;
  #ready: Promise<void> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    const { meter, nodes, ear } = parts;
    const counter = (name: string, description: string): Counter => meter.createCounter(name, { description });
    this.#counters = {
      lost: counter('troupe_nodes_lost', 'Nodes that fell silent'),
      evicted: counter('troupe_pods_evicted', 'Pods deleted because of their node'),
      withdrawn: counter('troupe_pods_withdrawn', 'Pods taken out of traffic because their node fell silent'),
    };
    meter
      .createObservableGauge('troupe_nodes', { description: 'Registered nodes, by whether they are heard of' })
      .addCallback((result) => {
        result.observe(nodes.size - ear.lost, { state: 'heard' });
        result.observe(ear.lost, { state: 'lost' });
      });
  }

  /** A node's registration ended. */
  forget(node: string): void {
    this.#parts.ear.forget(node);
    this.#parts.cidrs.release(node);
  }

  async sync(key: Key, signal: AbortSignal): Promise<SyncResult | void> {
    const { nodes, pods, log, clock, limits, ear } = this.#parts;
    if (signal !== this.#leadership) {
      this.#leadership = signal;
      this.#ready = this.#seeAllBlocks();
      this.#ready.catch(() => (this.#leadership = undefined));
    }
    await this.#ready;
    const bound = pods.by('node', key);
    const node = nodes.get(key);
    if (node === undefined) return this.#removeUnreachable(key, bound);
    this.#missingSinceMs.delete(key);
    await this.#giveBlock(node);

    const judgement = ear.judgement(key);
    if (judgement === undefined) return; // too early to say; the judgement will wake us
    const lost = judgement === 'lost';
    const fleet: Fleet = { nodes: nodes.size, lost: ear.lost };
    const silentForMs = ear.silentForMs(key, clock.monotonic());
    const observed = { node: nodes.get(key) ?? node, pods: bound, lost, silentForMs };
    const plan = reconcile(observed, fleet, limits, clock.now());
    if (plan.withdraw.length > 0) this.#parts.tellLost?.(key, plan.withdraw);
    await Promise.all([this.#withdraw(plan), this.#mark(key, plan, lost)]);
    await this.#delete(plan.evict, undefined);
    await this.#delete(plan.force, 0);
    if (plan.paused) {
      log.warn({ node: key, ...fleet }, 'eviction is paused: too many nodes are lost at once');
      return { requeueAfterMs: 1_000 };
    }
    if (plan.nextMs !== undefined) return { requeueAfterMs: Math.max(0, plan.nextMs - clock.now()) };
  }

  async #mark(key: Key, plan: Plan, lost: boolean): Promise<void> {
    const { nodes, client, recorder } = this.#parts;
    const current = (): Node | undefined => nodes.get(key);
    let node = current();
    if (plan.conditions !== undefined && node !== undefined) {
      const status = { ...node.status, conditions: plan.conditions };
      nodes.wrote(await client.updateStatus('nodes', { ...node, status }));
      this.#counters.lost.add(1);
      recorder.event(node, 'Warning', 'NodeNotReady', `Node ${key} is lost: no heartbeat and no renewal of its Lease`);
    }
    node = current();
    if (plan.taints !== undefined && node !== undefined) {
      const { taints: _, ...spec } = node.spec;
      const next = plan.taints.length === 0 ? spec : { ...spec, taints: plan.taints };
      nodes.wrote(await client.update('nodes', { ...node, spec: next }));
      if (!lost && node.spec.taints?.some((taint) => taint.key === unreachable) === true)
        recorder.event(node, 'Normal', 'NodeHeardAgain', `Node ${key} is heard of again`);
    }
  }

  async #withdraw({ withdraw }: Plan): Promise<void> {
    const { pods, client, clock } = this.#parts;
    for (const some of inRunsOf(batch, withdraw)) {
      const outcomes = await client.updateStatusMany(
        'pods',
        some.map((pod) => withdrawn(pod, clock.now())),
      );
      for (const outcome of outcomes) {
        if (outcome.ok) pods.wrote(outcome.object);
        else if (outcome.reason !== 'NotFound') throw new Error(`withdrawing a pod: ${outcome.message}`);
      }
      this.#counters.withdrawn.add(some.length);
    }
  }

  async #delete(doomed: readonly Pod[], gracePeriodSeconds: number | undefined): Promise<void> {
    const { pods, client, recorder } = this.#parts;
    const options = gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds };
    for (const some of inRunsOf(batch, doomed)) {
      const outcomes = await client.deleteMany('pods', some.map(keyOf), options);
      for (const [i, outcome] of outcomes.entries()) {
        const pod = some[i];
        if (pod === undefined) continue;
        if (!outcome.ok && outcome.reason !== 'NotFound') throw new Error(`evicting ${keyOf(pod)}: ${outcome.message}`);
        if (outcome.ok && !isGone(outcome.object)) pods.wrote(outcome.object);
        else pods.wroteDeletion(outcome.ok ? outcome.object : pod);
        if (outcome.ok && gracePeriodSeconds === undefined)
          recorder.event(pod, 'Normal', 'TaintManagerEviction', `Deleting: node ${pod.spec.nodeName} drives it out`);
      }
      this.#counters.evicted.add(some.length);
    }
  }

  /** Nobody can end the pods of a node that is not registered. Views may be late: it must be so for a while, and so in the API. */
  async #removeUnreachable(name: string, bound: readonly Pod[]): Promise<SyncResult | void> {
    const { client, clock, missingForMs } = this.#parts;
    if (bound.length === 0 || name === '') return void this.#missingSinceMs.delete(name);
    const nowMs = clock.monotonic();
    const sinceMs = this.#missingSinceMs.get(name) ?? nowMs;
    this.#missingSinceMs.set(name, sinceMs);
    const leftMs = sinceMs + missingForMs - nowMs;
    if (leftMs > 0) return { requeueAfterMs: leftMs };
    if ((await client.get('nodes', name)) !== undefined) return;
    await this.#delete(bound, 0);
  }

  // ---- Pod CIDRs -------------------------------------------------------------------------------

  /** The first thing a leadership does: the last leader may have given away blocks that our view has not heard of. */
  async #seeAllBlocks(): Promise<void> {
    const { client, nodes } = this.#parts;
    const { items } = await client.list('nodes');
    for (const node of items) nodes.wrote(node);
  }

  async #giveBlock(node: Node): Promise<void> {
    const { nodes, client, cidrs, recorder } = this.#parts;
    const { name } = node.metadata;
    if (node.spec.podCIDR !== undefined && node.spec.podCIDR !== '') {
      const other = cidrs.occupy(name, node.spec.podCIDR);
      if (other !== undefined)
        recorder.event(
          node,
          'Warning',
          'CIDRConflict',
          `Its pod CIDR ${node.spec.podCIDR} overlaps that of node ${other}`,
        );
      return;
    }
    const podCIDR = cidrs.assign(name);
    if (podCIDR === undefined) {
      throw new TerminalError(
        `no pod CIDR is left for node ${name}: all ${cidrs.size} blocks are in use; enlarge --cluster-cidr or raise --node-cidr-bits`,
      );
    }
    nodes.wrote(await client.update('nodes', { ...node, spec: { ...node.spec, podCIDR, podCIDRs: [podCIDR] } }));
  }
}

interface Counter {
  add(value: number): void;
}
