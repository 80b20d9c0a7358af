import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const sections = ['What it does', 'Listens to', 'Writes', 'Configuration', 'Metrics'];
const rooms = [
  ...readdirSync('services').map((name) => `services/${name}`),
  'node-agent',
  'lib/view',
  'lib/controller',
];

describe('presubmit/readme', () => {
  for (const room of rooms) {
    it(`${room}/README.md says what it does, listens to, writes, its configuration and metrics`, () => {
      const text = readFileSync(join(room, 'README.md'), 'utf8');
      assert.deepEqual(
        sections.filter((section) => !text.includes(`## ${section}`)),
        [],
        'missing sections',
      );
    });
  }

  for (const room of rooms.filter((name) => existsSync(join(name, 'config.ts')))) {
    it(`${room}/README.md names every option of its configuration table`, () => {
      const options = [...readFileSync(join(room, 'config.ts'), 'utf8').matchAll(/(?:flag|env): '([^']+)'/g)].map(
        (match) => match[1] ?? '',
      );
      const readme = readFileSync(join(room, 'README.md'), 'utf8');
      assert.deepEqual(
        options.filter((option) => !readme.includes(option)),
        [],
      );
    });
  }

  it('links in the documentation lead somewhere', () => {
    const pages = [
      'README.md',
      'CONTRIBUTING.md',
      ...markdownIn('docs'),
      ...markdownIn('examples'),
      ...markdownIn('services'),
    ];
    const broken = pages.flatMap((page) =>
      [...readFileSync(page, 'utf8').matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)]
        .map((match) => match[1] ?? '')
        .filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(dirname(page), target)))
        .map((target) => `${page}: ${target}`),
    );
    assert.deepEqual(broken, []);
  });

  it('the changelog has a section for the version of package.json', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.match(readFileSync('CHANGELOG.md', 'utf8'), new RegExp(`^## ${version.replaceAll('.', '\\.')}`, 'm'));
  });
});

const markdownIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
