import assert from 'node:assert/strict';
import fc from 'fast-check';
import { resources, type Resource } from '../../../../lib/api/kinds.ts';
import type { ApiObject } from '../../../../lib/api/objects.ts';
import { extractedFields, indexBytes, indexObject } from '../../../../services/apiserver/cache/indexed.ts';
import { peek, wantedPaths } from '../../../../services/apiserver/cache/peek.ts';

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('"', '\\', '\\"', '"labels":{', '}', 'ü'),
);

/** An object with the members that matter and any amount of others around them. */
function anObject(resource: Resource): fc.Arbitrary<ApiObject> {
  const noise = fc.dictionary(text, fc.jsonValue({ maxDepth: 3 }), { maxKeys: 4 });
  const fields = fc.record(
    Object.fromEntries(extractedFields(resource).map((field) => [field, fc.option(text, { nil: undefined })])),
  );
  const labels = fc.option(fc.dictionary(fc.stringMatching(/^[a-z./"\\]{1,8}$/), text, { maxKeys: 3 }), {
    nil: undefined,
  });
  const deletionTimestamp = fc.option(fc.constant('2026-01-01T00:00:00Z'), { nil: undefined });
  return fc.tuple(noise, noise, fields, labels, deletionTimestamp).map(([before, after, values, own, deleted]) => {
    const object: Record<string, unknown> = {
      ...before,
      apiVersion: 'v1',
      kind: 'K',
      metadata: { ...after, name: 'n', namespace: 'ns', labels: own, deletionTimestamp: deleted, annotations: after },
    };
    for (const [path, value] of Object.entries(values)) {
      const [first = '', second] = path.split('.');
      if (second === undefined) object[first] = value;
      else object[first] = { ...after, ...(object[first] as object | undefined), [second]: value };
    }
    return { ...object, zz: after } as unknown as ApiObject;
  });
}

describe('apiserver/cache indexed', () => {
  for (const resource of resources) {
    it(`sees the same in the bytes as in the object: ${resource}`, () => {
      fc.assert(
        fc.property(anObject(resource), (object) => {
          const bytes = Buffer.from(JSON.stringify(object));
          const fromObject = indexObject(resource, JSON.parse(bytes.toString()) as ApiObject);
          const labels =
            fromObject.labels === undefined || Object.keys(fromObject.labels).length === 0
              ? undefined
              : fromObject.labels;
          assert.deepEqual({ ...indexBytes(resource, 'ns/n', bytes) }, { ...fromObject, labels });
        }),
      );
    });
  }

  const cases = [
    { json: '{"a":{"b":"x"}}', want: ['x', ''] },
    { json: '{"a":{"c":{"b":"no"},"b":"x"},"d":[1,{"a":2}]}', want: ['x', '[1,{"a":2}]'] },
    { json: '{"d":{"x":"}]"},"a":{"z":"\\\\","b":"say \\"hi\\""}}', want: ['say "hi"', '{"x":"}]"}'] },
    { json: '{"d":12.5,"a":7}', want: ['', '12.5'] },
    { json: '{}', want: ['', ''] },
    { json: '[]', want: ['', ''] },
  ];
  for (const { json, want } of cases) {
    it(`peeks into ${json}`, () => {
      assert.deepEqual(peek(Buffer.from(json), wantedPaths(['a.b', 'd']), 2), want);
    });
  }
});
