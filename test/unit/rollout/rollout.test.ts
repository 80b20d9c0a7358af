import assert from 'node:assert/strict';
import fc from 'fast-check';
import { boundsOf, rollOut, type Aim, type Group } from '../../../lib/rollout/rollout.ts';

/** A group whose pods are all there and available, unless told otherwise. */
const aGroup = (name: string, wanted: number, options: Partial<Group> = {}): Group => {
  const present = options.present ?? wanted;
  const ready = options.ready ?? options.available ?? present;
  return { name, wanted, present, ready, available: ready, going: 0, bornMs: name.charCodeAt(0), ...options };
};
const aim = (replicas: number, options: Partial<Aim> = {}): Aim => ({
  replicas,
  maxSurge: 1,
  maxUnavailable: 0,
  ...options,
});

describe('rollout/rollOut', () => {
  const rows: { it: string; aim: Aim; next?: Group; old?: readonly Group[]; want: Readonly<Record<string, number>> }[] =
    [
      { it: 'rests when all is as wanted', aim: aim(3), next: aGroup('b', 3), old: [aGroup('a', 0)], want: {} },
      { it: 'fills a first template at once', aim: aim(3), next: aGroup('a', 0), want: { a: 3 } },
      { it: 'begins with one more', aim: aim(3), next: aGroup('b', 0), old: [aGroup('a', 3)], want: { b: 1 } },
      {
        it: 'waits for it to become available',
        ...{ aim: aim(3), next: aGroup('b', 1, { available: 0 }), old: [aGroup('a', 3)], want: {} },
      },
      { it: 'lets an old one go for it', aim: aim(3), next: aGroup('b', 1), old: [aGroup('a', 3)], want: { a: 2 } },
      {
        it: 'counts an old one that has not gone yet',
        ...{ aim: aim(3), next: aGroup('b', 1), old: [aGroup('a', 2, { present: 3, ready: 3 })], want: {} },
      },
      {
        it: 'takes one away first where nothing may be besides',
        ...{
          aim: aim(3, { maxSurge: 0, maxUnavailable: 1 }),
          next: aGroup('b', 0),
          old: [aGroup('a', 3)],
          want: { a: 2 },
        },
      },
      {
        it: 'takes what is not ready first, whatever its age',
        aim: aim(4, { maxSurge: 0, maxUnavailable: 1 }),
        ...{ next: aGroup('c', 0), old: [aGroup('a', 2), aGroup('b', 2, { available: 1 })], want: { b: 1 } },
      },
      {
        it: 'takes the oldest template first',
        ...{ aim: aim(3), next: aGroup('c', 1), old: [aGroup('b', 1), aGroup('a', 2)], want: { a: 1 } },
      },
      {
        it: 'makes no steps while held',
        aim: aim(3, { held: true }),
        next: aGroup('b', 1),
        old: [aGroup('a', 3)],
        want: {},
      },
      {
        it: 'follows the number of replicas while held',
        ...{ aim: aim(6, { held: true }), next: aGroup('b', 1), old: [aGroup('a', 2)], want: { a: 4, b: 2 } },
      },
      {
        it: 'shares more replicas in proportion',
        aim: aim(10, { maxSurge: 2 }),
        next: aGroup('b', 2, { sizedFor: 5, available: 0 }),
        ...{ old: [aGroup('a', 4, { sizedFor: 5 })], want: { a: 8, b: 4 } },
      },
      {
        it: 'takes what is not ready where there shall be fewer',
        ...{ aim: aim(5), next: aGroup('b', 4, { available: 0 }), old: [aGroup('a', 8)], want: { a: 5, b: 1 } },
      },
      {
        it: 'gives the new template no more than its limit, however many may be besides',
        ...{ aim: aim(4, { maxSurge: 3, limit: 1 }), next: aGroup('b', 0), old: [aGroup('a', 4)], want: { b: 1 } },
      },
      {
        it: 'leaves the rest to the old ones then',
        aim: aim(4, { maxSurge: 0, maxUnavailable: 2, limit: 1 }),
        ...{ next: aGroup('b', 1), old: [aGroup('a', 3)], want: {} },
      },
      {
        it: 'ends all old ones first where it recreates',
        ...{ aim: aim(3, { recreate: true }), next: aGroup('b', 0), old: [aGroup('a', 3)], want: { a: 0 } },
      },
      {
        it: 'waits until they have gone',
        ...{ aim: aim(3, { recreate: true }), next: aGroup('b', 0), old: [aGroup('a', 0, { going: 1 })], want: {} },
      },
      {
        it: 'then makes all',
        ...{ aim: aim(3, { recreate: true }), next: aGroup('b', 0), old: [aGroup('a', 0)], want: { b: 3 } },
      },
      { it: 'goes down to none', aim: aim(0), next: aGroup('b', 2), old: [aGroup('a', 1)], want: { a: 0, b: 0 } },
    ];
  for (const row of rows)
    it(row.it, () => {
      const sizes = rollOut(row.aim, row.next, row.old ?? []);
      assert.deepEqual(Object.fromEntries(sizes.map(({ name, wanted }) => [name, wanted])), row.want);
    });
});

describe('rollout/boundsOf', () => {
  it('rounds what may be besides up and what may be missing down', () =>
    assert.deepEqual(boundsOf(10, { maxSurge: '25%', maxUnavailable: '25%' }), { maxSurge: 3, maxUnavailable: 2 }));
  it('allows a step where both come to nothing', () =>
    assert.deepEqual(boundsOf(3, { maxSurge: 0, maxUnavailable: '25%' }), { maxSurge: 0, maxUnavailable: 1 }));
  it('lets no more be missing than there are', () =>
    assert.deepEqual(boundsOf(2, { maxSurge: 0, maxUnavailable: 5 }), { maxSurge: 0, maxUnavailable: 2 }));
});

// ---- Any cluster ---------------------------------------------------------------------------------

type Pod = 'made' | 'ready' | 'available';
interface Herd {
  readonly name: string;
  readonly bornMs: number;
  wanted: number;
  sizedFor: number;
  pods: Pod[];
  going: number;
}

const seen = (herd: Herd): Group => ({
  ...{ name: herd.name, bornMs: herd.bornMs, wanted: herd.wanted, going: herd.going, sizedFor: herd.sizedFor },
  present: herd.pods.length,
  ready: herd.pods.filter((pod) => pod !== 'made').length,
  available: herd.pods.filter((pod) => pod === 'available').length,
});
const availableIn = (herds: readonly Herd[]): number =>
  herds.reduce((total, { pods }) => total + pods.filter((pod) => pod === 'available').length, 0);
const presentIn = (herds: readonly Herd[]): number => herds.reduce((total, { pods }) => total + pods.length, 0);

/** What a loop that keeps a count does: unready pods go first, and of the ready ones whichever is dear for other reasons. */
function keepCount(herd: Herd): void {
  while (herd.pods.length < herd.wanted) herd.pods.push('made');
  while (herd.pods.length > herd.wanted) {
    const first = herd.pods.indexOf('made');
    const worst = herd.pods.lastIndexOf('available');
    herd.pods.splice(first >= 0 ? first : worst >= 0 ? worst : 0, 1);
    herd.going++;
  }
}

const podStates = fc.array(fc.constantFrom<Pod>('made', 'ready', 'available'), { maxLength: 6 });
const herds = fc.array(fc.record({ pods: podStates, extra: fc.integer({ min: -2, max: 3 }), sizedFor: fc.nat(8) }), {
  minLength: 1,
  maxLength: 4,
});
const aims = fc
  .record({
    replicas: fc.nat(8),
    maxSurge: fc.nat(3),
    maxUnavailable: fc.nat(3),
    recreate: fc.boolean(),
    held: fc.boolean(),
    limit: fc.option(fc.nat(8), { nil: undefined }),
  })
  .map(({ limit, ...drawn }): Aim => ({
    ...{ ...drawn, ...boundsOf(drawn.replicas, drawn) },
    ...(limit !== undefined && { limit }),
  }));
/** Which of the cluster's parts moves next: the rollout, a count, a pod's readiness. */
const moves = fc.array(fc.record({ move: fc.nat(5), at: fc.nat(40) }), { maxLength: 60 });

describe('rollout/rollOut in any cluster', () => {
  const herdsOf = (drawn: readonly { pods: Pod[]; extra: number; sizedFor: number }[]): Herd[] =>
    drawn.map(({ pods, extra, sizedFor }, index) => ({
      ...{ name: `g${index}`, bornMs: index, pods: [...pods], sizedFor, going: 0 },
      wanted: Math.max(0, pods.length + extra),
    }));
  const decide = (aim: Aim, all: readonly Herd[]): readonly { readonly herd: Herd; readonly wanted: number }[] => {
    const next = all.at(-1);
    assert.ok(next);
    return rollOut(aim, seen(next), all.slice(0, -1).map(seen)).map(({ name, wanted }) => {
      const herd = all.find((each) => each.name === name);
      assert.ok(herd);
      assert.ok(wanted >= 0);
      return { herd, wanted };
    });
  };
  const apply = (aim: Aim, all: readonly Herd[]): number => {
    const sizes = decide(aim, all);
    for (const { herd, wanted } of sizes) herd.wanted = wanted;
    if (sizes.length > 0) for (const herd of all) herd.sizedFor = aim.replicas;
    return sizes.length;
  };

  it('keeps both bounds at every step, whatever moves between', () => {
    fc.assert(
      fc.property(aims, herds, moves, (aim, drawn, script) => {
        const all = herdsOf(drawn);
        for (const { move, at } of script) {
          const herd = all[at % all.length];
          assert.ok(herd);
          if (move === 0) {
            const floor = Math.min(availableIn(all), aim.replicas - aim.maxUnavailable);
            const pending = all.reduce((total, each) => total + Math.max(each.wanted, each.pods.length), 0);
            const promised = all.map((each) => ({ ...each, pods: [...each.pods] }));
            for (const each of promised) keepCount(each);
            const counted = Math.min(floor, availableIn(promised));
            const grew = decide(aim, all).some((size) => size.wanted > size.herd.wanted);
            apply(aim, all);
            const crowd = all.reduce((total, each) => total + Math.max(each.wanted, each.pods.length), 0);
            if (grew) assert.ok(crowd <= Math.max(aim.replicas + aim.maxSurge, pending), `${crowd} pods`);
            const after = all.map((each) => ({ ...each, pods: [...each.pods] }));
            for (const each of after) keepCount(each);
            const old =
              all.slice(0, -1).some(({ wanted }) => wanted > 0) ||
              promised.slice(0, -1).some(({ pods }) => pods.length > 0);
            if (old && (aim.recreate !== true || aim.held === true))
              assert.ok(availableIn(after) >= counted, `${availableIn(after)} left of ${counted} promised`);
          } else if (move === 1) keepCount(herd);
          else if (move === 2) herd.going = 0;
          else if (herd.pods.length > 0) {
            const pod = at % herd.pods.length;
            herd.pods[pod] = herd.pods[pod] === 'made' ? 'ready' : move === 5 && at % 7 === 0 ? 'made' : 'available';
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('comes to its end from any state, once new pods become available', () => {
    fc.assert(
      fc.property(aims, herds, ({ limit: _, ...drawnAim }, drawn) => {
        const aim = { ...drawnAim, held: false };
        const all = herdsOf(drawn);
        for (let round = 0; round < 80; round++) {
          apply(aim, all);
          for (const herd of all) {
            keepCount(herd);
            herd.going = 0;
          }
          const next = all.at(-1);
          if (next !== undefined) next.pods = next.pods.map(() => 'available');
          // Old pods that are not ready never will be; ready ones have been so for long enough by now.
          for (const herd of all) herd.pods = herd.pods.map((pod) => (pod === 'made' ? 'made' : 'available'));
        }
        assert.deepEqual(
          all.map(({ wanted }) => wanted),
          all.map((_, index) => (index === all.length - 1 ? aim.replicas : 0)),
        );
        assert.equal(presentIn(all), aim.replicas);
        assert.equal(apply(aim, all), 0, 'it rests');
      }),
      { numRuns: 500 },
    );
  });

  it('holds its number while it is held, and rests', () => {
    fc.assert(
      fc.property(aims, herds, (drawnAim, drawn) => {
        const aim = { ...drawnAim, held: true, recreate: false };
        const all = herdsOf(drawn);
        for (let round = 0; round < 40; round++) {
          apply(aim, all);
          for (const herd of all) {
            keepCount(herd);
            herd.pods = herd.pods.map(() => 'available');
          }
        }
        const total = all.reduce((sum, { wanted }) => sum + wanted, 0);
        assert.ok(total >= aim.replicas && total <= aim.replicas + aim.maxSurge, `${total} of ${aim.replicas}`);
        assert.equal(apply(aim, all), 0, 'it rests');
      }),
      { numRuns: 300 },
    );
  });
});
