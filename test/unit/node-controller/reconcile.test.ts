import assert from 'node:assert/strict';
import type { Node, Pod, Taint } from '../../../lib/api/objects.ts';
import { conditionOf } from '../../../lib/api/pods.ts';
import { reconcile, withdrawn, type Fleet, type Plan } from '../../../services/node-controller/reconcile.ts';
import { aNode, aPod, epoch, epochMs, type PodOptions } from '../../support/builders.ts';

const limits = { pauseEvictionAbove: 0.55, forceAfterMs: 1_000 };
const one: Fleet = { nodes: 3, lost: 1 };
const unreachable: Taint = { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: epoch };
const patient = (tolerationSeconds?: number): PodOptions => ({
  nodeName: 'n1',
  tolerations: [
    {
      key: unreachable.key,
      operator: 'Exists',
      effect: 'NoExecute',
      ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
    },
  ],
});
const marked = aNode({ ready: 'Unknown', taints: [unreachable] });
const names = (pods: readonly Pod[]): string[] => pods.map(({ metadata }) => metadata.name);

const rows: {
  it: string;
  node?: Node;
  pods?: Pod[];
  lost: boolean;
  silentForMs?: number;
  fleet?: Fleet;
  afterMs?: number;
  want: Partial<{
    ready: string;
    taints: string[];
    withdraw: string[];
    evict: string[];
    force: string[];
    paused: boolean;
    inMs: number;
  }>;
}[] = [
  { it: 'leaves a node that is heard alone', pods: [aPod(patient(5))], lost: false, want: {} },
  {
    it: 'marks a lost node and withdraws its pods at once',
    pods: [aPod(patient(5))],
    lost: true,
    want: { ready: 'Unknown', taints: [unreachable.key], withdraw: ['web-1'], inMs: 5_000 },
  },
  {
    it: 'counts the toleration from the last sign of life, in whole seconds',
    pods: [aPod({ ...patient(5), ready: false })],
    lost: true,
    silentForMs: 2_200,
    want: { ready: 'Unknown', taints: [unreachable.key], inMs: 3_000 },
  },
  {
    it: 'evicts at once where that was longer ago',
    pods: [aPod({ ...patient(1), ready: false })],
    lost: true,
    silentForMs: 2_200,
    want: { ready: 'Unknown', taints: [unreachable.key], evict: ['web-1'] },
  },
  {
    it: 'withdraws only who is ready',
    pods: [aPod({ ...patient(5), ready: false })],
    node: marked,
    lost: true,
    want: { inMs: 5_000 },
  },
  {
    it: 'evicts when the toleration has run out',
    node: marked,
    pods: [aPod({ ...patient(5), ready: false })],
    lost: true,
    afterMs: 5_000,
    want: { evict: ['web-1'] },
  },
  {
    it: 'evicts who does not tolerate it at once',
    node: marked,
    pods: [aPod({ nodeName: 'n1', ready: false })],
    lost: true,
    want: { evict: ['web-1'] },
  },
  {
    it: 'never evicts who tolerates it for good',
    node: marked,
    pods: [aPod({ ...patient(), ready: false })],
    lost: true,
    afterMs: 1e9,
    want: {},
  },
  {
    it: 'does not evict twice',
    node: marked,
    pods: [aPod({ ...patient(5), ready: false, deleted: true })],
    lost: true,
    afterMs: 5_000,
    want: { inMs: 26_000 },
  },
  {
    it: 'removes for good who was to end long ago',
    node: marked,
    pods: [aPod({ ...patient(5), ready: false, deleted: true })],
    lost: true,
    afterMs: 31_000,
    want: { force: ['web-1'] },
  },
  {
    it: 'leaves who has ended',
    node: marked,
    pods: [aPod({ nodeName: 'n1', phase: 'Succeeded' })],
    lost: true,
    want: {},
  },
  { it: 'takes the taint off a node that is heard again', node: marked, lost: false, want: { taints: [] } },
  {
    it: 'leaves other taints as they are',
    node: aNode({ ready: 'Unknown', taints: [{ key: 'gpu', effect: 'NoSchedule' }, unreachable] }),
    lost: false,
    want: { taints: ['gpu'] },
  },
  {
    it: 'pauses eviction when most nodes are lost at once, but withdraws',
    pods: [aPod(patient(5))],
    lost: true,
    fleet: { nodes: 10, lost: 6 },
    afterMs: 10_000,
    node: marked,
    want: { withdraw: ['web-1'], paused: true },
  },
  {
    it: 'evicts when half of them are',
    node: marked,
    pods: [aPod({ ...patient(5), ready: false })],
    lost: true,
    fleet: { nodes: 10, lost: 5 },
    afterMs: 5_000,
    want: { evict: ['web-1'] },
  },
  {
    it: 'withdraws nothing when there is no node left to serve',
    node: marked,
    pods: [aPod(patient(5))],
    lost: true,
    fleet: { nodes: 1, lost: 1 },
    want: {},
  },
  {
    it: 'evicts for the NoExecute taint of a person too',
    node: aNode({ taints: [{ key: 'repair', effect: 'NoExecute', timeAdded: epoch }] }),
    pods: [
      aPod({ name: 'a', nodeName: 'n1' }),
      aPod({ name: 'b', nodeName: 'n1', tolerations: [{ key: 'repair', operator: 'Exists', tolerationSeconds: 60 }] }),
    ],
    lost: false,
    want: { evict: ['a'], inMs: 60_000 },
  },
  {
    it: 'drives nobody out for NoSchedule',
    node: aNode({ taints: [{ key: 'gpu', effect: 'NoSchedule' }] }),
    pods: [aPod({ nodeName: 'n1' })],
    lost: false,
    want: {},
  },
];

describe('node-controller/reconcile', () => {
  for (const row of rows) {
    it(row.it, () => {
      const nowMs = epochMs + (row.afterMs ?? 0);
      const plan: Plan = reconcile(
        {
          ...{ node: row.node ?? aNode(), pods: row.pods ?? [], lost: row.lost },
          ...(row.silentForMs === undefined ? {} : { silentForMs: row.silentForMs }),
        },
        row.fleet ?? one,
        limits,
        nowMs,
      );
      const got = {
        ready: plan.conditions?.find(({ type }) => type === 'Ready')?.status,
        taints: plan.taints?.map(({ key }) => key),
        withdraw: names(plan.withdraw),
        evict: names(plan.evict),
        force: names(plan.force),
        paused: plan.paused,
        inMs: plan.nextMs === undefined ? undefined : plan.nextMs - nowMs,
      };
      const rest = {
        ready: undefined,
        taints: undefined,
        withdraw: [],
        evict: [],
        force: [],
        paused: false,
        inMs: undefined,
      };
      assert.deepEqual(got, { ...rest, ...row.want });
    });
  }

  it('says of a pod on a lost node that it is not ready, and why: NodeLost', () => {
    const { status } = withdrawn(aPod(patient(5)), epochMs);
    const { reason, message, status: value } = conditionOf(status, 'Ready') ?? {};
    assert.deepEqual([value, reason], ['False', 'NodeLost']);
    assert.match(message ?? '', /^Node \S+ is lost$/);
  });

  it('has nothing left to do after its own changes', () => {
    const nowMs = epochMs + 5_000;
    const plan = reconcile({ node: aNode(), pods: [aPod(patient(5))], lost: true }, one, limits, nowMs);
    const node = aNode();
    const after: Node = {
      ...node,
      spec: { ...node.spec, taints: plan.taints ?? [] },
      status: { ...node.status, conditions: plan.conditions ?? [] },
    };
    const again = reconcile(
      { node: after, pods: plan.withdraw.map((pod) => withdrawn(pod, nowMs)), lost: true },
      one,
      limits,
      nowMs,
    );
    assert.deepEqual([again.conditions, again.taints, again.withdraw], [undefined, undefined, []]);
  });
});
