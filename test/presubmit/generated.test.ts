import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { services, serviceOf } from '../../lib/api/gen/services.ts';
import { kinds, resources } from '../../lib/api/kinds.ts';
import { generate } from '../../scripts/gen.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('generated files', () => {
  it('are what `npm run gen` writes now', () => {
    const out = mkdtempSync(join(tmpdir(), 'troupe-gen-'));
    try {
      const written = generate(root, out);
      const read = (folder: string, path: string): string => readFileSync(join(folder, path), 'utf8');
      for (const path of written) {
        assert.ok(read(out, path) === read(root, path), `${path} is out of date; run \`npm run gen\``);
      }
      const present = readdirSync(join(root, 'lib/api/gen')).map((name) => `lib/api/gen/${name}`);
      assert.deepEqual(
        present.filter((path) => !written.includes(path)),
        [],
        'nothing writes these any more',
      );
    } finally {
      rmSync(out, { recursive: true });
    }
  });

  it('have the same verbs for every kind', () => {
    for (const resource of resources) {
      const verbs = Object.keys(services[serviceOf[resource]] ?? {});
      const wanted = ['Get', 'List', 'Watch', 'Create', 'CreateMany', 'Update', 'Patch', 'Delete', 'DeleteCollection'];
      if (kinds[resource].hasStatus) wanted.push('UpdateStatus');
      for (const verb of wanted) assert.ok(verbs.includes(verb), `${serviceOf[resource]} has no ${verb}`);
    }
  });
});
