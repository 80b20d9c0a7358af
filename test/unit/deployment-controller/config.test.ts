import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Config } from '../../../lib/rollout/config-copies.ts';
import { copyNameOf, digestOf } from '../../../lib/rollout/config-copies.ts';
import type { Deployment, ReplicaSet } from '../../../lib/api/objects.ts';
import { configAnnotation, heldAnnotation, type Held, type SeenConfig } from '../../../lib/rollout/resolve-config.ts';
import { backTo, configOf, resolve } from '../../../services/deployment-controller/config.ts';
import { newSetOf, plainTemplate, sortSets } from '../../../services/deployment-controller/sets.ts';
import { uidOf } from '../../support/builders.ts';
import { aDeployment } from '../../support/workload-builders.ts';

const rolls = { 'troupe.dev/on-config-change': 'roll' };
const configMap = (name: string, data: Record<string, string>, annotations = {}): Config =>
  ({ metadata: { name, namespace: 'default', annotations }, data }) as never;

/** A Deployment whose container has its variables from ConfigMaps of these names. */
function web(names: readonly string[], options: { image?: string; annotations?: object } = {}): Deployment {
  const { image = 'a:1', annotations = {} } = options;
  const made = aDeployment({ template: { image } });
  const [main] = made.spec.template.spec.containers;
  assert.ok(main);
  const containers = [{ ...main, envFrom: names.map((name) => ({ configMapRef: { name } })) }];
  const template = {
    metadata: { ...made.spec.template.metadata, annotations: rolls },
    spec: { ...made.spec.template.spec, containers },
  };
  const metadata = { ...made.metadata, annotations: annotations as Record<string, string> };
  return { ...made, metadata, spec: { ...made.spec, template } };
}
const seenOf = (...configs: readonly (Config | string)[]): readonly SeenConfig[] =>
  configs.map((config) =>
    typeof config === 'string'
      ? { reference: { resource: 'configmaps', name: config }, live: undefined }
      : { reference: { resource: 'configmaps', name: config.metadata.name }, live: config },
  );
/** The ReplicaSet that would be made for it. */
function setFor(
  deployment: Deployment,
  seen: readonly SeenConfig[],
  revision: number,
  owned: readonly ReplicaSet[] = [],
): ReplicaSet {
  const { template, copies } = resolve(deployment, owned, seen);
  const draft = newSetOf({ ...deployment, spec: { ...deployment.spec, template } }, revision) as ReplicaSet;
  const annotations = { ...draft.metadata.annotations, [configAnnotation]: JSON.stringify(copies) };
  return {
    ...draft,
    metadata: {
      ...draft.metadata,
      annotations,
      uid: uidOf(draft.metadata.name),
      creationTimestamp: '2026-01-01T00:00:00Z',
    },
  };
}
const nextOf = (
  deployment: Deployment,
  owned: readonly ReplicaSet[],
  seen: readonly SeenConfig[],
): ReplicaSet | undefined => {
  const { template } = resolve(deployment, owned, seen);
  return sortSets({ ...deployment, spec: { ...deployment.spec, template } }, owned).next;
};
const holding = (deployment: Deployment, held: Held | undefined): Deployment => ({
  ...deployment,
  metadata: {
    ...deployment.metadata,
    annotations: held === undefined ? {} : { [heldAnnotation]: JSON.stringify(held) },
  },
});

const red = configMap('conf', { COLOUR: 'red' });
const blue = configMap('conf', { COLOUR: 'blue' });
const green = configMap('conf', { COLOUR: 'green' });

describe('deployment-controller/config', () => {
  it('is no part of a template that does not ask for it', () => {
    const plain = aDeployment();
    assert.deepEqual(configOf(plain, []), []);
    assert.equal(resolve(plain, [], []).template, plain.spec.template);
  });

  it('names a copy of what each object holds, the same for the same data whatever else it says', () => {
    const { template, needed } = resolve(web(['conf']), [], seenOf(red));
    const name = template.spec.containers[0]?.envFrom?.[0]?.configMapRef?.name ?? '';
    assert.match(name, /^conf-[a-z0-9]{10}$/);
    assert.deepEqual(needed, [{ reference: { resource: 'configmaps', name: 'conf' }, name, source: red }]);
    assert.equal(copyNameOf('conf', configMap('conf', { COLOUR: 'red' }, { a: 'b' })), name);
    assert.notEqual(copyNameOf('conf', blue), name);
    assert.notEqual(digestOf({ ...red, binaryData: { COLOUR: 'red' } }), digestOf(red));
  });

  it('fits the longest names', () => {
    const name = `${'a'.repeat(240)}.-bbbbbbbbbbb`;
    const copy = copyNameOf(name, red);
    assert.ok(copy.length <= 253 && /^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(copy), copy);
  });

  it('leaves out what says of itself that it does not roll, and what is not there yet', () => {
    const quiet = configMap('quiet', { a: 'b' }, { 'troupe.dev/on-config-change': 'none' });
    const { template, copies } = resolve(web(['quiet', 'late']), [], seenOf(quiet, 'late'));
    assert.deepEqual(copies, {});
    assert.deepEqual(
      template.spec.containers[0]?.envFrom?.map(({ configMapRef }) => configMapRef?.name),
      ['quiet', 'late'],
    );
  });

  it('keeps the last copy of what is gone, and says so', () => {
    const owned = [setFor(web(['conf']), seenOf(red), 1), setFor(web(['conf']), seenOf(blue), 2)];
    const { held, copies } = resolve(web(['conf']), owned, seenOf('conf'));
    assert.deepEqual(copies, { 'configmaps/conf': copyNameOf('conf', blue) });
    assert.equal(held?.reason, 'ConfigMissing');
    assert.equal(nextOf(web(['conf']), owned, seenOf('conf')), owned[1]);
  });

  it('holds former data until the objects or the template are others', () => {
    const [old, bad] = [setFor(web(['conf']), seenOf(red), 1), setFor(web(['conf']), seenOf(blue), 2)];
    const { template, held } = backTo(old, seenOf(blue));
    assert.deepEqual(template, web(['conf']).spec.template, 'in the words of the user');
    const back = holding(web(['conf']), held);
    assert.equal(nextOf(back, [old, bad], seenOf(blue)), old);
    assert.equal(resolve(back, [old, bad], seenOf(blue)).held?.reason, 'RolloutReverted');
    assert.equal(nextOf(back, [old, bad], seenOf(green)), undefined, 'other data are a rollout');
    const other = holding(web(['conf'], { image: 'a:2' }), held);
    const { copies, isHeld } = resolve(other, [old, bad], seenOf(blue));
    assert.deepEqual([copies['configmaps/conf'], isHeld], [copyNameOf('conf', blue), false], 'so is another template');
  });

  it('takes names of copies in a template for a wish to go back to them', () => {
    const [old, now] = [setFor(web(['conf']), seenOf(red), 1), setFor(web(['conf']), seenOf(blue), 2)];
    const undone = { ...web(['conf']), spec: { ...web(['conf']).spec, template: plainTemplate(old) } };
    assert.deepEqual(configOf(undone, [old, now]), [{ resource: 'configmaps', name: 'conf' }]);
    const wish = resolve(undone, [old, now], seenOf(blue)).undone;
    assert.deepEqual(wish?.template, web(['conf']).spec.template);
    assert.equal(nextOf(holding(web(['conf']), wish?.held), [old, now], seenOf(blue)), old);
    assert.equal(resolve(undone, [old, now], seenOf(red)).undone?.held, undefined, 'the data are those anyway');
  });

  it('leads to the same template from the same data, and to another from others; going back always finds the one before', () => {
    const data = fc.dictionary(fc.stringMatching(/^[A-Z]{1,3}$/), fc.string({ maxLength: 4 }), { maxKeys: 3 });
    const names = ['conf', 'more'];
    fc.assert(
      fc.property(fc.array(fc.tuple(data, data), { minLength: 2, maxLength: 6 }), fc.nat(5), (states, pick) => {
        const at = (state: readonly Record<string, string>[] | undefined): readonly SeenConfig[] =>
          seenOf(...names.map((name, index) => configMap(name, state?.[index] ?? {})));
        const owned: ReplicaSet[] = [];
        for (const state of states)
          if (nextOf(web(names), owned, at(state)) === undefined)
            owned.push(setFor(web(names), at(state), owned.length + 1, owned));
        const canonical = (value: Record<string, string>): string => JSON.stringify(Object.entries(value).sort());
        assert.equal(owned.length, new Set(states.map((state) => state.map(canonical).join())).size);
        // Whatever the objects hold now, each former state can be gone back to, and is where the loop then rests.
        const live = at(states.at(-1));
        const target = owned[pick % owned.length] as ReplicaSet;
        const { template, held } = backTo(target, live);
        const back = holding({ ...web(names), spec: { ...web(names).spec, template } }, held);
        assert.equal(nextOf(back, owned, live), target);
        assert.equal(resolve(back, owned, live).undone, undefined);
      }),
    );
  });
});
