import assert from 'node:assert/strict';
import fc from 'fast-check';
import { bundlesOf, readBundle } from '../../../lib/bus/bundle.ts';
import { newEpoch, type BusChange } from '../../../lib/bus/change.ts';

const epoch = newEpoch(7, 'abc');

/** Changes of several resources, one after the other, as the relay links them. */
const changes = fc
  .array(
    fc.record({
      resource: fc.constantFrom('pods', 'services', 'widgets.example.com'),
      namespace: fc.option(fc.constantFrom('shop', 'größe'), { nil: undefined }),
      name: fc.string({ minLength: 1, maxLength: 10 }),
      type: fc.constantFrom('added' as const, 'modified' as const, 'deleted' as const),
      bytes: fc.constantFrom(0, 2, 300, 100_000, 300_000),
      omitted: fc.boolean(),
    }),
    { maxLength: 30 },
  )
  .map((all) => {
    const ends = new Map<string, number>();
    return all.map(({ bytes, namespace, ...rest }, i): BusChange => {
      const revision = 10 + i;
      const resourcePrevious = ends.get(rest.resource) ?? 7;
      ends.set(rest.resource, revision);
      return {
        ...rest,
        ...(namespace === undefined ? {} : { namespace }),
        ...{ revision, timeMs: 1_000 + i, previous: 0, resourcePrevious, epoch },
        json: Buffer.alloc(bytes, `${i} `),
      };
    });
  });

describe('bus/bundle', () => {
  it('tells of every change of a resource what it was, in its order, with what came before it', () => {
    fc.assert(
      fc.property(changes, (all) => {
        const messages = bundlesOf('c', all);
        for (const resource of ['pods', 'services', 'widgets.example.com']) {
          const own = messages.filter(({ subject }) => subject === `c.bundle.${resource.replaceAll('.', '_')}`);
          const told = own.flatMap((message) => readBundle(message).changes);
          const wanted = all.filter((change) => change.resource === resource);
          assert.deepEqual(
            told.map(({ json, ...rest }) => ({ ...rest, json: json?.toString() })),
            wanted.map(({ type, namespace, name, revision, resourcePrevious, json, omitted }) => ({
              ...{ type, revision, previous: resourcePrevious },
              key: namespace === undefined ? name : `${namespace}/${name}`,
              json: omitted === true ? undefined : json.toString(),
            })),
          );
        }
        assert.ok(messages.every((message) => readBundle(message).epoch === epoch));
      }),
    );
  });

  it('holds no more than 256 KiB of objects, but for a single one', () => {
    fc.assert(
      fc.property(changes, (all) => {
        for (const message of bundlesOf('c', all)) {
          const sizes = readBundle(message).changes.map(({ json }) => json?.length ?? 0);
          assert.ok(sizes.length === 1 || sizes.reduce((sum, size) => sum + size, 0) <= 256 << 10);
        }
      }),
    );
  });

  it('refuses a body that is none', () => {
    for (const data of [Buffer.alloc(0), Buffer.from([0, 0, 0, 9]), Buffer.from('\0\0\0\x02no')])
      assert.throws(() => readBundle({ subject: 'c.bundle.pods', headers: {}, data }));
  });
});
