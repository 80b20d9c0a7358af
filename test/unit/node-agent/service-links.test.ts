import assert from 'node:assert/strict';
import type { Service } from '../../../lib/api/objects.ts';
import { serviceLinksAnnotation } from '../../../lib/api/service-links.ts';
import { mostBytes, mostVariables, serviceLinks } from '../../../node-agent/service-links.ts';
import { aPod, aService } from '../../support/builders.ts';

describe('node-agent/service-links', () => {
  const api = aService({ name: 'kubernetes', clusterIP: '10.96.0.1', ports: [{ name: 'https', port: 443 }] });
  const services = ['redis', 'db', 'web'].map((name) => aService({ name }));
  const hosts = (pod: Parameters<typeof serviceLinks>[0], of: readonly Service[] = services): string[] =>
    serviceLinks(pod, of, api).variables.flatMap(([name]) => (name.endsWith('_HOST') ? [name] : []));
  const declaring = (text: string, enableServiceLinks = true) =>
    aPod({ annotations: { [serviceLinksAnnotation]: text }, spec: { enableServiceLinks } });

  const cases = [
    { it: 'all by default, in order of name', pod: aPod(), want: ['DB', 'REDIS', 'WEB'] },
    { it: 'those that it declares, if they are there', pod: declaring('web, db,nobody'), want: ['DB', 'WEB'] },
    { it: 'none where it declares none', pod: declaring(''), want: [] },
    { it: 'none where links are off, declared or not', pod: declaring('web', false), want: [] },
  ];
  for (const { it: what, pod, want } of cases)
    it(`tells a pod of the API and of ${what}`, () =>
      assert.deepEqual(
        hosts(pod),
        ['KUBERNETES', ...want].map((name) => `${name}_SERVICE_HOST`),
      ));

  it('stops at the bound, with whole Services, and counts what is left', () => {
    const many = Array.from({ length: 400 }, (_, i) => aService({ name: `s${String(i).padStart(3, '0')}` }));
    const { variables, left } = serviceLinks(aPod(), many, undefined);
    assert.equal(variables.length, Math.floor(mostVariables / 7) * 7);
    assert.equal(left, 400 - variables.length / 7);
    assert.equal(variables.at(-1)?.[0], 'S141_PORT_80_TCP_ADDR');
    assert.equal(serviceLinks(declaring('s399'), many, undefined).left, 0);
  });

  it('stops at the bound in bytes', () => {
    const ports = Array.from({ length: 20 }, (_, i) => ({ name: `${'p'.repeat(10)}${i}`, port: 1000 + i }));
    const wide = Array.from({ length: 9 }, (_, i) => aService({ name: `${'n'.repeat(60)}-${i}`, ports }));
    const { variables, left } = serviceLinks(aPod(), wide, undefined);
    const bytes = variables.reduce((sum, [name, value]) => sum + name.length + value.length + 2, 0);
    assert(
      left > 0 && variables.length < mostVariables && bytes <= mostBytes && bytes > mostBytes / 2,
      `${bytes} ${left}`,
    );
  });

  it('says nothing of headless Services, and does not count them as left out', () => {
    const headless = aService({ name: 'db', clusterIP: 'None' });
    assert.deepEqual(serviceLinks(aPod(), [headless], undefined), { variables: [], left: 0 });
  });
});
