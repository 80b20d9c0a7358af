import assert from 'node:assert/strict';
import type { Pod, PodDisruptionBudget } from '../../../lib/api/objects.ts';
import { leavingAnnotation } from '../../../lib/api/leaving.ts';
import { movingSinceAnnotation, rebalanceAnnotation } from '../../../lib/api/rebalancing.ts';
import { bond, isWilling, unrest, type Owner } from '../../../services/rebalancer/consent.ts';
import { nextStep, type UnderWay } from '../../../services/rebalancer/proceed.ts';
import { aPod, anRc, epochMs, type PodOptions } from '../../support/builders.ts';
import { changed } from '../../support/changed.ts';
import { aBudget } from '../../support/disruption-builders.ts';

const nowMs = epochMs + 100_000;
const at = (ms: number): string => new Date(ms).toISOString();
const rc = (changes: Readonly<Record<string, unknown>> = {}): Owner =>
  changed(
    { ...anRc({ name: 'web', replicas: 2 }), status: { replicas: 2, observedGeneration: 1 } },
    changes,
  ) as unknown as Owner;
const web = (name: string, options: PodOptions = {}): Pod =>
  aPod({ name, ownerUid: rc().metadata.uid, phase: 'Running', nodeName: 'a', ...options });

describe('rebalancer: whose pods may be moved, and when', () => {
  const said = (value: string) => ({ [`metadata.annotations`]: { [rebalanceAnnotation]: value } });
  const inTemplate = (value: string) => ({ 'spec.template.metadata.annotations': { [rebalanceAnnotation]: value } });
  const words: readonly (readonly [what: object, byDefault: boolean, want: boolean])[] = [
    [{}, false, false],
    [{}, true, true],
    [said('true'), false, true],
    [said('false'), true, false],
    [inTemplate('true'), false, true],
    [{ ...said('true'), ...inTemplate('false') }, true, false],
  ];
  for (const [what, byDefault, want] of words)
    it(`${want ? 'may' : 'may not'} where it says ${JSON.stringify(what)} and ${byDefault ? 'all' : 'none'} may by default`, () => {
      assert.equal(isWilling(rc(what as Record<string, unknown>), undefined, byDefault), want);
    });

  const both = [web('one'), web('two')];
  const times: readonly (readonly [what: string, owner: Owner, pods: readonly Pod[], want: string | undefined])[] = [
    ['all serve', rc(), both, undefined],
    ['one has ended and another came', rc(), [...both, web('old', { phase: 'Failed' })], undefined],
    ['it is being deleted', rc({ 'metadata.deletionTimestamp': at(nowMs) }), both, 'it is being deleted'],
    ['it was changed', rc({ 'metadata.generation': 2 }), both, 'it has just been changed'],
    ['it names the node', rc({ 'spec.template.spec.nodeName': 'a' }), both, 'its template names the node'],
    ['one is missing', rc(), [web('one')], '1 of 2 pods are there'],
    ['one is not ready', rc(), [web('one'), web('two', { ready: false })], 'two is not ready'],
    ['one is ending', rc(), [...both, web('old', { deleted: true })], 'old is ending'],
    [
      'one leaves',
      rc(),
      [web('one'), web('two', { annotations: { [leavingAnnotation]: at(nowMs + 1) } })],
      'two is leaving',
    ],
  ];
  for (const [what, owner, pods, want] of times)
    it(`${want === undefined ? 'moves' : 'waits'} while ${what}`, () => {
      assert.equal(unrest(owner, pods, nowMs), want);
    });

  const volume = (source: object): PodOptions => ({
    spec: { volumes: [{ name: 'v', ...source }] },
  });
  const guard = (healthy: number, desired: number, name = 'guard'): PodDisruptionBudget =>
    aBudget({
      name,
      spec: { selector: {} },
      status: { currentHealthy: healthy, desiredHealthy: desired, observedGeneration: 1 },
    });
  const bonds: readonly (readonly [
    what: string,
    pod: Pod,
    want: RegExp | undefined,
    budgets?: readonly PodDisruptionBudget[],
  ])[] = [
    ['without any bond', web('p'), undefined],
    ['that says no', web('p', { annotations: { [rebalanceAnnotation]: 'false' } }), /it says so/],
    ['of a gang', web('p', { annotations: { 'troupe.dev/gang': 'g', 'troupe.dev/gang-size': '2' } }), /gang/],
    ['with an empty directory', web('p', volume({ emptyDir: {} })), /volume v/],
    ['with one in memory', web('p', volume({ emptyDir: { medium: 'Memory' } })), undefined],
    ['with a folder of its node', web('p', volume({ hostPath: { path: '/x' } })), /volume v/],
    ['with a claim', web('p', volume({ persistentVolumeClaim: { claimName: 'c' } })), /volume v/],
    ['of a former template', web('p', { image: 'example/web:0' }), /the template was changed/],
    ['whose budget is kept with one more', web('p'), undefined, [guard(2, 2)]],
    ['whose budget is broken all the same', web('p'), /guard would not grant it/, [guard(1, 2)]],
    ['with two budgets', web('p'), /several/, [guard(2, 2), guard(2, 2, 'other')]],
  ];
  for (const [what, pod, want, budgets = []] of bonds)
    it(`${want === undefined ? 'may move' : 'keeps'} a pod ${what}`, () => {
      const why = bond(pod, rc(), budgets);
      if (want === undefined) assert.equal(why, undefined);
      else assert.match(why ?? '', want);
    });
});

describe('rebalancer: the next step of a move', () => {
  const leaving = { [leavingAnnotation]: at(nowMs + 90_000), [movingSinceAnnotation]: at(nowMs - 10_000) };
  const moving = (options: PodOptions = {}): Pod => web('moving', { annotations: leaving, ...options });
  const anew = (options: PodOptions = {}): Pod =>
    web('anew', { nodeName: 'b', creationTimestamp: at(nowMs - 9_000), readySince: at(nowMs - 5_000), ...options });
  const waiting = (options: PodOptions = {}): Pod => {
    const { nodeName: _, ...spec } = anew({ phase: 'Pending', ...options }).spec;
    return { ...anew({ phase: 'Pending', ...options }), spec };
  };
  const refused = {
    status: { conditions: [{ type: 'PodScheduled', status: 'False', message: '0/2 nodes are available.' }] },
  } satisfies PodOptions;
  const step = (pod: Pod, others: readonly Pod[], more: Partial<UnderWay> = {}) =>
    nextStep(
      {
        ...{ pod, siblings: [pod, ...others], replicas: 2, minReadySeconds: 0 },
        evens: (counts, to) => (counts.get('a') ?? 0) - (counts.get(to) ?? 0) > 1,
        ...more,
      },
      nowMs,
      60_000,
    );
  const stays = web('stays');
  const cases: readonly (readonly [what: string, next: ReturnType<typeof step>, want: string, why?: RegExp])[] = [
    ['it ends', step(moving({ deleted: true }), [stays, anew()]), 'wait', /ending/],
    [
      'its budget never grants it',
      step(moving({ annotations: { ...leaving, [movingSinceAnnotation]: at(nowMs - 60_000) } }), [stays, anew()], {
        refusal: 'the budget needs 3 healthy pods',
      }),
      'takeBack',
      /after 60 s the budget needs 3/,
    ],
    ['nobody wants it moved', step(moving(), [stays], { replicas: undefined }), 'takeBack', /does not want/],
    ['it fails', step(moving({ ready: false }), [stays, anew()]), 'takeBack', /does not serve/],
    ['its replacement is to be made', step(moving(), [stays]), 'wait', /still to be made/],
    ['its replacement has no node yet', step(moving(), [stays, waiting()]), 'wait', /no node yet/],
    ['its replacement fits nowhere', step(moving(), [stays, waiting(refused)]), 'takeBack', /no place: 0\/2/],
    ['its replacement starts', step(moving(), [stays, anew({ ready: false })]), 'wait', /not ready yet/],
    ['its replacement went elsewhere', step(moving(), [stays, anew({ nodeName: 'a' })]), 'takeBack', /went to a/],
    ['its replacement serves', step(moving(), [stays, anew()]), 'evict'],
    ['it serves not for long enough', step(moving(), [stays, anew()], { minReadySeconds: 6 }), 'wait'],
    ['another one failed meanwhile', step(moving(), [web('stays', { ready: false }), anew()]), 'wait'],
    [
      'its mark ends soon',
      step(moving({ annotations: { ...leaving, [leavingAnnotation]: at(nowMs + 50_000) } }), [stays]),
      'mark',
    ],
    [
      'it took too long',
      step(moving({ annotations: { ...leaving, [movingSinceAnnotation]: at(nowMs - 60_000) } }), [stays]),
      'takeBack',
      /after 60 s its replacement is still to be made/,
    ],
    [
      'since when cannot be read',
      step(moving({ annotations: { ...leaving, [movingSinceAnnotation]: 'x' } }), [stays]),
      'takeBack',
    ],
  ];
  for (const [what, next, want, why] of cases)
    it(`is ${want} when ${what}`, () => {
      assert.equal(next.do, want);
      if (why !== undefined) assert.match('why' in next ? next.why : '', why);
    });
});
