import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { ControllerRevision, DaemonSet, Node, Pod, PodSpec, Taint } from '../../../lib/api/objects.ts';
import { isActive, isDeleting, isReady, isTerminal } from '../../../lib/api/pods.ts';
import { targetOf } from '../../../services/daemonset-controller/fit.ts';
import { reconcile, type Plan } from '../../../services/daemonset-controller/reconcile.ts';
import { revertedAnnotation } from '../../../lib/rollout/reverted.ts';
import { historyOf, isOf, rolledOutAnnotation } from '../../../services/daemonset-controller/revisions.ts';
import { revertOf } from '../../../services/daemonset-controller/rollout.ts';
import { statusOf } from '../../../services/daemonset-controller/status.ts';
import { hashLabel, podOf } from '../../../services/daemonset-controller/template.ts';
import { aNode, epoch, epochMs, uidOf } from '../../support/builders.ts';
import { aDaemonSet, aRevision, type DaemonSetOptions } from '../../support/daemon-builders.ts';

const taint = (key: string, effect: Taint['effect']): Taint => ({ key, effect });
type PodState = 'pending' | 'running' | 'ready' | 'going' | 'failed';
/** One that came after others. */
interface PodOfOthers {
  readonly state: PodState;
  readonly after?: string;
  readonly failures?: number;
}

/** A pod of the set for a node, as the cluster would hold it. */
function pod(set: DaemonSet, node: string, hash: string, how: PodState | PodOfOthers): Pod {
  const { state, ...more } = typeof how === 'string' ? { state: how } : how;
  const draft = podOf(set, { node, hash, failures: 0, after: '', ...more });
  const name = draft.metadata.name ?? '';
  return {
    ...(draft as Pod),
    metadata: {
      ...(draft.metadata as Pod['metadata']),
      ...{ uid: uidOf(`${name} ${state}`), resourceVersion: '1', creationTimestamp: epoch },
      ...(state === 'going' && { deletionTimestamp: epoch, deletionGracePeriodSeconds: 30 }),
    },
    spec: { ...(draft.spec as PodSpec), ...(state !== 'pending' && { nodeName: node }) },
    status: {
      phase: state === 'pending' ? 'Pending' : state === 'failed' ? 'Failed' : 'Running',
      conditions: [{ type: 'Ready', status: state === 'ready' ? 'True' : 'False', lastTransitionTime: epoch }],
    },
  };
}

const nodesOf = (count: number): Node[] => Array.from({ length: count }, (_, i) => aNode({ name: `n${i}` }));
const plan = (set: DaemonSet, nodes: readonly Node[], pods: readonly Pod[], nowMs = epochMs): Plan =>
  reconcile(set, { nodes, pods, hash: 'new' }, nowMs);
const made = ({ create }: Plan): readonly string[] => create.map(({ node }) => node);
const gone = ({ remove }: Plan): readonly (string | undefined)[] => remove.map(targetOf);

describe('daemonset-controller/reconcile', () => {
  const set = aDaemonSet();

  it('makes a pod for each node, bound to it by its name', () => {
    const nodes = nodesOf(2);
    assert.deepEqual(made(plan(set, nodes, [])), ['n0', 'n1']);
    const draft = podOf(set, { node: 'n0', hash: 'new', failures: 0, after: '' }) as Pod;
    assert.equal(targetOf(draft), 'n0');
    assert.equal(draft.metadata.labels?.[hashLabel], 'new');
    assert.equal(draft.metadata.ownerReferences?.[0]?.uid, set.metadata.uid);
    assert.deepEqual(made(plan(set, nodes, [pod(set, 'n0', 'new', 'pending'), pod(set, 'n1', 'new', 'ready')])), []);
  });

  it('waits for a pod that is on its way out', () =>
    assert.deepEqual(made(plan(set, nodesOf(1), [pod(set, 'n0', 'old', 'going')])), []));

  it('removes pods from nodes that do not fit, and from those that are gone', () => {
    const driven = aNode({ name: 'n0', taints: [taint('gpu', 'NoExecute')] });
    const closed = aNode({ name: 'n1', taints: [taint('gpu', 'NoSchedule')] });
    const pods = [pod(set, 'n0', 'new', 'ready'), pod(set, 'n1', 'new', 'ready'), pod(set, 'lost', 'new', 'ready')];
    assert.deepEqual(gone(plan(set, [driven, closed], pods)), ['lost', 'n0']);
    const { sites } = plan(set, [driven, closed], pods);
    assert.equal(statusOf(set, sites, { failure: undefined }, epochMs).numberMisscheduled, 3);
    assert.deepEqual(gone(plan(set, [closed], [pod(set, 'n1', 'new', 'pending')])), ['n1'], 'it has not come yet');
  });

  it('keeps the best of several on one node', () => {
    const twin = { ...pod(set, 'n0', 'new', { state: 'ready', after: 'x' }) };
    const { remove } = plan(set, nodesOf(1), [pod(set, 'n0', 'new', 'running'), twin]);
    assert.deepEqual(remove.map(isReady), [false]);
  });

  it('adopts what matches and is for a node, releases what matches no more', () => {
    const { ownerReferences: _, ...metadata } = pod(set, 'n0', 'new', 'ready').metadata;
    const orphan = { ...pod(set, 'n0', 'new', 'ready'), metadata };
    const adopting = plan(set, nodesOf(1), [orphan]);
    assert.deepEqual([adopting.adopt.length, adopting.create.length], [1, 0]);
    const mine = pod(set, 'n0', 'new', 'ready');
    const sick = { ...mine, metadata: { ...mine.metadata, labels: { app: 'sick' } } };
    const releasing = plan(set, nodesOf(1), [sick]);
    assert.deepEqual([releasing.release.length, releasing.create.length], [1, 1]);
  });

  it('replaces a failed pod at once, the next ones with growing pauses, and removes each after its successor came', () => {
    const first = pod(set, 'n0', 'new', 'failed');
    assert.deepEqual(plan(set, nodesOf(1), [first]).create, [
      { node: 'n0', hash: 'new', failures: 1, after: first.metadata.uid },
    ]);
    assert.deepEqual(plan(set, nodesOf(1), [first]).remove, []);
    const second = pod(set, 'n0', 'new', { state: 'failed', failures: 1 });
    const held = plan(set, nodesOf(1), [second]);
    assert.deepEqual([held.create.length, held.nextMs, held.held.length], [0, 1000, 1]);
    assert.equal(plan(set, nodesOf(1), [second], epochMs + 1000).create[0]?.failures, 2);
    const fifth = pod(set, 'n0', 'new', { state: 'failed', failures: 4 });
    assert.equal(plan(set, nodesOf(1), [fifth]).nextMs, 8000);
    const successor = pod(set, 'n0', 'new', { state: 'running', after: 'x' });
    assert.deepEqual(plan(set, nodesOf(1), [fifth, successor]).remove, [fifth]);
  });

  it('takes one after another, the broken first, and none beyond the bound', () => {
    const nodes = nodesOf(4);
    const all = (...states: readonly PodState[]): Pod[] => states.map((state, i) => pod(set, `n${i}`, 'old', state));
    assert.deepEqual(gone(plan(set, nodes, all('ready', 'ready', 'ready', 'ready'))), ['n0']);
    assert.deepEqual(gone(plan(set, nodes, all('ready', 'ready', 'running', 'ready'))), ['n2']);
    const stuck = [pod(set, 'n0', 'new', 'running'), ...all('ready', 'running', 'ready').slice(1)];
    assert.deepEqual(gone(plan(set, nodes, stuck)), [], 'a bad template takes no second node');
    const half = aDaemonSet({ maxUnavailable: '50%' });
    assert.deepEqual(gone(plan(half, nodes, all('ready', 'ready', 'ready', 'ready'))), ['n0', 'n1']);
    const onDelete = aDaemonSet({ spec: { updateStrategy: { type: 'OnDelete' } } });
    assert.deepEqual(gone(plan(onDelete, nodes, all('ready', 'ready', 'running', 'ready'))), []);
  });

  it('leaves nodes that are down with an old pod alone, and stops where one went down with a new one', () => {
    const nodes = [aNode({ name: 'n0', ready: false }), ...nodesOf(3).slice(1)];
    const old = ['n1', 'n2'].map((node) => pod(set, node, 'old', 'ready'));
    assert.deepEqual(gone(plan(set, nodes, [pod(set, 'n0', 'old', 'running'), ...old])), ['n1']);
    assert.deepEqual(gone(plan(set, nodes, [pod(set, 'n0', 'new', 'running'), ...old])), []);
  });

  it('puts the new beside the old where it may, and removes the old once the new is available', () => {
    const surging = aDaemonSet({ maxUnavailable: 0, maxSurge: 1 });
    const nodes = nodesOf(2);
    const old = ['n0', 'n1'].map((node) => pod(surging, node, 'old', 'ready'));
    const first = plan(surging, nodes, old);
    assert.deepEqual([made(first), gone(first)], [['n0'], []]);
    const second = plan(surging, nodes, [...old, pod(surging, 'n0', 'new', 'running')]);
    assert.deepEqual([made(second), gone(second)], [[], []]);
    const third = plan(surging, nodes, [...old, pod(surging, 'n0', 'new', 'ready')]);
    assert.deepEqual(
      [made(third), third.remove.map(({ metadata }) => metadata.labels?.[hashLabel])],
      [['n1'], ['old']],
    );
  });

  it('waits for minReadySeconds', () => {
    const slow = aDaemonSet({ spec: { minReadySeconds: 10 } });
    const pods = [pod(slow, 'n0', 'new', 'ready'), pod(slow, 'n1', 'old', 'ready')];
    const early = plan(slow, nodesOf(2), pods, epochMs + 4000);
    assert.deepEqual([gone(early), early.nextMs], [[], 6000]);
    assert.deepEqual(gone(plan(slow, nodesOf(2), pods, epochMs + 10_000)), ['n1']);
  });
});

describe('daemonset-controller/reconcile, whatever happens', function () {
  this.timeout(60_000);
  const event = fc.record({
    kind: fc.constantFrom(
      'settle',
      'settle',
      'settle',
      'down',
      'up',
      'fail',
      'taint',
      'clear',
      'join',
      'leave',
      'delete',
      'sicken',
    ),
    who: fc.nat(5),
  });
  const strategy = fc.oneof(
    fc.record({ maxUnavailable: fc.integer({ min: 1, max: 3 }), maxSurge: fc.constant(0) }),
    fc.record({ maxUnavailable: fc.constant(0), maxSurge: fc.integer({ min: 1, max: 3 }) }),
  );

  it('brings exactly one pod of the newest template to each node that fits, within the bounds, and then rests', () => {
    fc.assert(
      fc.property(strategy, fc.array(event, { maxLength: 40 }), fc.nat(20), (bounds, events, turn) => {
        const set = aDaemonSet(bounds);
        const world = new World(set);
        for (const [i, { kind, who }] of events.entries()) {
          if (i === turn) world.hash = 'v2';
          world.befall(kind, who);
          world.step();
        }
        world.hash = 'v2';
        world.mend();
        let steps = 0;
        while (world.step()) {
          world.settle();
          assert.ok(++steps < 100, 'it does not end');
        }
        for (const node of world.nodes.values()) {
          const here = world.pods.filter((each) => targetOf(each) === node.metadata.name);
          const isFree = node.spec.taints === undefined || node.spec.taints.length === 0;
          assert.deepEqual(
            here.map(({ metadata }) => metadata.labels?.[hashLabel]),
            isFree ? ['v2'] : [],
          );
        }
        assert.equal(
          world.pods.length,
          [...world.nodes.values()].filter(({ spec }) => (spec.taints ?? []).length === 0).length,
        );
      }),
      { numRuns: 300 },
    );
  });

  /** Nodes and their pods, with an agent that does what it is told when the time has come. */
  class World {
    readonly set: DaemonSet;
    readonly nodes = new Map<string, Node>();
    pods: readonly Pod[] = [];
    hash = 'v1';
    nowMs = epochMs;
    #births = 0;

    constructor(set: DaemonSet) {
      this.set = set;
      for (let i = 0; i < 4; i++) this.#put(`n${i}`, {});
    }

    #put(name: string, options: Parameters<typeof aNode>[0]): void {
      this.nodes.set(name, aNode({ name, ...options }));
    }

    befall(kind: string, who: number): void {
      const name = `n${who}`;
      const mine = (each: Pod): boolean => targetOf(each) === name;
      const set = (state: PodState): void => {
        this.pods = this.pods.map((each) => (mine(each) && isActive(each) ? this.#as(each, state) : each));
      };
      if (kind === 'settle') return this.settle();
      if (kind === 'join' && !this.nodes.has(name)) this.#put(name, {});
      if (kind === 'leave') this.nodes.delete(name);
      if (!this.nodes.has(name)) return;
      if (kind === 'down') {
        this.#put(name, { ready: false });
        set('running');
      }
      if (kind === 'up' || kind === 'clear') this.#put(name, {});
      if (kind === 'taint') this.#put(name, { taints: [taint('x', 'NoExecute')] });
      if (kind === 'fail') set('failed');
      if (kind === 'sicken') set('running');
      if (kind === 'delete') set('going');
    }

    mend(): void {
      for (const [name, { spec }] of this.nodes)
        this.#put(name, { ...(spec.taints !== undefined && { taints: spec.taints }) });
      this.settle();
    }

    /** What is bound runs and becomes ready, what was told to go is gone. */
    settle(): void {
      this.nowMs += 400_000;
      const isUp = (each: Pod): boolean =>
        this.nodes
          .get(targetOf(each) ?? '')
          ?.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
      this.pods = this.pods
        .filter((each) => !isDeleting(each) || (this.nodes.has(targetOf(each) ?? '') && !isUp(each)))
        .map((each) => (isActive(each) && isUp(each) ? this.#as(each, 'ready') : each));
    }

    #as(each: Pod, state: PodState): Pod {
      const like = pod(this.set, targetOf(each) ?? '', each.metadata.labels?.[hashLabel] ?? '', state);
      const { deletionTimestamp, deletionGracePeriodSeconds } = like.metadata;
      return {
        ...each,
        metadata: {
          ...each.metadata,
          ...(deletionTimestamp !== undefined && { deletionTimestamp }),
          ...(deletionGracePeriodSeconds !== undefined && { deletionGracePeriodSeconds }),
        },
        spec: like.spec,
        status: like.status,
      };
    }

    /** One pass of the loop; false when there was nothing to do. */
    step(): boolean {
      const observed = { nodes: [...this.nodes.values()], pods: this.pods, hash: this.hash };
      const { create, remove, sites } = reconcile(this.set, observed, this.nowMs);
      const before = sites.filter(({ wanted, up }) => wanted && up);
      const doomed = new Set(remove.map(({ metadata }) => metadata.uid));
      const lacks = (each: (typeof before)[number], without: ReadonlySet<string>): boolean =>
        ![...each.next, ...each.old].some((one) => isReady(one) && !without.has(one.metadata.uid));
      const [was, is] = [new Set<string>(), doomed].map(
        (without) => before.filter((each) => lacks(each, without)).length,
      );
      const { maxUnavailable = 0 } = this.set.spec.updateStrategy.rollingUpdate ?? {};
      if ((is ?? 0) > (was ?? 0))
        assert.ok((is ?? 0) <= Number(maxUnavailable), 'more are missing than may be, by the rollout');
      this.pods = [
        ...this.pods.flatMap((each) => {
          if (!doomed.has(each.metadata.uid)) return [each];
          return isTerminal(each) || each.spec.nodeName === undefined ? [] : [this.#as(each, 'going')];
        }),
        ...create.map(({ node, hash, after, failures }) => {
          const { metadata, ...rest } = pod(this.set, node, hash, { state: 'pending', after, failures });
          return { ...rest, metadata: { ...metadata, uid: uidOf(`birth ${++this.#births}`) } };
        }),
      ];
      const names = this.pods.map(({ metadata }) => metadata.name);
      assert.equal(new Set(names).size, names.length, 'two pods of one name');
      const { maxSurge = 0 } = this.set.spec.updateStrategy.rollingUpdate ?? {};
      for (const name of this.nodes.keys()) {
        const here = this.pods.filter((each) => targetOf(each) === name);
        const most = Number(maxSurge) > 0 ? 2 : 1;
        assert.ok(here.filter((each) => isActive(each)).length <= most, `more than ${most} on ${name}`);
      }
      return create.length + remove.length > 0;
    }
  }
});

describe('daemonset-controller/revisions', () => {
  const set = aDaemonSet();
  const former = aRevision(aDaemonSet({ template: { image: 'former' } }), 2);
  const current = aRevision(set, 1);

  it('makes one for a new template, with the next number and a patch that brings it back', () => {
    const { create, hash } = historyOf(set, [former], new Set());
    assert.equal(hash, undefined);
    assert.equal(create?.revision, 3);
    assert.ok(isOf(set, { ...current, ...create } as typeof current));
    assert.equal(create.metadata.labels?.['app'], 'agent', 'kubectl finds it by the selector');
  });

  it('gives one that comes back a new number, and its cause', () => {
    const cause = { 'kubernetes.io/change-cause': 'back' };
    const { write } = historyOf(aDaemonSet({ annotations: cause }), [current, former], new Set());
    assert.equal(write?.revision, 3);
    assert.deepEqual(write.metadata.annotations, cause);
    assert.equal(historyOf(set, [{ ...current, revision: 3 }, former], new Set()).write, undefined);
    const annotations = { [rolledOutAnnotation]: 'true' };
    const done = { ...current, metadata: { ...current.metadata, annotations } };
    assert.deepEqual(
      historyOf(set, [done, former], new Set()).write?.metadata.annotations,
      {},
      'it is rolled out anew',
    );
    assert.equal(historyOf(set, [{ ...done, revision: 3 }, former], new Set()).write, undefined);
  });

  it('forgets the oldest beyond the limit, but none that pods are of', () => {
    const old = [1, 2, 3].map((number) => {
      const made = aRevision(aDaemonSet({ template: { image: `v${number}` } }), number);
      return { ...made, metadata: { ...made.metadata, labels: { [hashLabel]: `v${number}` } } };
    });
    const last = { ...current, revision: 9 };
    const limited = aDaemonSet({ spec: { revisionHistoryLimit: 1 } });
    const forgotten = (inUse: readonly string[]): readonly number[] =>
      historyOf(limited, [...old, last], new Set(inUse)).remove.map(({ revision }) => revision);
    assert.deepEqual(forgotten([]), [1, 2]);
    assert.deepEqual(forgotten(['v1']), [2]);
  });
});

describe('daemonset-controller/rollout', () => {
  const asking = (onFailed: string, options: DaemonSetOptions = {}): DaemonSet =>
    aDaemonSet({ annotations: { 'troupe.dev/on-failed-rollout': onFailed }, maxUnavailable: 3, ...options });
  const crashing = (of: DaemonSet, node: string): Pod => {
    const made = pod(of, node, 'new', 'running');
    const state = { waiting: { reason: 'CrashLoopBackOff', message: 'back-off' } };
    const status = { name: 'app', state, ready: false, restartCount: 3, image: 'agent:1', imageID: '' };
    return { ...made, status: { ...made.status, containerStatuses: [status] } };
  };
  const seen = (of: DaemonSet): readonly Pod[] => [
    crashing(of, 'n0'),
    pod(of, 'n1', 'old', 'ready'),
    pod(of, 'n2', 'old', 'ready'),
  ];

  it('takes no more steps while a new pod cannot come up, unless they are asked for', () => {
    const stopped = plan(asking('stop'), nodesOf(3), seen(asking('stop')));
    assert.deepEqual([stopped.failure?.reason, gone(stopped)], ['CrashLoopBackOff', []]);
    const surging = asking('stop', { maxUnavailable: 0, maxSurge: 3 });
    assert.deepEqual(made(plan(surging, nodesOf(3), seen(surging))), []);
    for (const each of [asking('continue'), aDaemonSet({ maxUnavailable: 3 })]) {
      const going = plan(each, nodesOf(3), seen(each));
      assert.deepEqual([going.failure, gone(going)], [undefined, ['n1', 'n2']]);
    }
  });

  it('takes what happens after its end for no failure of it', () => {
    const set = asking('stop');
    const observed = { nodes: nodesOf(3), pods: seen(set), hash: 'new', isRolledOut: true };
    assert.equal(reconcile(set, observed, epochMs).failure, undefined);
  });

  it('is at its end when the new template is on every node that answers and has room', () => {
    const set = asking('stop');
    const ends = (nodes: readonly Node[], ...pods: readonly Pod[]): boolean => plan(set, nodes, pods).isWhole;
    const [first, second] = [pod(set, 'n0', 'new', 'ready'), pod(set, 'n1', 'new', 'ready')];
    assert.equal(ends(nodesOf(2), first, second), true);
    assert.equal(ends(nodesOf(2), first), false, 'one is still to be made');
    assert.equal(ends(nodesOf(2), first, pod(set, 'n1', 'old', 'ready')), false);
    assert.equal(ends(nodesOf(2), first, pod(set, 'n1', 'new', 'running')), false);
    assert.equal(ends(nodesOf(2), first, pod(set, 'n1', 'new', 'pending')), true, 'it waits for room');
    assert.equal(ends(nodesOf(2), pod(set, 'n0', 'new', 'pending'), pod(set, 'n1', 'new', 'pending')), false);
    assert.equal(ends([]), false);
  });

  const revision = (number: number, annotations: Record<string, string> = {}): ControllerRevision => {
    const made = aRevision(set, number);
    const labels = { [hashLabel]: `h${number}` };
    return { ...made, metadata: { ...made.metadata, annotations, labels } };
  };
  const set = asking('revert');
  const failure = { reason: 'CrashLoopBackOff', message: 'it crashes' };
  const back = (
    of: DaemonSet,
    revisions: readonly ControllerRevision[],
    inUse: readonly string[] = [],
  ): string | undefined =>
    revertOf(of, revisions, { current: revision(9), failure, inUse: new Set(inUse) })?.target.metadata.name;

  it('goes back to the newest that was rolled out, else to one that has pods, and only where that is asked for', () => {
    const done = revision(1, { [rolledOutAnnotation]: 'true' });
    assert.equal(back(set, [done, revision(2), revision(9)], ['h2']), 'agent-abc1');
    assert.equal(back(set, [revision(1), revision(2), revision(9)], ['h1']), 'agent-abc1');
    assert.equal(back(set, [revision(1), revision(2), revision(9)]), 'agent-abc2');
    assert.equal(back(set, [revision(9)]), undefined);
    assert.equal(back(asking('stop'), [done, revision(9)]), undefined);
    const well = { current: revision(9), failure: undefined, inUse: new Set<string>() };
    assert.equal(revertOf(set, [done, revision(9)], well), undefined);
  });

  it('does not leave what was gone back to, nor go back to what failed', () => {
    const after = (from: string, to: string): DaemonSet => {
      const mark = JSON.stringify({ from, to, reason: 'CrashLoopBackOff', cause: 'it crashes' });
      return asking('revert', {
        annotations: { 'troupe.dev/on-failed-rollout': 'revert', [revertedAnnotation]: mark },
      });
    };
    assert.equal(back(after('agent-abc2', 'agent-abc9'), [revision(1), revision(9)]), undefined);
    assert.equal(back(after('agent-abc2', 'agent-abc1'), [revision(1), revision(2), revision(9)]), 'agent-abc1');
  });
});

describe('daemonset-controller/status', () => {
  it('counts nodes', () => {
    const set = aDaemonSet();
    const pods = [pod(set, 'n0', 'new', 'ready'), pod(set, 'n1', 'old', 'ready'), pod(set, 'n2', 'new', 'running')];
    const { sites } = plan(set, nodesOf(4), pods);
    assert.deepEqual(statusOf(set, sites, { failure: undefined }, epochMs), {
      ...{ currentNumberScheduled: 3, numberMisscheduled: 0, desiredNumberScheduled: 4, numberReady: 2 },
      ...{ observedGeneration: 1, updatedNumberScheduled: 2, numberAvailable: 2, numberUnavailable: 2 },
    });
  });

  it('says why pods cannot be made, as long as it is so', () => {
    const set = aDaemonSet();
    const failure = { reason: 'FailedCreate', message: 'no quota' } as const;
    const status = statusOf(set, [], { failure }, epochMs);
    assert.equal(status.conditions?.[0]?.message, 'no quota');
    assert.equal(statusOf({ ...set, status }, [], { failure: undefined }, epochMs).conditions, undefined);
  });
});
