import assert from 'node:assert/strict';
import fc from 'fast-check';
import { matches, selectorOfLabelSelector } from '../../../lib/api/labels.ts';
import { meetsAny, nodeTermOf } from '../../../lib/api/node-selector.ts';
import type { Labels, Node, Pod, PodAffinityTerm, Taint, TopologySpreadConstraint } from '../../../lib/api/objects.ts';
import { needsOf, tolerates } from '../../../lib/api/pods.ts';
import { milliOf, unitsOf } from '../../../lib/api/quantity.ts';
import { Cluster } from '../../../lib/placing/cluster.ts';
import { pack, spread } from '../../../lib/placing/profile.ts';
import { schedule } from '../../../services/scheduler/schedule.ts';
import { aNode, aPod } from '../../support/builders.ts';

/**
 * The rules once more, written as they are told and not as they are indexed: each looks at every pod and every node. What the
 * scheduler decides is held against them, pod by pod in the order of the batch.
 */
interface World {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  readonly namespaces: Readonly<Record<string, Labels>>;
}

const required = 'requiredDuringSchedulingIgnoredDuringExecution';
const namespaceOf = (pod: Pod): string => pod.metadata.namespace ?? '';
const nodeNamed = (world: World, name: string | undefined): Node | undefined =>
  world.nodes.find(({ metadata }) => metadata.name === name);
const labelOf = (node: Node | undefined, key: string): string | undefined => node?.metadata.labels?.[key];

function selects(term: PodAffinityTerm, owner: Pod, other: Pod, world: World): boolean {
  const { labelSelector, namespaces = [], namespaceSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  if (labelSelector === undefined) return false;
  const place = namespaceOf(other);
  const isInPlace =
    namespaces.length === 0 && namespaceSelector === undefined
      ? place === namespaceOf(owner)
      : namespaces.includes(place) ||
        (namespaceSelector !== undefined &&
          matches(selectorOfLabelSelector(namespaceSelector), world.namespaces[place]));
  const [own, its] = [owner.metadata.labels ?? {}, other.metadata.labels ?? {}];
  return (
    isInPlace &&
    matches(selectorOfLabelSelector(labelSelector), its) &&
    matchLabelKeys.every((key) => own[key] === undefined || its[key] === own[key]) &&
    mismatchLabelKeys.every((key) => own[key] === undefined || its[key] !== own[key])
  );
}

const termsOf = (pod: Pod, kind: 'podAffinity' | 'podAntiAffinity'): readonly PodAffinityTerm[] =>
  pod.spec.affinity?.[kind]?.[required] ?? [];

const hasRoom = (pod: Pod, node: Node, world: World): boolean => {
  const there = world.pods.filter(({ spec }) => spec.nodeName === node.metadata.name);
  const sum = (of: (needs: ReturnType<typeof needsOf>) => number): number =>
    [...there, pod].reduce((total, { spec }) => total + of(needsOf(spec)), 0);
  const has = node.status.allocatable ?? {};
  return (
    sum(({ cpuMilli }) => cpuMilli) <= milliOf(has['cpu'] ?? 0) &&
    sum(({ memoryBytes }) => memoryBytes) <= unitsOf(has['memory'] ?? 0) &&
    Object.keys(needsOf(pod.spec).others ?? {}).every(
      (name) => sum(({ others }) => others?.[name] ?? 0) <= unitsOf(has[name] ?? 0),
    ) &&
    there.length + 1 <= unitsOf(has['pods'] ?? 0)
  );
};

const toleratesAll = (pod: Pod, node: Node): boolean =>
  (node.spec.taints ?? []).every(
    (taint) =>
      taint.effect === 'PreferNoSchedule' || (pod.spec.tolerations ?? []).some((each) => tolerates(each, taint)),
  ) && node.spec.unschedulable !== true;

function allows(pod: Pod, node: Node): boolean {
  const { nodeSelector = {}, affinity } = pod.spec;
  const { name, labels = {} } = node.metadata;
  const terms = affinity?.nodeAffinity?.[required]?.nodeSelectorTerms;
  return (
    Object.entries(nodeSelector).every(([key, value]) => labels[key] === value) &&
    (terms === undefined || meetsAny(terms.map(nodeTermOf), { name, labels }))
  );
}

function isNear(pod: Pod, node: Node, world: World): boolean {
  const terms = termsOf(pod, 'podAffinity');
  const isOneOf = (other: Pod): boolean => terms.every((term) => selects(term, pod, other, world));
  const counts = (other: Pod, { topologyKey }: PodAffinityTerm): boolean =>
    isOneOf(other) && labelOf(nodeNamed(world, other.spec.nodeName), topologyKey) !== undefined;
  const isFirst = isOneOf(pod) && !terms.some((term) => world.pods.some((other) => counts(other, term)));
  return terms.every(({ topologyKey }) => {
    const value = labelOf(node, topologyKey);
    if (value === undefined) return false;
    return (
      isFirst ||
      world.pods.some(
        (other) => isOneOf(other) && labelOf(nodeNamed(world, other.spec.nodeName), topologyKey) === value,
      )
    );
  });
}

const clashes = (
  owner: Pod,
  other: Pod,
  [at, there]: readonly [Node | undefined, Node | undefined],
  world: World,
): boolean =>
  termsOf(owner, 'podAntiAffinity').some((term) => {
    const value = labelOf(at, term.topologyKey);
    return value !== undefined && value === labelOf(there, term.topologyKey) && selects(term, owner, other, world);
  });

const isApart = (pod: Pod, node: Node, world: World): boolean =>
  world.pods.every((other) => {
    const there = nodeNamed(world, other.spec.nodeName);
    return !clashes(pod, other, [node, there], world) && !clashes(other, pod, [there, node], world);
  });

function isEven(pod: Pod, node: Node, world: World): boolean {
  const hard = (pod.spec.topologySpreadConstraints ?? []).filter((each) => each.whenUnsatisfiable === 'DoNotSchedule');
  return hard.every((constraint) => {
    const { topologyKey, maxSkew, minDomains = 1, nodeAffinityPolicy, nodeTaintsPolicy } = constraint;
    const eligible = world.nodes.filter(
      (each) =>
        hard.every((other) => labelOf(each, other.topologyKey) !== undefined) &&
        (nodeAffinityPolicy === 'Ignore' || allows(pod, each)) &&
        (nodeTaintsPolicy !== 'Honor' || toleratesAll(pod, each)),
    );
    const isCounted = (other: Pod): boolean =>
      other.metadata.deletionTimestamp === undefined && selects(asTerm(constraint), pod, other, world);
    const countIn = (value: string): number =>
      world.pods.filter(
        (other) =>
          isCounted(other) &&
          eligible.some(
            ({ metadata, ...each }) =>
              metadata.name === other.spec.nodeName && labelOf({ metadata, ...each }, topologyKey) === value,
          ),
      ).length;
    const values = [...new Set(eligible.flatMap((each) => labelOf(each, topologyKey) ?? []))];
    const fewest = values.length < minDomains || values.length === 0 ? 0 : Math.min(...values.map(countIn));
    const value = labelOf(node, topologyKey);
    const self = selects(asTerm(constraint), pod, pod, world) ? 1 : 0;
    return value !== undefined && countIn(value) + self - fewest <= maxSkew;
  });
}

const asTerm = ({ topologyKey, labelSelector, matchLabelKeys }: TopologySpreadConstraint): PodAffinityTerm => ({
  topologyKey,
  ...(labelSelector === undefined ? {} : { labelSelector }),
  ...(matchLabelKeys === undefined ? {} : { matchLabelKeys }),
});

const mayGo = (pod: Pod, node: Node, world: World): boolean =>
  node.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true &&
  hasRoom(pod, node, world) &&
  toleratesAll(pod, node) &&
  allows(pod, node) &&
  isNear(pod, node, world) &&
  isApart(pod, node, world) &&
  isEven(pod, node, world);

// ---- Random clusters ----------------------------------------------------------------------------

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 2 });
const without = <T extends object>(object: T): T =>
  Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
const record = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K] | undefined> }): fc.Arbitrary<T> =>
  (fc.record(fields as never) as fc.Arbitrary<T & object>).map(without);

const app = fc.constantFrom('a', 'b', 'c');
const topologyKey = fc.constantFrom('zone', 'host');
const labelSelector = fc.oneof(
  app.map((value) => ({ matchLabels: { app: value } })),
  fc.constant({}),
  fc.constant({ matchExpressions: [{ key: 'app', operator: 'NotIn' as const, values: ['a'] }] }),
  fc.constant({ matchExpressions: [{ key: 'v', operator: 'Exists' as const }] }),
);
const term = record<PodAffinityTerm>({
  topologyKey,
  labelSelector: maybe(labelSelector),
  namespaces: maybe(fc.subarray(['one', 'two'])),
  namespaceSelector: fc.option(fc.constantFrom({}, { matchLabels: { team: 'x' } }), { nil: undefined, freq: 1 }),
  matchLabelKeys: fc.option(fc.constant(['v']), { nil: undefined, freq: 1 }),
  mismatchLabelKeys: fc.option(fc.constant(['v']), { nil: undefined, freq: 1 }),
});
const podRules = fc.array(term, { minLength: 1, maxLength: 2 }).map((terms) => ({ [required]: terms }));
const requirement = fc.constantFrom(
  { key: 'zone', operator: 'In' as const, values: ['z0', 'z1'] },
  { key: 'zone', operator: 'Exists' as const },
  { key: 'size', operator: 'Gt' as const, values: ['2'] },
  { key: 'size', operator: 'DoesNotExist' as const },
);
const nodeRules = fc.oneof(
  fc
    .array(fc.array(requirement, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 2 })
    .map((terms) => ({ [required]: { nodeSelectorTerms: terms.map((matchExpressions) => ({ matchExpressions })) } })),
  fc.nat(5).map((i) => ({
    [required]: {
      nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In' as const, values: [`n${i}`] }] }],
    },
  })),
);
const constraint = record<TopologySpreadConstraint>({
  maxSkew: fc.integer({ min: 1, max: 2 }),
  topologyKey,
  whenUnsatisfiable: fc.constantFrom('DoNotSchedule', 'ScheduleAnyway'),
  labelSelector: maybe(labelSelector),
  minDomains: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined, freq: 1 }),
  nodeAffinityPolicy: maybe(fc.constantFrom('Honor', 'Ignore')),
  nodeTaintsPolicy: maybe(fc.constantFrom('Honor', 'Ignore')),
  matchLabelKeys: fc.option(fc.constant(['v']), { nil: undefined, freq: 1 }),
});
const taint: Taint = { key: 'k', effect: 'NoSchedule' };

const podFields = fc.record({
  namespace: fc.constantFrom('one', 'two'),
  app,
  v: maybe(fc.constantFrom('1', '2')),
  cpu: fc.constantFrom('100m', '1', '2'),
  gpus: fc.option(fc.constantFrom('1', '2'), { nil: undefined, freq: 1 }),
  tolerant: fc.boolean(),
  deleted: fc.boolean(),
  nodeSelector: fc.option(fc.constant({ zone: 'z1' }), { nil: undefined, freq: 1 }),
  nodeAffinity: fc.option(nodeRules, { nil: undefined, freq: 1 }),
  podAffinity: maybe(podRules),
  podAntiAffinity: maybe(podRules),
  spread: fc.array(constraint, { maxLength: 2 }),
});
type PodFields = typeof podFields extends fc.Arbitrary<infer T> ? T : never;

function podOf(name: string, fields: PodFields, nodeName?: string): Pod {
  const { namespace, app: appName, v, cpu, gpus, tolerant, deleted, nodeSelector, spread } = fields;
  const { nodeAffinity, podAffinity, podAntiAffinity } = fields;
  const affinity = without({ nodeAffinity, podAffinity, podAntiAffinity });
  return aPod({
    ...{ name, namespace, cpu, labels: { app: appName, ...(v === undefined ? {} : { v }) } },
    ...(nodeName === undefined ? {} : { nodeName, deleted }),
    ...(gpus === undefined ? {} : { others: { 'example.com/gpu': gpus } }),
    ...(tolerant ? { tolerations: [{ operator: 'Exists' as const, key: 'k' }] } : {}),
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
    spec: {
      ...(Object.keys(affinity).length === 0 ? {} : { affinity: affinity as NonNullable<Pod['spec']['affinity']> }),
      ...(spread.length === 0 ? {} : { topologySpreadConstraints: spread }),
    },
  });
}

const aCluster = fc.record({
  nodes: fc.array(
    fc.record({
      zone: maybe(fc.constantFrom('z0', 'z1', 'z2')),
      size: maybe(fc.constantFrom('1', '3')),
      tainted: fc.boolean(),
      ready: fc.boolean(),
      cordoned: fc.boolean(),
      cpu: fc.constantFrom('1', '4'),
      gpus: maybe(fc.constantFrom('1', '3')),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  there: fc.array(fc.tuple(podFields, fc.nat(5)), { maxLength: 6 }),
  coming: fc.array(podFields, { minLength: 1, maxLength: 6 }),
  start: fc.nat(10),
  sample: fc.integer({ min: 1, max: 8 }),
  profile: fc.constantFrom(spread, pack),
});

const runs = process.env['TROUPE_TEST_LONG'] === '1' ? 100_000 : 2_000;
const limitMs = runs > 10_000 ? 1_800_000 : 120_000;

describe('scheduler/placing, against the rules as they are told', () => {
  it(`breaks none, and refuses no pod that could go somewhere, in ${runs} random clusters`, function () {
    this.timeout(limitMs);
    let placed = 0;
    let refused = 0;
    fc.assert(
      fc.property(aCluster, ({ nodes: shapes, there, coming, start, sample, profile }) => {
        const nodes = shapes.map(({ zone, size, tainted, ready, cordoned, cpu, gpus }, i) =>
          aNode({
            ...{ name: `n${i}`, cpu, pods: '4', ready: ready || i === 0, unschedulable: cordoned && i > 1 },
            labels: without({ host: `n${i}`, zone, size }) as Labels,
            taints: tainted && i > 0 ? [taint] : [],
            others: gpus === undefined ? {} : { 'example.com/gpu': gpus },
          }),
        );
        const old = there.map(([fields, at], i) => podOf(`old${i}`, fields, `n${at % nodes.length}`));
        const pods = coming.map((fields, i) => podOf(`new${i}`, fields));
        const namespaces = { one: { team: 'x' }, two: {} };
        const cluster = new Cluster();
        for (const [name, labels] of Object.entries(namespaces)) cluster.tallies.setNamespace(name, labels);
        for (const node of nodes) cluster.setNode(node);
        for (const pod of old) cluster.setPod(pod);
        // Twice: the second time all that was counted for the first must have been taken back.
        const first = schedule(pods, cluster, { start, sample, profile });
        const result = schedule(pods, cluster, { start, sample, profile });
        assert.deepEqual(result, first);

        let world: World = { nodes, pods: old, namespaces };
        const refusals = new Map(result.refusals.map(({ pod, message }) => [pod.metadata.name, message]));
        const placements = new Map(result.placements.map(({ ask, nodeName }) => [ask.pod.metadata.name, nodeName]));
        for (const pod of pods) {
          const nodeName = placements.get(pod.metadata.name);
          const possible = nodes.filter((node) => mayGo(pod, node, world)).map(({ metadata }) => metadata.name);
          if (nodeName === undefined) {
            refused += 1;
            assert.deepEqual(possible, [], `${pod.metadata.name} was refused: ${refusals.get(pod.metadata.name)}`);
            continue;
          }
          placed += 1;
          assert.ok(possible.includes(nodeName), `${pod.metadata.name} must not go to ${nodeName}`);
          world = { ...world, pods: [...world.pods, { ...pod, spec: { ...pod.spec, nodeName } }] };
        }
      }),
      { numRuns: runs },
    );
    assert.ok(placed > runs / 5 && refused > runs / 5, `both happen often: ${placed} placed, ${refused} refused`);
  });

  it('counts the same whatever way the cluster came to be as it is', function () {
    this.timeout(limitMs);
    fc.assert(
      fc.property(aCluster, fc.array(fc.tuple(fc.nat(5), fc.nat(5), podFields), { maxLength: 8 }), (shape, moves) => {
        const nodes = shape.nodes.map(({ zone }, i) =>
          aNode({ name: `n${i}`, labels: without({ host: `n${i}`, zone }) as Labels }),
        );
        const coming = shape.coming.map((fields, i) => podOf(`new${i}`, fields));
        const grown = new Cluster();
        for (const node of nodes) grown.setNode(node);
        const pods = new Map<string, Pod>();
        const set = (fields: PodFields, name: string, at: number): void => {
          const pod = podOf(name, fields, `n${at % nodes.length}`);
          for (const key of [`one/${name}`, `two/${name}`]) {
            if (pods.delete(key)) grown.removePod(key);
          }
          pods.set(`${namespaceOf(pod)}/${name}`, pod);
          grown.setPod(pod);
          schedule(coming, grown, { start: 0, sample: 8 }); // tallies are made at different times
        };
        shape.there.forEach(([fields, at], i) => set(fields, `p${i}`, at));
        moves.forEach(([which, at, fields]) => set(fields, `p${which}`, at));
        const fresh = new Cluster();
        for (const pod of pods.values()) fresh.setPod(pod);
        for (const node of nodes) fresh.setNode(node);
        const decide = (cluster: Cluster): unknown => {
          const { placements, refusals } = schedule(coming, cluster, { start: 0, sample: 8 });
          return [placements.map(({ nodeName }) => nodeName), refusals.map(({ message }) => message)];
        };
        assert.deepEqual(decide(grown), decide(fresh));
      }),
      { numRuns: runs / 10 },
    );
  });
});
