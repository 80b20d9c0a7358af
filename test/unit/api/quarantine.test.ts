import assert from 'node:assert/strict';
import fc from 'fast-check';
import { matches, parseSelector, selectorOf } from '../../../lib/api/labels.ts';
import { quarantineLabel, setAsideAnnotation, setAsideLabels, settingAside } from '../../../lib/api/quarantine.ts';
import { aPod } from '../../support/builders.ts';

const who = (name: string, text: string) => ({ who: name, selector: parseSelector(text) });

describe('api/quarantine', () => {
  const labels = { app: 'web', hash: 'abc', tier: 'front', note: 'x' };

  it('takes off what those that have the pod ask for, and nothing else', () => {
    const all = [
      who('service/web', 'app=web'),
      who('replicaset/web', 'app=web,hash=abc'),
      who('service/db', 'app=db,tier'),
    ];
    assert.deepEqual(settingAside(labels, all), {
      labels: { app: 'web', hash: 'abc' },
      from: ['service/web', 'replicaset/web'],
      held: [],
    });
  });

  it('names those that would have it even so, or only then', () => {
    const all = [who('service/web', 'app=web'), who('a', 'note!=y'), who('b', '!app'), who('c', quarantineLabel)];
    assert.deepEqual(settingAside(labels, all).held, ['a', 'b', 'c']);
  });

  it('leaves a pod that nobody has as it is', () => {
    assert.deepEqual(settingAside(labels, [who('service/db', 'app=db')]), { labels: {}, from: [], held: [] });
  });

  it('leaves the pod to nobody who asks for labels, whatever they are', () => {
    const some = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom('1', '2'));
    fc.assert(
      fc.property(some, fc.array(some), (own, maps) => {
        const all = maps
          .filter((map) => Object.keys(map).length > 0)
          .map((map, index) => ({ who: String(index), selector: selectorOf(map) }));
        const { labels: aside, held } = settingAside(own, all);
        assert.deepEqual(held, []);
        const left = Object.fromEntries(Object.entries(own).filter(([key]) => !Object.hasOwn(aside, key)));
        assert.ok(all.every(({ selector }) => !matches(selector, left)));
        assert.deepEqual({ ...left, ...aside }, { ...own }, 'nothing is lost');
      }),
    );
  });

  it('reads what was set aside, and nothing that somebody else wrote', () => {
    const pod = (text: string) => {
      const made = aPod({});
      return { ...made, metadata: { ...made.metadata, annotations: { [setAsideAnnotation]: text } } };
    };
    assert.deepEqual(setAsideLabels(pod('{"a":"b"}')), { a: 'b' });
    for (const text of ['', 'x', '[]', '{"a":1}', 'null']) assert.equal(setAsideLabels(pod(text)), undefined, text);
    assert.equal(setAsideLabels(aPod({})), undefined);
  });
});
