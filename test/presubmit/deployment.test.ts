import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { parse } from 'yaml';

/** Every environment variable that some part's configuration table knows. */
function knownVariables(): Set<string> {
  const tables = [
    ...readdirSync('services').map((name) => `services/${name}`),
    'node-agent',
    'lib/controller',
    'lib/base',
  ].flatMap((folder) =>
    readdirSync(folder)
      .filter((file) => file.endsWith('.ts'))
      .map((file) => readFileSync(`${folder}/${file}`, 'utf8')),
  );
  return new Set(tables.flatMap((text) => [...text.matchAll(/env: '([^']+)'/g)].map((match) => match[1] ?? '')));
}

describe('presubmit/deployment', () => {
  const known = knownVariables();
  const parts = [...readdirSync('services').filter((name) => existsSync(`services/${name}/main.ts`)), 'node-agent'];
  const compose = parse(readFileSync('compose/docker-compose.yaml', 'utf8'), { merge: true }) as {
    services: Record<string, { environment?: Record<string, string> }>;
  };
  const helm =
    readdirSync('helm/troupe/templates')
      .map((file) => readFileSync(`helm/troupe/templates/${file}`, 'utf8'))
      .join('\n') + readFileSync('helm/troupe/values.yaml', 'utf8');

  it('compose runs every part', () => {
    assert.deepEqual(
      parts.filter((part) => compose.services[part] === undefined),
      [],
    );
  });
  it('compose sets only variables that a configuration table knows', () => {
    const used = Object.values(compose.services).flatMap((service) => Object.keys(service.environment ?? {}));
    assert.deepEqual(
      [...new Set(used)].filter((name) => !known.has(name)),
      [],
    );
  });
  it('helm runs every part', () => {
    assert.deepEqual(
      parts.filter((part) => !helm.includes(part)),
      [],
    );
  });
  it('helm sets only variables that a configuration table knows', () => {
    const used = [...helm.matchAll(/name: (TROUPE_[A-Z_]+)/g)].map((match) => match[1] ?? '');
    assert.ok(used.length > 10);
    assert.deepEqual(
      [...new Set(used)].filter((name) => !known.has(name)),
      [],
    );
  });
});
