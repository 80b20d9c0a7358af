import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Findings } from '../../../../lib/api/validation/findings.ts';
import type { Json } from '../../../../lib/api/json.ts';
import type { CustomSchema, SchemaRule } from '../../../../lib/api/objects.ts';
import { askRules } from '../../../../services/apiserver/rules/ask.ts';
import { compileRules, hasRules } from '../../../../services/apiserver/rules/compile.ts';
import { nameInRules } from '../../../../services/apiserver/rules/names.ts';

/** What a definition of Widgets would say of its spec. */
const properties: Readonly<Record<string, CustomSchema>> = {
  replicas: { type: 'integer' },
  min: { type: 'integer' },
  ratio: { type: 'number' },
  name: { type: 'string' },
  'my-part': { type: 'string' },
  in: { type: 'string' },
  since: { type: 'string', format: 'date-time' },
  wait: { type: 'string', format: 'duration' },
  port: { 'x-kubernetes-int-or-string': true },
  size: { type: 'string' },
  tags: { type: 'array', items: { type: 'string' } },
  parts: {
    type: 'array',
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['name'],
    items: { type: 'object', properties: { name: { type: 'string' }, count: { type: 'integer' } } },
  },
  limits: { type: 'object', additionalProperties: { type: 'integer' } },
  free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
};
const spec = (...rules: readonly SchemaRule[]): CustomSchema => ({
  type: 'object',
  properties: { spec: { type: 'object', properties, 'x-kubernetes-validations': rules } },
});

/** Messages of what is broken; `was` is the spec before. */
function broken(schema: CustomSchema, is: Json, was?: Json): readonly string[] {
  const found = new Findings();
  const ruled = compileRules(schema, 'schema', found);
  assert.deepEqual(found.causes, [], 'compiles');
  assert.ok(ruled);
  const before = was && { metadata: { name: 'a' }, spec: was };
  return askRules(ruled, { metadata: { name: 'a' }, spec: is }, before).map(
    ({ field, message }) => `${field}: ${message}`,
  );
}
function faults(schema: CustomSchema): readonly string[] {
  const found = new Findings();
  compileRules(schema, 'schema', found);
  return found.causes.map(({ field, message }) => `${field}: ${message}`);
}

describe('apiserver/rules', () => {
  const holding: readonly (readonly [rule: string, is: Json, isNot: Json])[] = [
    ['self.replicas >= self.min', { replicas: 3, min: 1 }, { replicas: 1, min: 3 }],
    ['!has(self.name) || self.name.startsWith("a")', {}, { name: 'b' }],
    ['self.ratio < 0.5 || self.ratio > self.replicas', { ratio: 4, replicas: 3 }, { ratio: 0.75, replicas: 3 }],
    ['self.my__dash__part == self.__in__', { 'my-part': 'x', in: 'x' }, { 'my-part': 'x', in: 'y' }],
    ['self.name.matches("^[a-z]+$")', { name: 'abc' }, { name: 'a1' }],
    ['self.tags.all(t, t.size() < 4)', { tags: ['a', 'bcd'] }, { tags: ['abcd'] }],
    ['self.tags.exists_one(t, t == "main")', { tags: ['main', 'x'] }, { tags: ['main', 'main'] }],
    ['self.tags.isSorted()', { tags: ['a', 'b'] }, { tags: ['b', 'a'] }],
    ['self.parts.map(p, p.count).sum() <= 10', { parts: [{ count: 4 }, { count: 6 }] }, { parts: [{ count: 11 }] }],
    [
      'self.parts[0] in self.parts && self.parts[0].count in [1, 2]',
      { parts: [{ count: 1 }] },
      { parts: [{ count: 3 }] },
    ],
    ['self.parts.filter(p, p.name == "a").size() == 1', { parts: [{ name: 'a' }] }, { parts: [{ name: 'b' }] }],
    ['"cpu" in self.limits && self.limits["cpu"] > 1', { limits: { cpu: 2 } }, { limits: { memory: 2 } }],
    ['self.limits.all(key, self.limits[key] > 0)', { limits: { a: 1 } }, { limits: { a: 0 } }],
    [
      'self.since > timestamp("2020-01-01T00:00:00Z")',
      { since: '2024-05-01T00:00:00Z' },
      { since: '2019-05-01T00:00:00Z' },
    ],
    ['self.wait <= duration("1h")', { wait: '90s' }, { wait: '61m' }],
    ['type(self.port) == string || self.port < 1024', { port: 80 }, { port: 8080 }],
    ['quantity(self.size).isLessThan(quantity("2Gi"))', { size: '1500Mi' }, { size: '2Ti' }],
    ['isURL(self.name) && url(self.name).getScheme() == "https"', { name: 'https://x/y' }, { name: 'http://x/y' }],
    ['self.free.some.where == 1', { free: { some: { where: 1 } } }, { free: {} }],
    ['self.?name.orValue("a") == "a"', {}, { name: 'b' }],
    ['cel.bind(all, self.tags.size(), all > 1 && all < 4)', { tags: ['a', 'b'] }, { tags: ['a'] }],
  ];
  for (const [rule, is, isNot] of holding)
    it(rule, () => {
      assert.deepEqual(broken(spec({ rule }), is), []);
      const [first = '', ...more] = broken(spec({ rule }), isNot);
      assert.match(first, /^spec: Invalid value: "object": (failed rule: |rule evaluation error: )/);
      assert.deepEqual(more, []);
    });

  it('says it in the words of the definition, with the field and the reason that these name', () => {
    const rule = 'self.replicas <= 5';
    const said = (more: Partial<SchemaRule>): string => broken(spec({ rule, ...more }), { replicas: 7 })[0] ?? '';
    assert.equal(said({ message: 'too many' }), 'spec: Invalid value: "object": too many');
    assert.match(
      said({ messageExpression: '"at most 5, and not " + string(self.replicas)' }),
      /: at most 5, and not 7$/,
    );
    assert.match(said({ message: 'plain', messageExpression: 'self.name' }), /: plain$/, 'what fails says nothing');
    assert.equal(
      said({ fieldPath: '.replicas', reason: 'FieldValueForbidden', message: 'no' }),
      'spec.replicas: Forbidden: no',
    );
    assert.match(said({ reason: 'FieldValueRequired', message: 'no' }), /^spec: Required value: no$/);
  });

  it('asks rules where they stand: of items, members and the root, whose name is known', () => {
    const rule = (text: string): Pick<CustomSchema, 'x-kubernetes-validations'> => ({
      'x-kubernetes-validations': [{ rule: text }],
    });
    const schema: CustomSchema = {
      type: 'object',
      ...rule('self.metadata.name.size() < 3 && self.kind != "Other"'),
      properties: {
        kind: { type: 'string' },
        spec: {
          type: 'object',
          properties: {
            tags: { type: 'array', items: { type: 'string', ...rule('self != "bad"') } },
            limits: { type: 'object', additionalProperties: { type: 'integer', ...rule('self > 0') } },
          },
        },
      },
    };
    const ruled = compileRules(schema, '');
    assert.ok(ruled);
    const object = {
      ...{ kind: 'Widget', metadata: { name: 'long' } },
      spec: { tags: ['a', 'bad'], limits: { cpu: 1, memory: 0 } },
    };
    assert.deepEqual(
      askRules(ruled, object, undefined).map(({ field }) => field),
      ['', 'spec.tags[1]', 'spec.limits[memory]'],
    );
  });

  it('knows nothing of what was stored by another schema', () => {
    const schema = spec({ rule: 'self.replicas >= oldSelf.replicas' });
    assert.deepEqual(broken(schema, { replicas: 1 }, { replicas: 'many' }), []);
  });

  it('asks rules for changes of what was there before, and items of lists by their keys', () => {
    const once = spec({ rule: 'self.name == oldSelf.name', message: 'may not change' });
    assert.deepEqual(broken(once, { name: 'a' }), []);
    assert.deepEqual(broken(once, { name: 'a', min: 1 }, { name: 'a' }), []);
    assert.match(broken(once, { name: 'b' }, { name: 'a' })[0] ?? '', /may not change/);

    const grows: SchemaRule = { rule: '!has(oldSelf.count) || self.count >= oldSelf.count' };
    const { parts } = properties;
    const items = { ...parts?.items, 'x-kubernetes-validations': [grows] };
    const schema: CustomSchema = {
      type: 'object',
      properties: { spec: { type: 'object', properties: { parts: { ...parts, items } } } },
    };
    const before = {
      parts: [
        { name: 'a', count: 1 },
        { name: 'b', count: 2 },
      ],
    };
    assert.deepEqual(
      broken(
        schema,
        {
          parts: [
            { name: 'b', count: 2 },
            { name: 'c', count: 0 },
          ],
        },
        before,
      ),
      [],
    );
    assert.match(broken(schema, { parts: [{ name: 'b', count: 1 }] }, before)[0] ?? '', /^spec\.parts\[0\]/);
  });

  it('gives oldSelf as an optional where that is asked for, and then asks of new values too', () => {
    const rule = { rule: 'oldSelf.hasValue() || self.replicas == 0', optionalOldSelf: true };
    assert.equal(broken(spec(rule), { replicas: 1 }).length, 1);
    assert.deepEqual(broken(spec(rule), { replicas: 1 }, { replicas: 0 }), []);
  });

  it('lets what broke a rule before stay as it is', () => {
    const rule = { rule: 'self.replicas < 5' };
    assert.deepEqual(broken(spec(rule), { replicas: 7 }, { replicas: 7 }), []);
    assert.equal(broken(spec(rule), { replicas: 8 }, { replicas: 7 }).length, 1);
  });

  const refused: readonly (readonly [why: string, SchemaRule, RegExp])[] = [
    [
      'what is no expression',
      { rule: 'self.replicas >' },
      /^schema\.properties\[spec\]\.x-kubernetes-validations\[0\]\.rule: .*compilation failed/,
    ],
    ['a field that the schema does not have', { rule: 'self.nope == 1' }, /compilation failed: No such key: nope/],
    ['what says no yes or no', { rule: 'self.replicas + 1' }, /must evaluate to a bool, and this does to int/],
    ['types that do not go together', { rule: 'self.name > 1' }, /compilation failed: no such overload/],
    ['a function that is not here', { rule: 'ip(self.name).family() == 4' }, /compilation failed: .*'ip\(string\)'/],
    ['a message that is no text', { rule: 'true', messageExpression: '1' }, /messageExpression: .*to a string/],
    ['nothing', { rule: ' ' }, /Required value/],
    ['a reason that is none', { rule: 'true', reason: 'Odd' as never }, /\.reason: Unsupported value/],
    ['a path that is none', { rule: 'true', fieldPath: 'limits' }, /\.fieldPath: .*path to a field below/],
    ['oldSelf asked for in vain', { rule: 'true', optionalOldSelf: true }, /optionalOldSelf: .*if oldSelf is not used/],
    ['a rule longer than a page', { rule: `self.name != "${'x'.repeat(9_000)}"` }, /Too long/],
  ];
  for (const [why, rule, words] of refused)
    it(`refuses ${why}`, () => {
      assert.match(faults(spec(rule)).join('\n'), words);
    });

  it('refuses oldSelf where nobody knows which item was which', () => {
    const items: CustomSchema = { type: 'string', 'x-kubernetes-validations': [{ rule: 'self == oldSelf' }] };
    const schema: CustomSchema = { type: 'object', properties: { tags: { type: 'array', items } } };
    assert.match(faults(schema)[0] ?? '', /items\.x-kubernetes-validations\[0\]\.rule: .*whose items have no keys/);
  });

  it('gives up in time on what would take for ever', () => {
    const tags = Array.from({ length: 400 }, (_, i) => `t${i}`);
    const rule = 'self.tags.all(a, self.tags.all(b, self.tags.all(c, self.tags.all(d, a + b + c + d != ""))))';
    const before = performance.now();
    assert.match(broken(spec({ rule }), { tags })[0] ?? '', /take longer than 100 ms/);
    assert.ok(performance.now() - before < 5_000);
    const pattern = { rule: 'self.name.matches("^(a+)+$")' };
    assert.match(broken(spec(pattern), { name: `${'a'.repeat(40)}b` })[0] ?? '', /take longer than 100 ms/);
  });

  it('names every property that can be named, each by a name of its own', () => {
    assert.equal(nameInRules('a.b-c/d__e'), 'a__dot__b__dash__c__slash__d__underscores__e');
    assert.equal(nameInRules('1st'), undefined);
    assert.equal(nameInRules('with space'), undefined);
    const property = fc.stringMatching(/^[a-z_.\-/]{1,12}$/);
    fc.assert(
      fc.property(
        property,
        property,
        (a, b) => a === b || nameInRules(a) !== nameInRules(b) || nameInRules(a) === undefined,
      ),
    );
  });

  it('has nothing to do where no rule is', () => {
    assert.equal(hasRules({ type: 'object', properties }), false);
    assert.equal(compileRules({ type: 'object', properties }, ''), undefined);
  });
});
